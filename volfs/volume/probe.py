"""Reads a whole catalogue in a process of its own: LMDB ends the process where it finds some kinds of damage (a zeroed
page is an assertion, a page behind the end of the file a SIGBUS), and nothing in Python can catch that.

    metadata.mdb-opening   there while a daemon restores: found at a start, the last one may have died of the catalogue

Law: who reads without the mark has nothing to pay; a process is started only after a suspicion.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from volfs.errors import VolfsError
from volfs.volume.store import DamagedStore, Store


@contextmanager
def marked(catalogue: Path) -> Iterator[None]:
    """While the catalogue is read for the first time. Raises DamagedStore where the last one died of that."""
    mark = catalogue.with_name(f"{catalogue.name}-opening")
    if mark.exists() and catalogue.exists() and _kills(catalogue):
        mark.unlink(missing_ok=True)
        raise DamagedStore(f"reading the catalogue {catalogue} kills the process that does")
    with suppress(OSError):  # a full disk: then a damage of this kind stays unknown
        mark.touch(0o600)
    yield
    mark.unlink(missing_ok=True)


def _kills(catalogue: Path) -> bool:
    command = [sys.executable, "-m", "volfs.volume.probe", str(catalogue)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode < 0


def main(catalogue: str) -> None:
    """Reads everything; what can be reported is for whoever opens the catalogue next."""
    with suppress(VolfsError):
        store = Store(Path(catalogue))
        store.volumes()
        store.numbers(0, store.count())
        store.owed()
        for _ in store.entries(), *store.all_references():
            pass


if __name__ == "__main__":
    main(sys.argv[1])
