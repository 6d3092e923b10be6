"""Answers in pyfuse3's form: attributes, room, and errors as errno.

Law: a handler answers a value or a FUSEError. Anything else that escapes one would end `pyfuse3.main()` and with it
the daemon, so it becomes EIO and a logged traceback.
"""

import errno
import functools
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import pyfuse3
from pyfuse3 import FUSEError

from volfs.errors import Conflict, HostError, InUse, Invalid, NotFound, Unavailable, VolfsError
from volfs.view.tree import Attributes

CACHED = 3600.0  # seconds; what changes is invalidated
SECOND = 1_000_000_000  # nanoseconds
P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

_ERRNO: list[tuple[type[VolfsError], int]] = [
    (NotFound, errno.ENOENT),
    (Conflict, errno.EEXIST),
    (InUse, errno.EBUSY),
    (Invalid, errno.EINVAL),
    (Unavailable, errno.EIO),
]


def errno_of(error: VolfsError) -> int:
    """The errno of a kind of failure; the face's one table."""
    if isinstance(error, HostError):
        return error.errno or errno.EIO
    return next((number for kind, number in _ERRNO if isinstance(error, kind)), errno.EIO)


def answered(handler: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Whatever a handler raises becomes a FUSEError."""

    @functools.wraps(handler)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await handler(*args, **kwargs)
        except FUSEError:
            raise
        except VolfsError as error:
            raise FUSEError(errno_of(error)) from error
        except OSError as error:
            raise FUSEError(error.errno or errno.EIO) from error
        except Exception as error:
            log.exception("a request failed", extra={"operation": handler.__name__})
            raise FUSEError(errno.EIO) from error

    return guarded


def entry(node: Attributes, attr_timeout: float = CACHED) -> pyfuse3.EntryAttributes:
    """A node's attributes in pyfuse3's form."""
    found = pyfuse3.EntryAttributes()
    found.st_ino = pyfuse3.InodeT(node.inode)
    found.st_mode = pyfuse3.ModeT(node.mode)
    found.st_nlink, found.st_uid, found.st_gid, found.st_size = node.nlink, node.uid, node.gid, node.size
    found.st_blocks = -(-node.size // 512)
    found.st_atime_ns = found.st_mtime_ns = found.st_ctime_ns = node.time * SECOND
    found.entry_timeout, found.attr_timeout = CACHED, attr_timeout
    return found


def statvfs_data(room: os.statvfs_result) -> pyfuse3.StatvfsData:
    """The room of a file system in pyfuse3's form."""
    found = pyfuse3.StatvfsData()
    for name in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax"):
        setattr(found, f"f_{name}", getattr(room, f"f_{name}"))
    return found
