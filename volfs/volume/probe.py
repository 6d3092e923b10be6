"""Reads a whole catalogue in a process of its own: LMDB ends the process where it finds some kinds of damage (a zeroed
page is an assertion, a page behind the end of the file a SIGBUS), and nothing in Python can catch that.

    metadata.mdb-opening   there while a daemon restores: found at a start, the last one may have died of the catalogue

Law: who reads without the mark has nothing to pay; a process is started only after a suspicion.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from volfs.errors import VolfsError
from volfs.volume.encoding import DamagedStore
from volfs.volume.store import Store

_DAMAGED = 65  # EX_DATAERR, which no failure to start the interpreter looks like


@contextmanager
def marked(catalogue: Path) -> Iterator[None]:
    """While the catalogue is read for the first time. Raises DamagedStore where the last one may have died of that."""
    mark = catalogue.with_name(f"{catalogue.name}-opening")
    if mark.exists() and catalogue.exists() and _is_damaged(catalogue):
        mark.unlink(missing_ok=True)
        raise DamagedStore(f"reading the catalogue {catalogue} ended the last daemon")
    with suppress(OSError):  # a full disk: then a damage of this kind stays unknown
        mark.touch(0o600)
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _is_damaged(catalogue: Path) -> bool:
    command = [sys.executable, "-P", "-m", "volfs.volume.probe", str(catalogue)]
    code = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
    return code < 0 or code == _DAMAGED


def main(catalogue: str) -> int:
    """Reads everything; returns the exit code. Other trouble is for whoever opens the catalogue next."""
    try:
        store = Store(Path(catalogue))
        store.volumes()
        store.numbers(0, sys.maxsize)
        store.owed()
        for _ in chain(store.entries(), store.all_references()):
            pass
    except DamagedStore:
        return _DAMAGED
    except VolfsError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
