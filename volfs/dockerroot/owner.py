"""Who has a Docker data root: dockerd locks its volumes/metadata.db (flock) for as long as it runs.

Law: nothing is written and nobody is waited for. Whoever keeps the descriptor of `claim` keeps dockerd out of the root:
it gives up after a second.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from volfs.errors import Conflict

METADATA = "volumes/metadata.db"
_NAME = "dockerd"


def claim(root: Path) -> int | None:
    """Keeps dockerd out while the descriptor is open; None where there is no metadata.db to be had.

    Raises Conflict, saying who has it, where somebody locked it.
    """
    descriptor = _locked(root / METADATA)
    if descriptor is None or descriptor >= 0:
        return descriptor
    who = locked_by(root) or "somebody"
    if who.startswith(_NAME):
        raise Conflict(
            f"{root} belongs to a Docker that runs, {who}: see its volumes with `volfs serve --observe {root}`, "
            "or stop Docker and adopt them"
        )
    raise Conflict(f"{root / METADATA} is locked by {who}: end that first, then try again")


def refuse_owned(root: Path) -> None:
    """Raises Conflict as `claim` does, and keeps nothing."""
    descriptor = claim(root)
    if descriptor is not None:
        os.close(descriptor)


def locked_by(root: Path) -> str:
    """Who has locked the metadata.db of a root, such as `dockerd (pid 12)`; "" where nobody has."""
    descriptor = _locked(root / METADATA)
    if descriptor is None:
        return ""
    if descriptor >= 0:
        os.close(descriptor)
        return ""
    return _holder(root / METADATA) or "somebody"


def runs_docker(who: str) -> bool:
    """Whether `locked_by` told of a dockerd."""
    return who.startswith(_NAME)


def _locked(path: Path) -> int | None:
    """A descriptor with a shared lock; -1 where somebody has the lock; None where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    except OSError:  # a file system without locks: nobody can have one
        return descriptor
    return descriptor


def _holder(path: Path) -> str:
    """The process that has the lock, by /proc/locks: `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF`.

    The device there is not stat(2)'s on every file system, so the inode's number has to do.
    """
    with suppress(OSError, ValueError, IndexError):
        inode = str(path.stat().st_ino)
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[3] == "WRITE" and words[5].rpartition(":")[2] == inode:
                name = Path(f"/proc/{int(words[4])}/comm").read_text().strip()
                return f"{name} (pid {words[4]})"
    return ""
