"""A disk whose power can be cut: a block device that remembers every write and every flush, in their order.

    file system  ->  loop device  ->  one file of a FUSE file system, this program  ->  DIRECTORY/log

    log    HEAD(kind, time, offset, length) [bytes]   kind: write, or flush, which is noted once it is over

A disk keeps what it was given in a cache of its own until it is flushed. So after a cut there is everything that was
written before the last flush that was over, and of the writes since then any part, in any order: `image` makes one.

    python -m tests.torture.disk DIRECTORY      serves DIRECTORY/disk/image, which starts as a copy of DIRECTORY/base

Law: a write is in the log before it is answered. Times are CLOCK_MONOTONIC, the same for every process.
"""

import contextlib
import errno
import os
import shutil
import stat
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyfuse3
import trio

HEAD = struct.Struct("=cdQI")
WRITE, FLUSH = b"w", b"f"
FILE = 2  # the inode of the only file
NAME = b"image"
SECTOR = 4096  # bytes that are written whole or not at all


@dataclass(frozen=True)
class Event:
    """A write of `length` bytes to `offset`, which are in the log at `at`; or a flush."""

    kind: bytes
    time: float
    offset: int
    length: int
    at: int


def events(log: Path) -> list[Event]:
    """What has happened so far."""
    found = []
    with log.open("rb") as file:
        while len(head := file.read(HEAD.size)) == HEAD.size:
            kind, moment, offset, length = HEAD.unpack(head)
            found.append(Event(kind, moment, offset, length, file.tell()))
            file.seek(length, os.SEEK_CUR)
    return found


def image(directory: Path, history: list[Event], cut: int, choose: Random, target: Path) -> None:
    """What is on the disk when the power goes after `cut` events."""
    flushed = max((number for number in range(cut) if history[number].kind == FLUSH), default=-1)
    kept = choose.choice((0.0, 0.5, 0.9, 1.0))
    subprocess.run(["cp", "--sparse=always", directory / "base", target], check=True)
    with (directory / "log").open("rb") as log, target.open("r+b") as disk:
        for number in range(cut):
            one = history[number]
            if one.kind != WRITE:
                continue
            log.seek(one.at)
            text = log.read(one.length)
            for start in range(0, one.length, SECTOR if number > flushed else one.length):
                if number < flushed or choose.random() < kept:
                    disk.seek(one.offset + start)
                    disk.write(text[start : start + SECTOR] if number > flushed else text)


class Disk(pyfuse3.Operations):
    """One file that logs."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._log = (directory / "log").open("ab", buffering=0)
        self._now = os.open(directory / "now", os.O_RDWR)
        self._size = os.fstat(self._now).st_size

    async def getattr(self, inode: int, ctx: object = None) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino, entry.st_nlink = inode, 1
        entry.st_mode = (stat.S_IFREG | 0o600) if inode == FILE else (stat.S_IFDIR | 0o700)
        entry.st_size = self._size if inode == FILE else 0
        return entry

    async def setattr(self, inode: int, *rest: object) -> pyfuse3.EntryAttributes:
        return await self.getattr(inode)

    async def lookup(self, parent: int, name: bytes, ctx: object = None) -> pyfuse3.EntryAttributes:
        if name != NAME:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(FILE)

    async def open(self, inode: int, flags: int, ctx: object) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=FILE, direct_io=False, keep_cache=False)

    async def read(self, fh: int, offset: int, size: int) -> bytes:
        return os.pread(self._now, size, offset)

    async def write(self, fh: int, offset: int, text: bytes) -> int:
        os.pwrite(self._now, text, offset)
        self._log.write(HEAD.pack(WRITE, time.monotonic(), offset, len(text)) + text)
        return len(text)

    async def fsync(self, fh: int, datasync: bool) -> None:
        self._log.write(HEAD.pack(FLUSH, time.monotonic(), 0, 0))

    async def flush(self, fh: int) -> None:
        return

    async def release(self, fh: int) -> None:
        return


def main(directory: Path) -> None:
    """Serves until it is unmounted."""
    mountpoint = directory / "disk"
    mountpoint.mkdir(exist_ok=True)
    shutil.copyfile(directory / "base", directory / "now")
    (directory / "log").write_bytes(b"")
    pyfuse3.init(Disk(directory), str(mountpoint), {*pyfuse3.default_options, "fsname=torture"})
    try:
        print("ready", flush=True)
        trio.run(pyfuse3.main)
    finally:
        with contextlib.suppress(Exception):
            pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
