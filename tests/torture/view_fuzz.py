"""System calls on a view with odd names, sizes and numbers, some for each seed; each ends in a value or an errno."""

import contextlib
import ctypes
import errno
import fcntl
import os
import random
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
OFFSETS = (0, 1, 4095, 4096, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 40, (1 << 63) - 1, (1 << 63) - 4096)
SIZES = (0, 1, 4096, 1 << 17, (1 << 20) + 1)
SANE = {  # what a plain directory answers to such calls, too
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.ENAMETOOLONG, errno.EPERM,
    errno.EACCES, errno.ELOOP, errno.ENOTEMPTY, errno.EBUSY, errno.ENODATA, errno.ENOTSUP, errno.ERANGE, errno.EFBIG,
    errno.ENOSPC, errno.EXDEV, errno.EROFS, errno.E2BIG, errno.ENOTTY, errno.ENXIO, errno.EOVERFLOW, errno.EBADF,
    errno.ESTALE, errno.EDQUOT, errno.EMLINK, errno.ETXTBSY, errno.ENOSYS, errno.ESPIPE, errno.EAGAIN,
}  # fmt: skip


def name(chance: random.Random) -> bytes:
    """A name for something in a directory."""
    return chance.choice(
        (
            b"a", b"b", b"c", b"meta", b"opts.json", b"_data", b".", b" ", b"new\nline", b"\xff\xfe", b"-rf", b"%2F",
            b"x" * 255, b"x" * 256, b"x" * 1024, b"y" * 4097, "é".encode() * 127, b"\x01\x7f", b"db", b"db%00",
            bytes(chance.randrange(1, 256) for _ in range(chance.randrange(1, 300))).replace(b"/", b"_"),
        )
    )  # fmt: skip


def calls(view: bytes, chance: random.Random) -> list[Callable[[], object]]:
    """One of each kind of call, on somewhere in the view."""
    base = chance.choice((view, view + b"/db", view + b"/db/_data", view + b"/db/_data", view + b"/db/_data/a"))
    path, other = base + b"/" + name(chance), base + b"/" + name(chance)
    offset, size = chance.choice(OFFSETS), chance.choice(SIZES)
    attribute = chance.choice(("user.a", "user." + "n" * 250, "user." + "n" * 300, "trusted.x", "security.capability",
                               "system.posix_acl_access", "x", "user.\udcff"))  # fmt: skip

    def with_file(act: Callable[[int], object], flags: int = os.O_RDWR | os.O_CREAT) -> object:
        descriptor = os.open(path, flags | os.O_NONBLOCK, 0o644)
        try:
            return act(descriptor)
        finally:
            os.close(descriptor)

    return [
        lambda: os.stat(path, follow_symlinks=False),
        lambda: os.listdir(base),
        lambda: os.mkdir(path),
        lambda: os.rmdir(path),
        lambda: os.unlink(path),
        lambda: os.rename(path, other),
        lambda: os.link(path, other),
        lambda: os.symlink(name(chance), path),
        lambda: os.symlink(b"z" * 4096, path),
        lambda: os.readlink(path),
        lambda: os.truncate(path, offset),
        lambda: os.chmod(path, chance.randrange(0o10000)),
        lambda: os.chown(path, chance.choice((0, 65534, -1, (1 << 32) - 2)), -1),
        lambda: os.utime(path, ns=(chance.choice((0, -1, 1 << 60)), chance.choice((0, -(1 << 40), 1 << 62)))),
        lambda: os.mkfifo(path),
        lambda: os.mknod(path, 0o020666, os.makedev(1, 3)),
        lambda: os.getxattr(path, attribute, follow_symlinks=False),
        lambda: os.setxattr(path, attribute, b"v" * chance.choice((0, 1, 255, 4097, 65536)), follow_symlinks=False),
        lambda: os.listxattr(path, follow_symlinks=False),
        lambda: os.removexattr(path, attribute, follow_symlinks=False),
        lambda: os.statvfs(base),
        lambda: with_file(lambda fd: os.pwrite(fd, b"w" * size, offset)),
        lambda: with_file(lambda fd: os.pread(fd, size, offset)),
        lambda: with_file(lambda fd: os.lseek(fd, offset, chance.choice((os.SEEK_DATA, os.SEEK_HOLE, os.SEEK_END)))),
        lambda: with_file(lambda fd: os.posix_fallocate(fd, min(offset, 1 << 20), max(size, 1))),
        lambda: with_file(lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, size, min(offset, 1 << 32))),
        lambda: with_file(lambda fd: fcntl.ioctl(fd, chance.choice((0x5401, 0x80086601, 0x40086602)), bytes(8))),
        lambda: with_file(os.fsync),
        lambda: with_file(lambda fd: os.read(fd, 10), os.O_RDONLY | os.O_DIRECTORY),
        lambda: with_file(os.fstat, os.O_RDWR | os.O_TRUNC),
        lambda: with_file(os.fstat, os.O_WRONLY | os.O_APPEND | os.O_EXCL | os.O_CREAT),
        lambda: _libc.renameat2(-100, path, -100, other, chance.choice((1, 2, 3, 4, 8))),
    ]


def attack(view: str, seed: int, many: int = 200) -> set[int]:
    """Does so many calls; returns the errnos that are none of SANE. Raises only what is no answer of the kernel's."""
    chance = random.Random(seed)
    odd: set[int] = set()
    for _ in range(many):
        try:
            chance.choice(calls(os.fsencode(view), chance))()
        except OSError as error:
            odd.add(error.errno)
        except (ValueError, OverflowError):
            continue  # Python's own word
    with contextlib.suppress(OSError):  # huge and sparse files are not to fill the disk
        os.truncate(os.fsencode(view) + b"/db/_data/a", 0)
    return odd - SANE
