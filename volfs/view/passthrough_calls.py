"""What the data plane asks of a volume's real file system: blocking calls on descriptors, for worker threads.

Law: a name is one component and is resolved below a directory's descriptor, by openat2(2) or by an *at() call that
follows no symlink; no path is ever joined. `/proc/self/fd/N` stands for the very inode that N holds, whatever became of
its names. Like the bind mount that it stands in for, nothing crosses into a mount that lies inside the volume: such a
name answers EXDEV and is left out of listings. Nothing here knows trio, or a number of the view.
"""

import ctypes
import errno
import functools
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Found = tuple[int, os.stat_result]
"""A new O_PATH descriptor, which belongs to whoever receives it, and what fstat says of it."""

HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
KEPT = os.O_ACCMODE | os.O_TRUNC | os.O_SYNC | os.O_DSYNC
"""What of a caller's open flags the real open gets. O_APPEND not: the kernel has chosen the offset already, and may
send another process's mmap'ed pages through this very handle. O_DIRECT and O_NOATIME are hints that may be lost."""

_NAMESPACES = (b"user.", b"security.", b"system.posix_acl_")

SYS_OPENAT2 = 437  # the same on every Linux architecture that Python runs on
RESOLVE_STAYS = 0x01 | 0x04 | 0x08  # RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_UTIME_OMIT = (1 << 30) - 2
_UNCHANGED = 0xFFFFFFFF
_SETID = stat.S_ISUID | stat.S_ISGID


class OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_libc = ctypes.CDLL(None, use_errno=True)
_openat2 = _libc["syscall"]
_openat2.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
_openat2.restype = ctypes.c_long
_renameat2 = _libc["renameat2"]
_renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
_fchownat = _libc["fchownat"]
_fchownat.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int]
_utimensat = _libc["utimensat"]
_utimensat.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
_HOW = OpenHow(HOLD, 0, RESOLVE_STAYS)


@dataclass(frozen=True, slots=True)
class Change:
    """What a setattr asks for; None is left alone. Times in ns. `strip`: the caller may not keep setuid bits."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None
    strip: bool = False


_NOTHING = (Change(), Change(strip=True))


def self_path(fd: int) -> str:
    """The kernel's own link to what `fd` holds: following it resolves no name of the volume."""
    return f"/proc/self/fd/{fd}"


def find(directory: int, name: bytes) -> Found:
    """What `name` in `directory` is: never what a symlink of that name points at."""
    fd = _open_beneath(directory, name)
    try:
        return fd, os.fstat(fd)
    except BaseException:
        os.close(fd)
        raise


def find_all(directory: int, names: Sequence[bytes]) -> list[Found | None]:
    """`find` of many; None for a name that went meanwhile or cannot be had, such as a mount's."""
    found: list[Found | None] = []
    for name in names:
        try:
            found.append(find(directory, name))
        except OSError as failure:
            if failure.errno in (errno.EMFILE, errno.ENFILE):
                discard(found)
                raise
            found.append(None)
    return found


def is_bare(held: int) -> bool:
    """No extended attributes at all, which is what nearly every file has."""
    try:
        return not os.listxattr(self_path(held))
    except OSError:
        return False


def is_ordinary(name: bytes) -> bool:
    """Whether it is the name of an attribute that nearly every file system could have."""
    return name.startswith(_NAMESPACES) and name not in _NAMESPACES


def get_xattr(held: int, name: bytes) -> bytes | None:
    """The attribute's value; None where there is no attribute of any name, and there could be one of this."""
    return None if is_ordinary(name) and is_bare(held) else os.getxattr(self_path(held), name)


def discard(found: Sequence[Found | None]) -> None:
    """Closes what was found and is not wanted."""
    for one in found:
        if one is not None:
            os.close(one[0])


def open_file(held: int, flags: int, *, strip: bool, in_use: bool) -> int:
    """A descriptor to read or write the regular file that `held` holds. A truncation strips as a write does.

    ESTALE where its last name is gone and nobody has it open: the kernel came by a name that it remembers. It looks
    again, and the write goes to the file that has taken the name, instead of to one that nobody will ever see.
    """
    if not in_use and os.fstat(held).st_nlink == 0:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    if strip and flags & os.O_TRUNC:
        strip_setid(held)
    return os.open(self_path(held), flags & (KEPT | os.O_NONBLOCK) | os.O_CLOEXEC)


def open_directory(held: int) -> int:
    """A descriptor to list and to sync the directory that `held` holds."""
    return os.open(self_path(held), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def rename(old: int, old_name: bytes, new: int, new_name: bytes, flags: int) -> None:
    """rename(2); with RENAME_NOREPLACE or RENAME_EXCHANGE renameat2(2)."""
    if flags:
        _check(_renameat2(old, old_name, new, new_name, flags))
    else:
        os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)


def look(directory: int, name: bytes) -> os.stat_result | None:
    """What has the name, if anything does."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None


def change(held: int, writable: int | None, wanted: Change) -> os.stat_result:
    """Does what `wanted` says, through `writable` where the caller has the file open for writing.

    The owner before the mode: chown(2) clears the setuid bits.
    """
    if wanted in _NOTHING:
        chown(held, None, None)  # which is how the kernel passes on just that: it sets the ctime
    if wanted.uid is not None or wanted.gid is not None:
        chown(held, wanted.uid, wanted.gid)
    if wanted.mode is not None:
        chmod(held, wanted.mode)
    if wanted.size is not None:
        if wanted.strip:
            strip_setid(held)
        os.truncate(self_path(held) if writable is None else writable, wanted.size)
    if wanted.atime is not None or wanted.mtime is not None:
        times = (_Timespec * 2)(_timespec(wanted.atime), _timespec(wanted.mtime))
        _check(_utimensat(held, b"", times, _AT_EMPTY_PATH))
    return os.fstat(held)


def chown(held: int, uid: int | None, gid: int | None) -> None:
    owner, group = (_UNCHANGED if number is None else number for number in (uid, gid))
    _check(_fchownat(held, b"", owner, group, _AT_EMPTY_PATH))


def chmod(fd: int, mode: int) -> None:
    Path(self_path(fd)).chmod(stat.S_IMODE(mode))


def strip_setid(fd: int) -> None:
    """What the kernel does when somebody without CAP_FSETID writes; us it spares, who write in their stead."""
    mode = os.fstat(fd).st_mode
    killed = mode & stat.S_ISUID | (mode & stat.S_ISGID if mode & stat.S_IXGRP else 0)
    if killed and stat.S_ISREG(mode):
        chmod(fd, mode & ~killed)


def write(fd: int, offset: int, data: bytes, *, strip: bool) -> int:
    """Writes all of `data`, or says how much of it there was room for."""
    if strip:
        strip_setid(fd)
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        try:
            done += os.pwrite(fd, memoryview(data)[done:], offset + done)
        except OSError:
            break  # the caller's next write meets it again
    return done


def append(fd: int, data: bytes, *, strip: bool) -> tuple[int, int]:
    """Writes `data` at the end, wherever that is by now: how much of it, and where the end is afterwards."""
    if strip:
        strip_setid(fd)
    return os.pwritev(fd, [data], 0, os.RWF_APPEND), os.fstat(fd).st_size


def flush(fd: int) -> None:
    """What close(2) would say: some file systems report a lost write only there."""
    os.close(os.dup(fd))


def _open_beneath(directory: int, name: bytes) -> int:
    if not has_openat2():
        return os.open(name, HOLD, dir_fd=directory)
    while (fd := _openat2(SYS_OPENAT2, directory, name, ctypes.byref(_HOW), ctypes.sizeof(_HOW))) < 0:
        code = ctypes.get_errno()
        if code not in (errno.EINTR, errno.EAGAIN):
            raise OSError(code, os.strerror(code))
    return int(fd)


@functools.cache
def has_openat2() -> bool:
    """False before Linux 5.6, and under a seccomp filter that does not know the call."""
    fd: int = _openat2(SYS_OPENAT2, _AT_FDCWD, b".", ctypes.byref(_HOW), ctypes.sizeof(_HOW))
    if fd < 0:
        return ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)
    os.close(fd)
    return True


def _timespec(ns: int | None) -> _Timespec:
    return _Timespec(0, _UTIME_OMIT) if ns is None else _Timespec(*divmod(ns, 1_000_000_000))


def _check(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
