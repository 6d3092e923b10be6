"""Reads a whole catalogue in a process of its own: LMDB ends the process where it finds some kinds of damage (a zeroed
page is an assertion, a page behind the end of the file a SIGBUS), and nothing in Python can catch that.

Law: who reads without a mark (`suspicion`) has nothing to pay before it serves: a process is started for it only after
a suspicion, and once a daemon is ready.

    metadata.mdb-rehearsal   a copy in which everything is written again: some damage, above all to the list of free
                             pages, is met by a commit alone, and one that overwrites what is in use must harm nothing
"""

import logging
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from volfs.errors import VolfsError
from volfs.volume.encoding import DamagedStore
from volfs.volume.integrity import check
from volfs.volume.store import Store
from volfs.volume.suspicion import mark_of

log = logging.getLogger(__name__)

_DAMAGED = 65  # EX_DATAERR, which no failure to start the interpreter looks like


@contextmanager
def marked(catalogue: Path) -> Iterator[None]:
    """While the catalogue is read for the first time. Raises DamagedStore where the last one may have died of that."""
    mark = mark_of(catalogue)
    if mark.exists() and catalogue.exists() and is_damaged(catalogue, unused=True):
        mark.unlink(missing_ok=True)
        raise DamagedStore(f"reading the catalogue {catalogue} ended the last daemon")
    with suppress(OSError):  # a full disk: then a damage of this kind stays unknown
        mark.touch(0o600)
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def is_damaged(catalogue: Path, *, unused: bool = False) -> bool:
    """Whether reading all of it fails, or ends the process that does; of one that is `unused`, writing too."""
    if not unused:
        return _ends(catalogue)
    copy = catalogue.with_name(f"{catalogue.name}-rehearsal")
    try:
        if _ends(catalogue):
            return True
        try:
            copy.touch(0o600)
            shutil.copyfile(catalogue, copy)
        except OSError as error:  # a full disk: then a damage that only writing meets stays unknown
            log.warning("the catalogue is not tried out", extra={"why": str(error)})
            return False
        return _ends(copy, "rehearse")
    finally:
        for one in (copy, copy.with_name(f"{copy.name}-lock")):
            one.unlink(missing_ok=True)


def _ends(catalogue: Path, *how: str) -> bool:
    command = [sys.executable, "-P", "-m", "volfs.volume.probe", str(catalogue), *how]
    code = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
    return code < 0 or code == _DAMAGED


def is_surely_damaged(catalogue: Path) -> bool:
    """The same of a catalogue that is in use, found twice."""
    return is_damaged(catalogue) and is_damaged(catalogue)


def main(catalogue: str, rehearse: str = "") -> int:
    """Reads everything; returns the exit code. Other trouble is for whoever opens the catalogue next."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        store = Store(Path(catalogue))
        if rehearse:
            store.rehearse()
        with store.snapshot():
            check(store)
    except DamagedStore:
        return _DAMAGED
    except VolfsError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
