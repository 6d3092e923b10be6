"""A volume's own directory: built, made durable, completed after a power cut, and told from any other of its name.

    NAME/             1701 until it is sealed, then 0701
      _data/          0755
      opts.json       0600, only where there are options
      meta.json       0600

Law: who builds a directory and does not seal it has its volume's record committed instead, which says all that is in
it. The sticky bit marks one that is not sealed: without a record, and not whole, it was never answered for.
"""

import os
import stat
from contextlib import suppress

from volfs.driver.record import Description, is_whole, rewrite_record, sync_record, torn, write_record
from volfs.driver.sweep import DIRECTORY
from volfs.mount import syscalls

DATA = "_data"
_MODE, _MODE_OF_DATA = 0o701, 0o755
_UNSEALED = stat.S_ISVTX


def build(name: str, volumes: int, description: Description) -> str:
    """Makes a complete directory in `volumes`, with nothing synced, and returns its identity."""
    _make(name, _MODE | _UNSEALED, volumes)
    directory = os.open(name, DIRECTORY, dir_fd=volumes)
    try:
        _make(DATA, _MODE_OF_DATA, directory)
        write_record(directory, description, synced=False)
        return identity(directory)
    finally:
        os.close(directory)


def seal(directory: int) -> None:
    """Makes what volfs has put into the directory durable, and unmarks it. Its name is its parent's."""
    sync_record(directory)
    with suppress(FileNotFoundError, NotADirectoryError):  # somebody took it away: for `observe` to say
        if not syscalls.is_mount_root(DATA, dir_fd=directory):  # a server may hang, and is none of ours
            _sync(DATA, directory)
    unmark(directory)
    os.fsync(directory)


def unmark(directory: int) -> None:
    """The directory looks as one that is sealed."""
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    if mode & _UNSEALED:
        os.fchmod(directory, mode & ~_UNSEALED)


def complete(directory: int, description: Description) -> bool:
    """Puts back what a power cut took out of a directory that was not sealed; returns whether anything was missing.

    What somebody else has written is left as it is.
    """
    missing = torn(directory, description)
    rewrite_record(directory, missing, description)
    try:
        _make(DATA, _MODE_OF_DATA, directory)
    except FileExistsError:
        return bool(missing)
    return True


def is_unfinished(directory: int) -> bool:
    """Whether this is what a power cut left of a directory that nobody has been answered for, with no data in it."""
    if not os.fstat(directory).st_mode & _UNSEALED:
        return False
    try:
        data = os.open(DATA, DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # somebody put something else there
    try:
        with os.scandir(data) as entries:
            return next(entries, None) is None and not is_whole(directory)
    finally:
        os.close(data)


def identity(directory: int) -> str:
    """What tells a directory from every other that has, or had, its name; "" where the file system does not say."""
    born = syscalls.born(directory)
    return f"{os.fstat(directory).st_ino}-{born}" if born else ""


def _make(name: str, mode: int, parent: int) -> None:
    """A directory with this mode, whatever the umask."""
    os.mkdir(name, mode, dir_fd=parent)
    if stat.S_IMODE(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode) != mode:
        os.chmod(name, mode, dir_fd=parent)


def _sync(name: str, parent: int) -> None:
    descriptor = os.open(name, DIRECTORY, dir_fd=parent)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
