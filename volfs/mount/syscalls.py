"""The kernel's calls on mounts, and openat2, that Python's os module has not, thin: one function a call, its errno an
OSError.

Law: nothing here decides. Every function blocks, for as long as the kernel likes, with the GIL released.
Numbers above 423 are the same on every Linux architecture that Python runs on.
"""

import ctypes
import errno
import os
import struct
from pathlib import Path

from volfs.mount.mountinfo import MountEntry, parse, parse_under

MNT_FORCE = 1
MNT_DETACH = 2
MNT_EXPIRE = 4
UMOUNT_NOFOLLOW = 8
ATTRIBUTE_RDONLY = 1
ATTRIBUTE_NOSUID = 2
ATTRIBUTE_NODEV = 4

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_NO_AUTOMOUNT = 0x800
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_AT_STATX_DONT_SYNC = 0x4000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MS_PRIVATE = 1 << 18
_STATX_ATTR_MOUNT_ROOT = 0x2000
_STATX_SIZE = 256
_STATX_ATTRIBUTES = 8  # offset of stx_attributes in struct statx
_STATX_ATTRIBUTES_MASK = 56
_STATX_BORN = 80
_STATX_BTIME = 0x800
_RENAME_NOREPLACE = 1
_RESOLVE_NO_MAGICLINKS = 2
_RESOLVE_BENEATH = 8
_MOST_TRIES = 1000  # of a path with `..` in it while somebody renames directories: the kernel asks to be asked again
_CLONE_NEWNS = 0x20000
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


def expire_now(target: str) -> bool:
    """Unmounts what is mounted at `target`, unless somebody uses it at this moment; True as for `expire`."""
    return expire(target) or expire(target)


def bind(source_fd: int, target: str, *, read_only: bool = False, nosuid: bool = True, nodev: bool = True) -> None:
    """Mounts the directory of `source_fd` (O_PATH will do) on `target`, without the mounts that lie below it.

    Made aside and moved into place complete: the mount is never seen without its attributes, and no name is looked up
    that somebody could swap for a symlink. Propagation is left as the kernel gives it, but a read-only one is private:
    a mount that came by propagation could be written to. Linux 5.12 and later.
    """
    attributes = (
        (ATTRIBUTE_RDONLY if read_only else 0) | (ATTRIBUTE_NOSUID if nosuid else 0) | (ATTRIBUTE_NODEV if nodev else 0)
    )
    tree = _copied(source_fd, target, attributes, _MS_PRIVATE if read_only else 0)
    try:
        _syscall(_SYS_MOVE_MOUNT, target, tree, b"", _AT_FDCWD, _bytes(target), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def unshare_mounts() -> None:
    """unshare(2): this process gets a mount namespace of its own."""
    _check(_libc.unshare(_CLONE_NEWNS), "")


def change_attributes(target: str, *, set_: int = 0, clear: int = 0, below: bool = False) -> None:
    """mount_setattr(2) on the mount at `target`, with `below` on all mounts under it too. Linux 5.12 and later."""
    request = struct.pack("=QQQQ", set_, clear, 0, 0)
    flags = _AT_RECURSIVE if below else 0
    _syscall(_SYS_MOUNT_SETATTR, target, _AT_FDCWD, _bytes(target), flags, request, len(request))


def sync_directory(path: Path) -> None:
    """fsync(2) of a directory: the names in it are durable when it returns."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(descriptor: int) -> None:
    """syncfs(2): what was written to the file system of this descriptor is durable when it returns."""
    _check(_libc.syncfs(descriptor), "")


def read_only_copy(source_fd: int) -> int:
    """A descriptor of the same directory in read-only mounts of its own, those below it too, which nobody else sees.

    Nothing can be written by it, and what is read by it keeps its access time. They go with its last user.
    """
    return _copied(source_fd, "", ATTRIBUTE_RDONLY, _MS_PRIVATE, _AT_RECURSIVE)


def _copied(source_fd: int, path: str, attributes: int, propagation: int, recursive: int = 0) -> int:
    """A detached copy of the mount at `source_fd`, as an O_PATH descriptor; `path` is for an error's text."""
    flags = _AT_EMPTY_PATH | recursive
    tree = _syscall(_SYS_OPEN_TREE, path, source_fd, b"", flags | _OPEN_TREE_CLONE | os.O_CLOEXEC)
    try:
        if attributes:
            request = struct.pack("=QQQQ", attributes, 0, propagation, 0)  # struct mount_attr: set, clear, …, userns
            _syscall(_SYS_MOUNT_SETATTR, path, tree, b"", flags, request, len(request))
    except BaseException:
        os.close(tree)
        raise
    return tree


def is_mount_root(path: str, *, dir_fd: int | None = None) -> bool:
    """Whether a mount's root is at `path`; "" stands for `dir_fd` itself. Asks no remote server, follows no symlink.

    Raises FileNotFoundError where nothing is there, and EOPNOTSUPP before Linux 5.8.
    """
    answer = _statx(path, _AT_FDCWD if dir_fd is None else dir_fd)
    (known,) = struct.unpack_from("=Q", answer, _STATX_ATTRIBUTES_MASK)
    if not known & _STATX_ATTR_MOUNT_ROOT:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
    (attributes,) = struct.unpack_from("=Q", answer, _STATX_ATTRIBUTES)
    return bool(attributes & _STATX_ATTR_MOUNT_ROOT)


def born(descriptor: int) -> int:
    """When a file was made, in nanoseconds since the epoch; 0 where the file system does not know."""
    answer = _statx("", descriptor, _STATX_BTIME)
    (known,) = struct.unpack_from("=I", answer)
    seconds, nanoseconds = struct.unpack_from("=qI", answer, _STATX_BORN)
    return seconds * 1_000_000_000 + nanoseconds if known & _STATX_BTIME else 0


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


def open_beneath(directory: int, path: str) -> int:
    """An O_PATH descriptor of `path` in the directory, out of which it cannot lead. Linux 5.6 and later: openat2(2).

    Symlinks inside are followed. Raises EXDEV for one that is absolute or leads over the edge, and for such a path;
    ELOOP for one of /proc.
    """
    flags = os.O_PATH | os.O_CLOEXEC
    how = struct.pack("=QQQ", flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)  # struct open_how: flags, mode
    for left in reversed(range(_MOST_TRIES)):
        try:
            return _syscall(_SYS_OPENAT2, path, directory, _bytes(path), how, len(how))
        except BlockingIOError:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def read_mountinfo() -> list[MountEntry]:
    """The mounts that this process sees, oldest first."""
    return parse(Path("/proc/self/mountinfo").read_bytes())


def mounts_under(directory: str) -> list[MountEntry]:
    """Those at `directory` or below it, oldest first. `directory` is absolute and has no symlink in it."""
    return parse_under(Path("/proc/self/mountinfo").read_bytes(), directory)


def can_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN in effect; inside a user namespace it may still be refused a mount."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False


def _statx(path: str, dir_fd: int, wanted: int = 0) -> ctypes.Array[ctypes.c_char]:
    """statx(2), which asks no remote server and follows no symlink; "" stands for `dir_fd` itself."""
    flags = _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT | _AT_STATX_DONT_SYNC | (0 if path else _AT_EMPTY_PATH)
    answer = ctypes.create_string_buffer(_STATX_SIZE)
    _check(_libc.statx(dir_fd, _bytes(path), flags, wanted, answer), path)
    return answer


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
