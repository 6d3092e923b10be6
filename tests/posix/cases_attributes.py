"""Cases of attributes: times, xattrs' company, room, whole copies, and what FUSE has no word for."""

import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from steps import (
    ACCESS,
    Results,
    acl,
    case,
    checked,
    libc,
    opened,
    outcome,
    put,
    tree,
)


@case
def times(at: Path) -> Results:
    put(at / "f", b"data")
    os.mkdir(at / "d")
    for ns in ((1, 2), (1_000_000_001, 2_999_999_999), (0, 0), (4_000_000_000_000_000_000, 5), (-1_500_000_000, -1)):
        for name in ("f", "d"):
            yield (
                ns,
                name,
                outcome(os.utime, at / name, ns=ns),
                os.stat(at / name).st_atime_ns,
                os.stat(at / name).st_mtime_ns,
            )

    def moved(work: Callable[[], object], path: Path) -> tuple[bool, ...]:
        """Which of the three times the call sets; the clock of a file system ticks every few milliseconds."""
        os.utime(path, (1000, 1000))
        before = os.stat(path)
        time.sleep(0.02)
        work()
        after = os.stat(path)
        return after.st_mtime_ns != before.st_mtime_ns, after.st_ctime_ns != before.st_ctime_ns

    yield moved(lambda: put(at / "f", b"x", os.O_WRONLY), at / "f"), moved(lambda: os.chmod(at / "f", 0o600), at / "f")
    yield moved(lambda: os.truncate(at / "f", 1), at / "f"), moved(lambda: os.truncate(at / "f", 1), at / "f")
    yield moved(lambda: os.link(at / "f", at / "l"), at / "f"), moved(lambda: put(at / "d/n", b""), at / "d")
    yield moved(lambda: os.rename(at / "d/n", at / "d/m"), at / "d"), moved(lambda: os.unlink(at / "d/m"), at / "d")
    yield (
        moved(lambda: (at / "f").read_bytes(), at / "f"),
        moved(lambda: os.setxattr(at / "f", "user.a", b""), at / "f"),
    )
    yield (
        moved(lambda: put(at / "f", b"", os.O_WRONLY | os.O_TRUNC), at / "f"),
        moved(lambda: os.unlink(at / "l"), at / "f"),
    )
    yield moved(lambda: os.chown(at / "f", -1, -1), at / "f"), moved(lambda: os.listdir(at / "d"), at / "d")


@case
def what_statfs_says(at: Path) -> Results:
    room = os.statvfs(at)
    yield room.f_bsize, room.f_frsize, room.f_blocks, room.f_files, room.f_namemax
    yield os.pathconf(at, "PC_NAME_MAX"), os.pathconf(at, "PC_LINK_MAX") > 1


@case
def copies_and_archives_are_whole(at: Path) -> Results:
    source = at / "source"
    os.makedirs(source / "deep/deeper")
    put(source / "deep/f", b"data" * 5000, mode=0o751)
    os.chown(source / "deep/f", 3, 4)
    os.link(source / "deep/f", source / "deep/deeper/linked")
    os.symlink("../deep/f", source / "deep/link")
    os.setxattr(source / "deep/f", "user.colour", b"red")
    os.setxattr(source / "deep", ACCESS, acl(7, 5, 5, 7, 0))
    os.utime(source / "deep/f", ns=(1_234_567_890_123_456_789, 987_654_321_012_345_678))
    subprocess.run(["cp", "-a", source, at / "copy"], check=True)
    os.mkdir(at / "unpacked")
    archive = ["tar", "--xattrs", "--acls", "-C", source, "-cf", at / "archive.tar", "."]
    subprocess.run(archive, check=True, capture_output=True)
    unpack = ["tar", "--xattrs", "--acls", "-C", at / "unpacked", "-xpf", at / "archive.tar"]
    subprocess.run(unpack, check=True, capture_output=True)
    for name in ("source", "copy", "unpacked"):
        yield name, tree(at / name), os.stat(at / name / "deep/f").st_mtime_ns
        yield (
            outcome(os.getxattr, at / name / "deep/f", "user.colour"),
            outcome(os.getxattr, at / name / "deep", ACCESS),
        )
    subprocess.run(["rm", "-r", at / "copy"], check=True)
    yield sorted(os.listdir(at))


@case
def what_is_beyond_reading_and_writing(at: Path) -> Results:
    with opened(at / "f", os.O_CREAT | os.O_RDWR) as file:
        os.pwrite(file, b"x", 1_000_000)
        yield "fallocate", outcome(os.posix_fallocate, file, 0, 2_000_000)
        yield "punch a hole", outcome(lambda: checked(libc.fallocate64(file, 3, 0, 4096)))
        yield "hole", outcome(os.lseek, file, 0, os.SEEK_HOLE), "data", outcome(os.lseek, file, 0, os.SEEK_DATA)
        yield "copy_file_range", outcome(lambda: os.copy_file_range(file, file, 1000, 0, 500_000))
        yield "temporary", outcome(lambda: tempfile.TemporaryFile(dir=at).close())
        yield "O_TMPFILE", outcome(lambda: os.close(os.open(at, os.O_TMPFILE | os.O_RDWR)))
        yield "O_DIRECT", outcome(lambda: os.close(os.open(at / "f", os.O_DIRECT | os.O_RDWR)))
        yield "lease", outcome(fcntl.fcntl, file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        yield "reads of directories", outcome(os.read, os.open(at, os.O_RDONLY), 10)
