"""What the cases are made of: calls whose results can be compared between two directories."""

import contextlib
import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

NOBODY, OTHER = 65534, 1234
libc = ctypes.CDLL(None, use_errno=True)
Results = Iterator[object]
CASES: dict[str, Callable[[Path], Results]] = {}
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def case(function: Callable[[Path], Results]) -> Callable[[Path], Results]:
    """Enters a case under its name."""
    CASES[function.__name__] = function
    return function


def outcome(work: Callable[..., object], *arguments: object, **options: object) -> object:
    """What a call gives, as something that JSON can hold; of a failure, the errno's name."""
    try:
        given = work(*arguments, **options)
    except OSError as failure:
        return errno.errorcode.get(failure.errno or 0, str(failure))
    return repr(given)


def put(path: Path | str, data: bytes, flags: int = os.O_CREAT | os.O_WRONLY, mode: int = 0o644) -> int:
    descriptor = os.open(path, flags, mode)
    try:
        return os.write(descriptor, data)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def opened(path: Path | str, flags: int = os.O_RDWR, mode: int = 0o644) -> Iterator[int]:
    descriptor = os.open(path, flags, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def seen(path: Path | str) -> tuple[object, ...]:
    """Of stat(2) what must be alike; a directory's size is its file system's own affair."""
    status = os.lstat(path)
    size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    return oct(status.st_mode), status.st_nlink, status.st_uid, status.st_gid, size


def tree(root: Path) -> list[tuple[object, ...]]:
    """Everything below, with its content."""
    found = []
    for where, directories, files in os.walk(root):
        for name in sorted(directories + files):
            path = Path(where, name)
            if path.is_symlink():
                content: object = os.readlink(path)
            else:
                content = path.read_bytes() if path.is_file() else ""
            found.append((str(path.relative_to(root)), seen(path), str(content)))
    return sorted(found)


def checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def renameat2(old: Path, new: Path, flags: int) -> None:
    checked(libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags))


def as_user(uid: int, gid: int, groups: list[int], work: Callable[[], object]) -> object:
    """What `work` gives somebody else, in a process of theirs."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.write(theirs, str(outcome(work)).encode())
        os._exit(0)
    os.close(theirs)
    with open(ours) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def acl(owner: int, named: int, group: int, mask: int, other: int, uid: int = NOBODY) -> bytes:
    """An ACL with one named user; acl(5) and the kernel's posix_acl_xattr.h."""
    none = 0xFFFFFFFF
    entries = ((1, owner, none), (2, named, uid), (4, group, none), (16, mask, none), (32, other, none))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
