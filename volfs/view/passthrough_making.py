"""How a file, directory, node or symlink comes into being for somebody else: blocking calls, for worker threads.

Law: what is made belongs to the caller, with the exact mode asked for, before anybody is told of it; setuid bits come
last; and when giving it away fails, it is gone again.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from volfs.view.passthrough_calls import KEPT, Found, chmod, chown, find, self_path

_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TYPE = 0o170000  # S_IFMT


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a new file becomes. None as `uid` where the daemon may not give files away: then they stay its own."""

    uid: int | None
    gid: int
    umask: int  # the daemon's own, which must not show
    theirs: int = 0  # the caller's, unless the directory has a default ACL


@dataclass(frozen=True, slots=True)
class _Mode:
    """What a new file's mode is to be; `by_acl`: the directory's default ACL has a say in it, instead of the umask."""

    bits: int
    by_acl: bool

    @classmethod
    def of(cls, directory: int, mode: int, owner: Owner) -> "_Mode":
        by_acl = _hands_down_acl(directory)
        return cls(mode if by_acl else mode & ~owner.theirs, by_acl)


def own_umask() -> int:
    """This process's umask, read without changing it (umask(2) can only swap, for all threads at once)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o777  # Linux before 4.7: set every mode after creation


def create_file(directory: int, name: bytes, flags: int, mode: int, owner: Owner) -> tuple[int, Found]:
    """A new regular file, open as `flags` say, and its O_PATH descriptor.

    ESTALE where the name exists and `flags` did not forbid that: the caller's kernel thought that it did not, so it has
    not checked who may open it. It looks again and comes back with an ordinary open.
    """
    try:
        wanted = _Mode.of(directory, mode, owner)
        fd = os.open(name, (flags & KEPT) | _NEW_FILE, wanted.bits & 0o777, dir_fd=directory)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from None
    try:
        with _Undone(lambda: os.unlink(name, dir_fd=directory)):
            held = os.open(self_path(fd), os.O_PATH | os.O_CLOEXEC)
            try:
                return fd, (held, _give(directory, held, wanted, owner))
            except BaseException:
                os.close(held)
                raise
    except BaseException:
        os.close(fd)
        raise


def make_directory(directory: int, name: bytes, mode: int, owner: Owner) -> Found:
    wanted = _Mode.of(directory, mode, owner)
    os.mkdir(name, wanted.bits & 0o1777, dir_fd=directory)
    with _Undone(lambda: os.rmdir(name, dir_fd=directory)):
        return _found_new(directory, name, stat.S_IFDIR, wanted, owner)


def make_node(directory: int, name: bytes, mode: int, device: int, owner: Owner) -> Found:
    wanted = _Mode.of(directory, mode, owner)
    os.mknod(name, wanted.bits & (_TYPE | 0o777), device, dir_fd=directory)
    with _Undone(lambda: os.unlink(name, dir_fd=directory)):
        return _found_new(directory, name, stat.S_IFMT(mode) or stat.S_IFREG, wanted, owner)


def make_symlink(directory: int, name: bytes, target: bytes, owner: Owner) -> Found:
    os.symlink(target, name, dir_fd=directory)
    with _Undone(lambda: os.unlink(name, dir_fd=directory)):
        return _found_new(directory, name, stat.S_IFLNK, None, owner)


def make_link(held: int, directory: int, name: bytes) -> Found:
    """One more name for the inode of `held`; for a symlink too, because its own inode is not followed further."""
    os.link(self_path(held), name, dst_dir_fd=directory, follow_symlinks=True)
    return os.dup(held), os.fstat(held)


class _Undone:
    """Takes a half-made thing away again when giving it to its owner fails."""

    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo = undo

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(OSError):
                self._undo()


def _found_new(directory: int, name: bytes, kind: int, wanted: _Mode | None, owner: Owner) -> Found:
    fd, status = find(directory, name)
    try:
        if stat.S_IFMT(status.st_mode) != kind:  # somebody below the view was faster: not ours to give away
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return fd, _give(directory, fd, wanted, owner)
    except BaseException:
        os.close(fd)
        raise


def _give(directory: int, held: int, wanted: _Mode | None, owner: Owner) -> os.stat_result:
    """Owner, group and exact mode of what was just made. A setgid directory hands down its group (mkdir(2)).

    The mode is touched only where the daemon's umask or a chown could have spoilt it; what a default ACL has made of it
    stays.
    """
    new = os.fstat(held)
    inherits = bool(os.fstat(directory).st_mode & stat.S_ISGID)
    changed = False
    if owner.uid is not None:
        gid = new.st_gid if inherits else owner.gid
        if (new.st_uid, new.st_gid) != (owner.uid, gid):
            chown(held, owner.uid, gid)
            changed = True
    if wanted is not None:
        special = wanted.bits & 0o7000 | (stat.S_ISGID if inherits and stat.S_ISDIR(new.st_mode) else 0)
        plain = stat.S_IMODE(new.st_mode) & 0o777 if wanted.by_acl else wanted.bits & 0o777
        if special or (not wanted.by_acl and plain & owner.umask):
            chmod(held, special | plain)
            changed = True
    return os.fstat(held) if changed else new


def _hands_down_acl(directory: int) -> bool:
    try:
        os.getxattr(self_path(directory), "system.posix_acl_default")
    except OSError:
        return False
    return True
