"""How much a directory tree holds.

Law: as in a sweep, no path is built, no symlink followed, no mount entered, and few descriptors are open. What changes
or goes away meanwhile is counted or not.
"""

import os
import stat

from volfs.driver.sweep import DIRECTORY, Level, climb, identity
from volfs.mount.syscalls import is_mount_root


def tree_size(parent: int, name: str) -> int:
    """The sum of st_size of all that is no directory under `name`, a file with several links once; raises OSError."""
    levels = [Level("", identity(parent), [name])]
    linked: dict[tuple[int, int], int] = {}
    total = 0
    here = os.dup(parent)
    try:
        while levels[0].pending or len(levels) > 1:
            if not levels[-1].pending:
                here = _replaced(here, climb(levels, here))
                levels.pop()
                continue
            below = _open(levels[-1].pending.pop(), here)
            if below is None:
                continue
            here = _replaced(here, below)
            size, directories = _measure(here, linked)
            total += size
            levels.append(Level("", identity(here), directories))
    finally:
        os.close(here)
    return total + sum(linked.values())


def _open(name: str, parent: int) -> int | None:
    """A descriptor of the directory `name`; None where it is gone, no directory, or another mount."""
    try:
        directory = os.open(name, DIRECTORY, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if is_mount_root("", dir_fd=directory):
        os.close(directory)
        return None
    return directory


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new


def _measure(directory: int, linked: dict[tuple[int, int], int]) -> tuple[int, list[str]]:
    """The bytes of the files right in `directory`, those with several links noted instead, and its directories."""
    size, directories = 0, []
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                directories.append(entry.name)
            elif status.st_nlink > 1:
                linked[status.st_dev, status.st_ino] = status.st_size
            else:
                size += status.st_size
    return size, directories
