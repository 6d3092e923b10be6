"""Calls in a directory, one after another, each of whose results is to be compared: `do` makes them."""

import contextlib
import ctypes
import fcntl
import mmap
import os
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path

from tests.view.passthrough_view import libc, outcome, put, renameat2, seen

Do = Callable[..., None]


def files(at: Path, do: Do) -> None:
    do(put, at / "new", b"one")
    do(put, at / "new", b"", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    do(put, at / "new", b"two", os.O_WRONLY | os.O_APPEND)
    do((at / "new").read_bytes)
    do(put, at / "new", b"3", os.O_WRONLY | os.O_TRUNC)
    do(put, at / "new", b"", os.O_WRONLY | os.O_DIRECTORY)
    with (at / "sparse").open("w+b") as file:
        do(os.pwrite, file.fileno(), b"end", 1_000_000)
        do(os.pread, file.fileno(), 5, 999_998)
        do(os.ftruncate, file.fileno(), 1_000_001)
        do(os.fsync, file.fileno())
        do(os.fdatasync, file.fileno())
    do(os.truncate, at / "sparse", 2_000_000)
    do(os.truncate, at / "sparse", -1)
    do(os.truncate, at, 0)
    with open(at / "secret", "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(b"x" * 300_000)
        do(os.fchmod, file.fileno(), 0o400)
        do(os.ftruncate, file.fileno(), 7)
        os.unlink(at / "secret")
        file.flush()
        do(lambda: os.fstat(file.fileno()).st_nlink)
        do(file.write, b"after")
    do(os.open, at / "gone", os.O_RDONLY)
    do(put, at / "mode", b"", mode=0o6751)
    do(os.mknod, at / "fifo", stat.S_IFIFO | 0o640)
    do(os.mknod, at / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))


def names(at: Path, do: Do) -> None:
    for name in (b"n" * 255, b"n" * 256, b"\xff\xfe bad", b"line\nbreak", b"sp ace", "ü€".encode()):
        path = os.path.join(os.fsencode(at), name)
        do(put, path, name)
        do(lambda path=path: os.stat(path).st_size)
    do(sorted, os.listdir(os.fsencode(at)))


def directories(at: Path, do: Do) -> None:
    do(os.mkdir, at / "d", 0o750)
    do(os.mkdir, at / "d")
    do(os.mkdir, at / "d" / "e", 0o1777)
    do(os.rmdir, at / "d")
    do(os.unlink, at / "d" / "e")
    do(os.rmdir, at / "d" / "e")
    do(put, at / "d" / "f", b"f")
    do(os.rmdir, at / "d" / "f")
    do(os.chmod, at / "d", 0o2770)
    do(os.chown, at / "d", 0, 12)
    do(os.mkdir, at / "d" / "inherits")
    do(put, at / "d" / "inherits" / "too", b"")
    do(os.symlink, "x", at / "d" / "link")
    with contextlib.closing(Descriptor(at / "d")) as fd:
        do(os.fsync, fd.number)


class Descriptor:
    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        os.close(self.number)


def renames(at: Path, do: Do) -> None:
    for name in "abc":
        put(at / name, name.encode())
    os.makedirs(at / "full" / "inner")
    os.mkdir(at / "empty")
    do(os.rename, at / "a", at / "b")
    do(renameat2, at / "b", at / "c", 1)
    do(renameat2, at / "b", at / "new", 1)
    do(renameat2, at / "new", at / "c", 2)
    do(renameat2, at / "new", at / "nothing", 2)
    do(os.rename, at / "empty", at / "full")
    do(os.rename, at / "full", at / "empty")
    do(os.rename, at / "empty", at / "empty" / "inner" / "below")
    do(os.rename, at / "c", at / "empty")
    do(os.rename, at / "gone", at / "x")
    do(os.rename, at / "c", at / "empty" / "inner" / "c")
    do((at / "empty" / "inner" / "c").read_bytes)
    do((at / "new").read_bytes)


def links(at: Path, do: Do) -> None:
    put(at / "one", b"1")
    os.symlink("one", at / "soft")
    do(os.link, at / "one", at / "two")
    do(os.link, at / "one", at / "two")
    do(lambda: os.stat(at / "one").st_ino == os.stat(at / "two").st_ino)
    do(lambda: os.stat(at / "one").st_nlink)
    do(os.link, at / "soft", at / "soft2", follow_symlinks=False)
    do(os.readlink, at / "soft2")
    do(os.readlink, at / "one")
    do(os.link, at, at / "directory")
    do(os.unlink, at / "one")
    do(lambda: os.stat(at / "two").st_nlink)
    do(os.symlink, "/" + "x" * 4000, at / "long")
    do(os.lchown, at / "soft", 5, 6)
    do(os.utime, at / "soft", ns=(1, 2), follow_symlinks=False)
    do(lambda: os.lstat(at / "soft").st_mtime_ns)


def times(path: Path) -> tuple[int, int]:
    return os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns


def attributes(at: Path, do: Do) -> None:
    put(at / "f", b"data")
    os.mkdir(at / "d")
    for name in ("f", "d"):
        do(os.chmod, at / name, 0o7711)
        do(os.chown, at / name, 7, 8)
        do(seen, at / name)
        do(os.chown, at / name, -1, 9)
        do(os.utime, at / name, ns=(1_234_567_891, 2_345_678_912))
        do(times, at / name)
        do(os.utime, at / name, ns=(-5_000_000_001, 5_000_000_000_000_000_001))
        do(times, at / name)
    touched = time.time()
    do(os.utime, at / "f")
    do(lambda: abs(os.stat(at / "f").st_mtime - touched) < 60)
    omit = (ctypes.c_long * 4)(11, 12, 0, (1 << 30) - 2)
    before = os.stat(at / "f").st_mtime_ns
    do(libc.utimensat, -100, os.fsencode(at / "f"), omit, 0)
    do(lambda: os.stat(at / "f").st_atime_ns)
    do(lambda: os.stat(at / "f").st_mtime_ns == before)
    do(lambda: tuple(os.statvfs(at))[:3] + tuple(os.statvfs(at))[9:])


def xattrs(at: Path, do: Do) -> None:
    put(at / "f", b"")
    os.mkdir(at / "d")
    os.symlink("f", at / "l")
    for name in ("f", "d"):
        do(os.listxattr, at / name)
        do(os.getxattr, at / name, "user.a")
        do(os.setxattr, at / name, "user.a", b"1", os.XATTR_REPLACE)
        do(os.setxattr, at / name, "user.a", b"1", os.XATTR_CREATE)
        do(os.getxattr, at / name, "user.a")
        do(os.setxattr, at / name, "user.a", b"2", os.XATTR_CREATE)
        do(os.setxattr, at / name, "user.a", b"\0" * 1000)
        do(os.setxattr, at / name, "trusted.t", b"")
        do(sorted, os.listxattr(at / name))
        do(os.removexattr, at / name, "user.b")
        do(os.removexattr, at / name, "user.a")
        do(os.getxattr, at / name, "user.a")
        do(os.getxattr, at / name, "nonsense")
    do(os.setxattr, at / "l", "user.a", b"", follow_symlinks=False)
    rights = ((1, 6, 0xFFFFFFFF), (2, 7, 5), (4, 4, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *right) for right in rights)  # acl(5)
    do(os.setxattr, at / "f", "system.posix_acl_access", acl)
    do(os.getxattr, at / "f", "system.posix_acl_access")
    do(os.setxattr, at / "d", "system.posix_acl_default", acl)
    do(put, at / "d" / "heir", b"")
    do(os.getxattr, at / "d" / "heir", "system.posix_acl_access")


def memory_and_locks(at: Path, do: Do) -> None:
    put(at / "f", b"x" * 10_000)
    with (at / "f").open("r+b") as file, (at / "f").open("r+b") as other:
        with mmap.mmap(file.fileno(), 10_000) as mapped:
            mapped[5000:5004] = b"mmap"
            mapped.flush()
            do(lambda: mapped[4999:5005])
        do(os.pread, other.fileno(), 6, 4999)
        do(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        do(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        do(fcntl.flock, file, fcntl.LOCK_UN)
        do(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        do(fcntl.lockf, other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)


SCENARIOS = [files, names, directories, renames, links, attributes, xattrs, memory_and_locks]


def played(scenario: Callable[[Path, Do], None], at: Path) -> list[object]:
    """What each step of a scenario gave, or its errno, and what it left behind."""
    results: list[object] = []

    def do(work: Callable[..., object], *args: object, **kwargs: object) -> None:
        results.append((getattr(work, "__name__", ""), outcome(lambda: work(*args, **kwargs))))

    scenario(at, do)
    return results
