"""How much a directory tree holds.

Law: as in a sweep, no path is built, no symlink followed, no mount entered, and few descriptors are open. What changes
or goes away meanwhile is counted or not.
"""

import os
import stat
from dataclasses import dataclass

from volfs.driver.sweep import DIRECTORY, Level, climb, identity
from volfs.mount.syscalls import is_mount_root

_BLOCK = 512  # bytes that st_blocks counts in; see stat(3type)


@dataclass
class Measure:
    """All that is no directory: the sum of st_size, the bytes that are allocated, and how many there are."""

    apparent: int = 0
    allocated: int = 0
    files: int = 0

    def add(self, status: os.stat_result) -> None:
        """Counts one more."""
        self.apparent += status.st_size
        self.allocated += status.st_blocks * _BLOCK
        self.files += 1


def measure_tree(parent: int, name: str) -> Measure:
    """What is under `name`, a file with several links once; raises OSError."""
    levels = [Level("", identity(parent), [name])]
    linked: set[tuple[int, int]] = set()
    total = Measure()
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
            directories = _measure(here, linked, total)
            levels.append(Level("", identity(here), directories))
    finally:
        os.close(here)
    return total


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


def _measure(directory: int, linked: set[tuple[int, int]], total: Measure) -> list[str]:
    """Counts the files right in `directory`, except links to what was counted; returns its directories."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                directories.append(entry.name)
                continue
            if status.st_nlink > 1:
                who = status.st_dev, status.st_ino
                if who in linked:
                    continue
                linked.add(who)
            total.add(status)
    return directories
