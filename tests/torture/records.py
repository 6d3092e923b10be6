"""What a volume's directory says about itself after an accident, and what a reader may make of it.

Law: damage to opts.json is told, or the options are others; it never makes a plain directory of a mount. Damage to
meta.json costs what only it says.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from volfs.driver.options import mount_source
from volfs.driver.record import Description, read_record, write_record

OPTIONS = {"type": "nfs", "o": "addr=10.0.0.1,password=hunter2", "device": ":/srv/données", "size": "0"}
WHOLE = Description(1_700_000_000, labels={"a": "1", "é": "\n"}, options=OPTIONS)


def variants(text: bytes, *, every: bool = False) -> Iterator[bytes]:
    """Each byte with each bit flipped and as other bytes, with `every` as each other; gone; and each length."""
    for position in range(len(text)):
        some = {*(text[position] ^ 1 << bit for bit in range(8)), 0, 0xFF, *b'"{}[]:,0\\'}
        for new in (set(range(256)) if every else some) - {text[position]}:
            yield text[:position] + bytes([new]) + text[position + 1 :]
        yield text[:position]
        yield text[:position] + text[position + 1 :]


class Records:
    """Both files of one volume in a directory of its own."""

    def __init__(self, place: Path) -> None:
        self.place, self.directory = place, os.open(place, os.O_RDONLY)
        write_record(self.directory, WHOLE)
        assert read_record(self.directory) == WHOLE
        self.opts, self.meta = ((place / name).read_bytes() for name in ("opts.json", "meta.json"))

    def close(self) -> None:
        os.close(self.directory)

    def with_opts(self, text: bytes) -> str:
        """What becomes of such an opts.json."""
        (self.place / "opts.json").write_bytes(text)
        found = read_record(self.directory)
        assert (found.labels, found.created) == (WHOLE.labels, WHOLE.created), text
        assert "hunter2" not in (found.damage or ""), f"a secret in a message, of {text!r}"
        assert found.damage or mount_source(found.options), f"taken for a plain directory: {text!r}"
        return "damage" if found.damage else "as it was" if found.options == OPTIONS else "other options"

    def with_meta(self, text: bytes) -> str:
        """What becomes of such a meta.json."""
        (self.place / "meta.json").write_bytes(text)
        found = read_record(self.directory)
        assert found.damage is None, f"{found.damage}, of {text!r}"
        assert mount_source(found.options) == mount_source(OPTIONS), text
        return "as it was" if found == WHOLE else "other labels or time"
