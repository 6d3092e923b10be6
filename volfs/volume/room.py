"""Room on the disk that the catalogue has before it needs it, so that a full disk takes away neither a daemon nor the
way to make room: removing a volume writes to the catalogue too. And room in memory, looked for before it is taken.

Law: what is reserved is only ever more than what is used. Everything here blocks.
"""

import errno
import mmap
import os
from contextlib import suppress
from pathlib import Path

from volfs.errors import HostError

LOCK_FILE = 8192  # bytes; LMDB makes as many reader slots as fit
SPARE = 1 << 20  # bytes; a removal writes some thirty pages, and its next but one can use them again


def reserve_lock(lock: Path) -> None:
    """Asks for room before LMDB maps its lock file: touching a page that a full disk has none for is a SIGBUS."""
    try:
        _reserve(lock, LOCK_FILE)
    except OSError as error:
        raise HostError(f"the catalogue {lock.parent} cannot be opened: {error.strerror}", error.errno) from error


def reserve_spare(catalogue: Path, used: int) -> int:
    """Reserves SPARE bytes behind those that are used; returns where they end, or `used` on a disk that is full."""
    with suppress(OSError):
        _reserve(catalogue, used + SPARE)
        return used + SPARE
    return used


def need_memory(size: int) -> None:
    """Raises OSError where so many bytes more cannot be mapped."""
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ).close()


def refused(catalogue: Path, why: Exception) -> HostError:
    """What to tell of a write that the host refused: LMDB calls a full disk an input/output error."""
    with suppress(OSError):
        room = os.statvfs(catalogue.parent)
        if room.f_bavail * room.f_frsize < SPARE:
            text = f"the catalogue {catalogue} cannot be written: {os.strerror(errno.ENOSPC)}"
            return HostError(text, errno.ENOSPC)
    return HostError(f"the catalogue {catalogue} cannot be written: {why}")


def _reserve(path: Path, length: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        there = os.fstat(descriptor).st_size
        os.posix_fallocate(descriptor, 0, length)
        # Zeros as well: the first write to a block that was only reserved makes the next sync wait for the journal.
        if there < length:
            os.pwrite(descriptor, bytes(length - there), there)
    finally:
        os.close(descriptor)
