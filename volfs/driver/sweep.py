"""Deletes a directory tree that may be deep, huge, hostile, or still written to.

Law: every name is looked up in an open directory, never along a path; a symlink is deleted, not followed; the root of
another mount is never entered. At most four descriptors are open, however deep the tree: the way back up is `..`, and
it must lead to the directory that the way down came from. What is stopped can be started again.

Only the mount is asked for, not st_dev, which differs inside btrfs at every subvolume that a container made.
"""

import errno
import os
from dataclasses import dataclass

from volfs.errors import HostError
from volfs.mount.syscalls import is_mount_root

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

_MOST_RETRIES = 64  # of directories in one directory that got new entries while they were emptied
_LONGEST_PATH = 300  # of a path in a message


@dataclass
class Level:
    """A directory on the way down: its name in the one above, who it is, its directories still to be deleted."""

    name: str
    identity: tuple[int, int]
    pending: list[str]
    retries: int = 0


def sweep_tree(parent: int, name: str) -> None:
    """Deletes `name`, whatever it is, from the directory of the descriptor `parent`; fine when it is not there.

    Raises HostError, with the errno, where it stops: at a mount (EBUSY), or where the host refuses.
    """
    levels = [Level("", identity(parent), [name])]
    here = os.dup(parent)
    try:
        while levels[0].pending or len(levels) > 1:
            pending = levels[-1].pending
            here = _enter(levels, here, pending.pop()) if pending else _leave(levels, here)
    except OSError as error:
        path = "/".join(level.name for level in levels[1:]) or name
        what = "something is mounted inside" if error.errno == errno.EBUSY else error.strerror
        raise HostError(f"cannot delete {path[:_LONGEST_PATH]}: {what}", error.errno) from error
    finally:
        os.close(here)


def _enter(levels: list[Level], here: int, name: str) -> int:
    """Goes down into `name` and deletes its files; what is no directory is deleted. Returns where we are then."""
    try:
        below = os.open(name, DIRECTORY, dir_fd=here)
    except FileNotFoundError:
        return here
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        _unlink(name, here)
        return here
    try:
        if is_mount_root("", dir_fd=below):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)
        levels.append(Level(name, identity(below), _clear(below)))
    except BaseException:
        os.close(below)
        raise
    os.close(here)
    return below


def _leave(levels: list[Level], here: int) -> int:
    """Goes back up and deletes the directory that we were in."""
    left = levels[-1]
    above = climb(levels, here)
    try:
        _rmdir(left.name, above, levels[-2])
    except BaseException:
        os.close(above)
        raise
    levels.pop()
    os.close(here)
    return above


def climb(levels: list[Level], here: int) -> int:
    """Opens the directory above `here`; raises ESTALE where it is not the one that we came from."""
    above = os.open("..", DIRECTORY, dir_fd=here)
    if identity(above) != levels[-2].identity:
        os.close(above)
        raise OSError(errno.ESTALE, "somebody moved it meanwhile", levels[-1].name)
    return above


def _rmdir(name: str, parent: int, level: Level) -> None:
    """Deletes an emptied directory; one that is not empty any more waits for another round."""
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:
        level.retries += 1
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or level.retries > _MOST_RETRIES:
            raise
        level.pending.append(name)


def _clear(directory: int) -> list[str]:
    """Deletes what is no directory, and returns the names of those that are."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            else:
                _unlink(entry.name, directory)
    return directories


def _unlink(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def identity(directory: int) -> tuple[int, int]:
    """Who a directory is, whatever its name."""
    status = os.fstat(directory)
    return status.st_dev, status.st_ino
