"""Reads a catalogue in a process of its own: some kinds of damage make LMDB end the process that reads them.

Law: nothing is written but a reader's slot in metadata.mdb-lock.
"""

import subprocess
import sys
from pathlib import Path

import msgspec

from volfs.check.observation import Catalogue
from volfs.errors import HostError, Invalid, VolfsError
from volfs.volume.encoding import DamagedStore
from volfs.volume.store import Store
from volfs.volume.volume import Reference, Volume

TRIES = 3  # a daemon that enlarges the file meanwhile makes a reading fail
_DAMAGED, _NEWER, _FAILED = 65, 66, 67


class _Contents(msgspec.Struct):
    volumes: list[Volume]
    references: list[tuple[str, Reference]]


def read_catalogue(path: Path) -> Catalogue | None:
    """What a catalogue says; None where there is no such file. Raises HostError where it cannot be opened."""
    if not path.exists():
        return None
    if not path.stat().st_size:
        return Catalogue(damage=f"the catalogue {path} is empty")
    command = [sys.executable, "-P", "-m", "volfs.check.catalogue", str(path)]
    for _ in range(TRIES):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        said = done.stdout.decode(errors="replace").strip()
        if done.returncode == 0:
            contents = msgspec.msgpack.decode(done.stdout, type=_Contents)
            return Catalogue(contents.volumes, contents.references)
        if done.returncode == _NEWER:
            return Catalogue(newer=said)
        if done.returncode == _DAMAGED:
            return Catalogue(damage=said)
        if done.returncode < 0:
            return Catalogue(damage=f"reading the catalogue {path} ends the process that does it")
        if done.returncode == _FAILED:
            raise HostError(said)
    raise HostError(f"the catalogue {path} cannot be read: {done.stderr.decode(errors='replace').splitlines()[-1:]}")


def main(path: str) -> int:
    """Writes the contents of a catalogue to standard output, or why there are none; returns the exit code."""
    try:
        store = Store(Path(path), reading=True)
        contents = _Contents(store.volumes(), list(store.all_references()))
        store.numbers(0, sys.maxsize)
        store.owed()
    except (DamagedStore, Invalid, VolfsError) as error:
        print(error)
        return _DAMAGED if isinstance(error, DamagedStore) else _NEWER if isinstance(error, Invalid) else _FAILED
    sys.stdout.buffer.write(msgspec.msgpack.encode(contents))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
