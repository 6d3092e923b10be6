"""How much a directory tree holds.

Law: as in a sweep, no path is built, no symlink followed, no mount entered, and few descriptors are open. What changes
or goes away meanwhile is counted or not. The sums grow while they are made: somebody else can see that it goes on.
"""

import os
from dataclasses import dataclass

from volfs.driver.sweep import DIRECTORY, Level, climb, identity
from volfs.mount.syscalls import is_mount_root

_BLOCK = 512  # bytes that st_blocks counts in; see stat(3type)
_AT_ONCE = 256  # files that are added to the sums together
_KIND, _DIRECTORY = 0o170000, 0o040000  # of st_mode; the functions of `stat` take a tenth of the time of it all


@dataclass
class Measure:
    """All that is no directory: the sum of st_size, the bytes that are allocated, and how many there are.

    `directories` were entered; without one, there was nothing to measure. `seen` are names that were looked at.
    """

    apparent: int = 0
    allocated: int = 0
    files: int = 0
    directories: int = 0
    seen: int = 0

    def add(self, apparent: int, blocks: int, files: int, seen: int) -> None:
        """Counts some more."""
        self.apparent += apparent
        self.allocated += blocks * _BLOCK
        self.files += files
        self.seen += seen


def measure_tree(parent: int, name: str, total: Measure, *, mounted: bool = False) -> None:
    """Adds what is under `name` to `total`, a file with several links once; raises OSError.

    With `mounted`, `name` must be where something is mounted, and without it must not: else nothing is measured.
    """
    levels = [Level("", identity(parent), [name])]
    linked: set[tuple[int, int]] = set()
    here = os.dup(parent)
    try:
        while levels[0].pending or len(levels) > 1:
            if not levels[-1].pending:
                here = _replaced(here, climb(levels, here))
                levels.pop()
                continue
            below = _open(levels[-1].pending.pop(), here, mounted=mounted and len(levels) == 1)
            if below is None:
                continue
            try:
                directories = _measure(below, linked, total)
                who = identity(below) if directories else None
            except BaseException:
                os.close(below)
                raise
            if who is None:
                os.close(below)
            else:
                here = _replaced(here, below)
                levels.append(Level("", who, directories))
    finally:
        os.close(here)


def _open(name: str, parent: int, *, mounted: bool) -> int | None:
    """A descriptor of the directory `name`; None where it is gone, no directory, or a mount, unless it is to be one."""
    try:
        directory = os.open(name, DIRECTORY, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if is_mount_root("", dir_fd=directory) is not mounted:
        os.close(directory)
        return None
    return directory


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new


def _measure(directory: int, linked: set[tuple[int, int]], total: Measure) -> list[str]:
    """Counts the files right in `directory`, except links to what was counted; returns its directories.

    The sums are local ones most of the time: this loop is what a measurement takes its time for. os.stat() lets other
    threads run while it waits for the disk, which not every version's DirEntry.stat() does.
    """
    directories = []
    apparent = blocks = files = seen = 0
    total.directories += 1
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            seen += 1
            if seen == _AT_ONCE:
                total.add(apparent, blocks, files, seen)
                apparent = blocks = files = seen = 0
            if status.st_mode & _KIND == _DIRECTORY:
                directories.append(entry.name)
                continue
            if status.st_nlink > 1:
                who = status.st_dev, status.st_ino
                if who in linked:
                    continue
                linked.add(who)
            apparent += status.st_size
            blocks += status.st_blocks
            files += 1
    total.add(apparent, blocks, files, seen)
    return directories
