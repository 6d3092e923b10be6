"""The kernel's calls on mounts that Python's os module has not, thin: one function a call, and its errno as an OSError.

Law: nothing here decides. Every function blocks, for as long as the kernel likes, with the GIL released.
Numbers above 423 are the same on every Linux architecture that Python runs on.
"""

import ctypes
import errno
import os
import struct
from pathlib import Path

from volfs.mount.mountinfo import MountEntry, parse

MNT_FORCE = 1
MNT_DETACH = 2
MNT_EXPIRE = 4
UMOUNT_NOFOLLOW = 8

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_NO_AUTOMOUNT = 0x800
_AT_EMPTY_PATH = 0x1000
_AT_STATX_DONT_SYNC = 0x4000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY = 1
_MOUNT_ATTR_NOSUID = 2
_MOUNT_ATTR_NODEV = 4
_STATX_ATTR_MOUNT_ROOT = 0x2000
_STATX_SIZE = 256
_STATX_ATTRIBUTES = 8  # offset of stx_attributes in struct statx
_STATX_ATTRIBUTES_MASK = 56
_RENAME_NOREPLACE = 1
_CAP_SYS_ADMIN = 21
_LONGEST_DATA = os.sysconf("SC_PAGE_SIZE") - 1  # mount(2) cuts longer data off without a word

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
_libc.statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]
_libc.syscall.restype = ctypes.c_long


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Follows a symlink at `target`: hand over /proc/self/fd/N where somebody else can write."""
    options = _bytes(data)
    if len(options) > _LONGEST_DATA:
        raise OSError(errno.EINVAL, f"mount data is longer than {_LONGEST_DATA} bytes", target)
    _check(_libc.mount(_bytes(source), _bytes(target), _bytes(fstype) or None, flags, options or None), target)


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(_bytes(target), flags), target)


def detach(target: str) -> bool:
    """Takes the topmost mount at `target` out of the tree with all that lies on it; those inside may finish.

    False where nothing was mounted there. Does not follow a symlink at `target`.
    """
    return _took(target, MNT_DETACH | UMOUNT_NOFOLLOW, gone=False)


def expire(target: str) -> bool:
    """Marks the mount at `target`, or unmounts it when it was not used since the last call marked it.

    True when nothing of it is there any more. False: marked now, or in use.
    """
    return _took(target, MNT_EXPIRE | UMOUNT_NOFOLLOW, gone=True)


def bind(source_fd: int, target: str, *, read_only: bool = False, nosuid: bool = True, nodev: bool = True) -> None:
    """Mounts the directory of `source_fd` (O_PATH will do) on `target`, without the mounts that lie below it.

    Made aside and moved into place complete: the mount is never seen without its attributes, and no name is looked up
    that somebody could swap for a symlink. Propagation is left as the kernel gives it. Linux 5.12 and later.
    """
    attributes = (
        (_MOUNT_ATTR_RDONLY if read_only else 0)
        | (_MOUNT_ATTR_NOSUID if nosuid else 0)
        | (_MOUNT_ATTR_NODEV if nodev else 0)
    )
    tree = _syscall(_SYS_OPEN_TREE, target, source_fd, b"", _AT_EMPTY_PATH | _OPEN_TREE_CLONE | os.O_CLOEXEC)
    try:
        if attributes:
            request = struct.pack("=QQQQ", attributes, 0, 0, 0)  # struct mount_attr: set, clear, propagation, userns
            _syscall(_SYS_MOUNT_SETATTR, target, tree, b"", _AT_EMPTY_PATH, request, len(request))
        _syscall(_SYS_MOVE_MOUNT, target, tree, b"", _AT_FDCWD, _bytes(target), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def is_mount_root(path: str, *, dir_fd: int | None = None) -> bool:
    """Whether a mount's root is at `path`; "" stands for `dir_fd` itself. Asks no remote server, follows no symlink.

    Raises FileNotFoundError where nothing is there, and EOPNOTSUPP before Linux 5.8.
    """
    flags = _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT | _AT_STATX_DONT_SYNC | (0 if path else _AT_EMPTY_PATH)
    answer = ctypes.create_string_buffer(_STATX_SIZE)
    _check(_libc.statx(_AT_FDCWD if dir_fd is None else dir_fd, _bytes(path), flags, 0, answer), path)
    (known,) = struct.unpack_from("=Q", answer, _STATX_ATTRIBUTES_MASK)
    if not known & _STATX_ATTR_MOUNT_ROOT:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
    (attributes,) = struct.unpack_from("=Q", answer, _STATX_ATTRIBUTES)
    return bool(attributes & _STATX_ATTR_MOUNT_ROOT)


def rename_to_new(source: str, target: str, *, dir_fd: int) -> None:
    """renameat2(2) within a directory; raises FileExistsError where `target` is there, also as an empty directory.

    A file system that knows no RENAME_NOREPLACE (EINVAL) is asked first, then renamed: not atomic against strangers.
    """
    arguments = dir_fd, _bytes(source), dir_fd, _bytes(target)
    try:
        _check(_libc.renameat2(*arguments, _RENAME_NOREPLACE), target)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        if _is_there(target, dir_fd):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(source, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)


def read_mountinfo() -> list[MountEntry]:
    """The mounts that this process sees, oldest first."""
    return parse(Path("/proc/self/mountinfo").read_bytes())


def can_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN in effect; inside a user namespace it may still be refused a mount."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False


def _took(target: str, flags: int, *, gone: bool) -> bool:
    """umount2(2) with what is no failure told apart; `gone` is the answer where nothing was mounted."""
    try:
        unmount(target, flags)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return gone
        if flags & MNT_EXPIRE and error.errno in (errno.EAGAIN, errno.EBUSY):
            return False
        raise
    return True


def _is_there(name: str, dir_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _bytes(text: str) -> bytes:
    """`text` as a C string; one that cannot be any raises EINVAL instead of being cut off."""
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise OSError(errno.EINVAL, "is not a text for the kernel", text) from None
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "holds a NUL", text)
    return encoded


def _syscall(number: int, path: str, *arguments: int | bytes) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else ctypes.c_char_p(word) for word in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *words), path)


def _check(result: int, path: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result
