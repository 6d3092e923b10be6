"""Reads a whole catalogue in a process of its own: LMDB ends the process where it finds some kinds of damage (a zeroed
page is an assertion, a page behind the end of the file a SIGBUS), and nothing in Python can catch that.

Law: who reads without a mark (`suspicion`) has nothing to pay before it serves: a process is started for it only after
a suspicion, and once a daemon is ready.

    metadata.mdb-copy   every record of one whose pages are damaged where no record is, in the list of free pages above
                        all: no read looks there, and a write dies of it
"""

import logging
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from volfs.errors import VolfsError
from volfs.mount.syscalls import sync_directory
from volfs.volume.encoding import DamagedStore
from volfs.volume.integrity import check
from volfs.volume.store import Store
from volfs.volume.suspicion import is_of_a_death, mark_of

log = logging.getLogger(__name__)

_DAMAGED, _REFUSED = 65, 75  # EX_DATAERR, which no failure to start the interpreter looks like, and EX_TEMPFAIL


@contextmanager
def marked(catalogue: Path) -> Iterator[None]:
    """While the catalogue is read for the first time. Raises DamagedStore where the last daemon may have died of it."""
    mark = mark_of(catalogue)
    if mark.exists() and catalogue.exists() and (is_of_a_death(mark) or is_damaged(catalogue)):
        mark.unlink(missing_ok=True)
        raise DamagedStore(f"the catalogue {catalogue} may have ended the last daemon")
    with suppress(OSError):  # a full disk: then a damage of this kind stays unknown
        mark.touch(0o600)
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def renew(catalogue: Path) -> bool:
    """Puts a copy of all its records in its place; False where they are damaged. Nobody may have it open.

    Where there is no room for a copy it stays as it is.
    """
    copy = catalogue.with_name(f"{catalogue.name}-copy")
    lock = copy.with_name(f"{copy.name}-lock")
    try:
        for left in (copy, lock):
            left.unlink(missing_ok=True)
        code = _read(catalogue, str(copy))
        if code == 0:
            catalogue.with_name(f"{catalogue.name}-lock").unlink(missing_ok=True)  # counts the other's transactions
            copy.rename(catalogue)
            sync_directory(catalogue.parent)
        return not _is_fatal(code)
    except OSError as error:
        log.warning("the catalogue is not renewed", extra={"why": str(error)})
        return True
    finally:
        for left in (copy, lock):
            left.unlink(missing_ok=True)


def is_damaged(catalogue: Path) -> bool:
    """Whether reading all of it fails, or ends the process that does."""
    return _is_fatal(_read(catalogue))


def _read(catalogue: Path, *copy: str) -> int:
    command = [sys.executable, "-P", "-m", "volfs.volume.probe", str(catalogue), *copy]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode


def _is_fatal(code: int) -> bool:
    return code < 0 or code == _DAMAGED


def is_surely_damaged(catalogue: Path) -> bool:
    """The same of a catalogue that is in use, found twice."""
    return is_damaged(catalogue) and is_damaged(catalogue)


def main(catalogue: str, copy: str = "") -> int:
    """Reads everything, and makes a copy; returns the exit code. Other trouble is for whoever opens it next."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _check(Path(catalogue), copy)
        if copy:
            _check(Path(copy))
    except DamagedStore:
        return _DAMAGED
    except (VolfsError, OSError):  # a full disk, for one
        return _REFUSED
    return 0


def _check(catalogue: Path, copy: str = "") -> None:
    store = Store(catalogue, reading=bool(copy))
    with store.snapshot():
        check(store)
        if copy:
            store.copy(Path(copy))
    store.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
