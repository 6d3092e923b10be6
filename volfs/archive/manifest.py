"""What an archive says of itself: the manifest before the data and the checksum behind it. Pure.

    volfs/manifest.json       {"Format": 1, "Volumes": [{"Name", "Driver", "CreatedAt", "Labels", "Options",
                               "Directory": "volumes/NAME", "Data": true}, …]}
    volumes/NAME/…            the data of each volume in this order
    volfs/checksum.json       {"Sha256": …, "Bytes": …} of every byte before this member

Law: any bytes give a value or Invalid. A directory is `volumes/` and one name that no shell and no file system minds.
"""

import re
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from volfs.driver.names import is_volume_name, parse_plugin_name, parse_volume_name, quoted
from volfs.errors import Invalid

FORMAT = 1
MANIFEST = b"volfs/manifest.json"
CHECKSUM = b"volfs/checksum.json"
LARGEST = 256 << 20  # bytes: labels may be many megabytes

_DIRECTORY = re.compile(r"volumes/[a-zA-Z0-9+][a-zA-Z0-9_.-]*")
_LAST_SECOND = 253_402_300_799  # of the year 9999, which is the last that RFC 3339 can write
T = TypeVar("T")


class Entry(msgspec.Struct, frozen=True, rename="pascal"):
    """One volume of an archive. `data`: whether its data is in it, or only this."""

    name: str
    driver: str
    created_at: str
    labels: dict[str, str] | None
    options: dict[str, str] | None
    directory: str
    data: bool

    @property
    def created(self) -> int | None:
        """In seconds since the epoch; None where it is not said."""
        try:
            moment = datetime.fromisoformat(self.created_at)
            seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            return None
        return seconds if 0 <= seconds <= _LAST_SECOND else None


class _Version(msgspec.Struct, rename="pascal"):
    format: int


class Manifest(msgspec.Struct, frozen=True, rename="pascal"):
    """The volumes of an archive."""

    format: int
    volumes: list[Entry]


class Checksum(msgspec.Struct, frozen=True, rename="pascal"):
    """What the bytes before it add up to."""

    sha256: str
    bytes: int


def directory_of(name: str, position: int) -> str:
    """Where in the archive the data of the volume is; names that not every file system holds are numbered."""
    return f"volumes/{name}" if is_volume_name(name) else f"volumes/+{position}"


def encode(value: Manifest | Checksum) -> bytes:
    """The text of either."""
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    except UnicodeEncodeError:
        raise Invalid("a name, label or option is not text that UTF-8 can hold") from None


def parse_manifest(text: bytes) -> Manifest:
    """Reads and checks a manifest."""
    version = _decoded(text, _Version).format
    if version != FORMAT:
        raise Invalid(f"the archive has format version {version}, this volfs knows {FORMAT}: use the one that wrote it")
    manifest = _decoded(text, Manifest)
    for entry in manifest.volumes:
        parse_name(entry.name, entry.driver)
        if not _DIRECTORY.fullmatch(entry.directory):
            raise Invalid(f"the archive has volume {entry.name} in the directory {quoted(entry.directory)}")
    for twice in ("name", "directory"):
        if len({getattr(entry, twice) for entry in manifest.volumes}) < len(manifest.volumes):
            raise Invalid(f"the archive has a {twice} twice")
    return manifest


def parse_name(name: str, driver: str) -> str:
    """`name` if a volume of this driver can have it."""
    return parse_volume_name(name) if driver == "local" else parse_plugin_name(name)


def parse_checksum(text: bytes) -> Checksum:
    """Reads a checksum."""
    return _decoded(text, Checksum)


def _decoded(text: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"what the archive says of itself cannot be read: {error}") from None
