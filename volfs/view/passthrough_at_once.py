"""System calls that never wait, not even for a disk: they ask what the kernel has in memory, and where that is not all
they raise BlockingIOError.

Law: that holds on the file systems that `never_asks_elsewhere` knows; only there may the event loop call these itself.
What they find is what the calls of the same name in `passthrough_calls` would find.
"""

import ctypes
import errno
import os
from typing import cast

from volfs.view import passthrough_calls as calls
from volfs.view.passthrough_calls import Found

_RESOLVE_CACHED = 0x20  # since Linux 5.12
_ON_DISK = {0xEF53, 0x58465342, 0x9123683E}  # statfs(2): ext4, xfs, btrfs
_LOCAL = {*_ON_DISK, 0x01021994}  # tmpfs
_HOW = calls.OpenHow(calls.HOLD, 0, calls.RESOLVE_STAYS | _RESOLVE_CACHED)
_HOW_AT, _HOW_SIZE = ctypes.byref(_HOW), ctypes.sizeof(_HOW)
_openat2 = ctypes.PyDLL(None, use_errno=True)["syscall"]  # keeps the interpreter's lock: it is back in no time
_openat2.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
_openat2.restype = ctypes.c_long
_fstatfs = ctypes.CDLL(None, use_errno=True)["fstatfs"]
_fstatfs.argtypes = [ctypes.c_int, ctypes.c_void_p]


def never_asks_elsewhere(held: int) -> bool:
    """Whether the file system keeps what it knows of an inode in this kernel: no server is asked for attributes."""
    return calls.has_openat2() and _kind(held) in _LOCAL


def dates_every_change(held: int) -> bool:
    """Whether a change of a file's contents shows in its ctime, be it by mapped memory, once that is written back."""
    return _kind(held) in _ON_DISK


def _kind(held: int) -> int:
    about = (ctypes.c_long * 32)()
    return about[0] & 0xFFFFFFFF if _fstatfs(held, about) == 0 else 0


def find(directory: int, name: bytes) -> Found:
    """`find` of a name that the kernel has in memory."""
    fd: int = _openat2(calls.SYS_OPENAT2, directory, name, _HOW_AT, _HOW_SIZE)
    if fd < 0:
        code = ctypes.get_errno()
        if code == errno.EINVAL:  # before Linux 5.12
            code = errno.EAGAIN
        raise OSError(code, os.strerror(code))
    return fd, os.fstat(fd)


def open_file(held: int, flags: int, *, strip: bool, in_use: bool) -> int:
    """`open_file` where nothing has to be cut off and no lease (fcntl(2)) has to be given back first."""
    if flags & os.O_TRUNC:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return calls.open_file(held, flags | os.O_NONBLOCK, strip=strip, in_use=in_use)


def read(fd: int, size: int, offset: int) -> bytes:
    """`pread` of what is in the page cache, all of it or up to the end of the file."""
    buffer = bytearray(size)
    try:
        done = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
        complete = not 0 < done < size or not os.preadv(fd, [bytearray(1)], offset + done, os.RWF_NOWAIT)
    except OSError as failure:
        if failure.errno != errno.EOPNOTSUPP:  # tmpfs
            raise
        complete = False
    if not complete:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    del buffer[done:]
    return cast(bytes, buffer)  # whoever gets it takes any buffer
