"""The view's life in a daemon: libfuse on a connection that somebody else made.

The keeper hands over the kernel's FUSE_INIT in a socket. libfuse opens that as its device (`/dev/fd/N`), reads the
INIT, and when it calls `init` the real descriptor takes the socket's place: its answer and all that follows go to the
kernel. So stock libfuse serves a mount that it did not make.

Law: one view a process (pyfuse3 keeps its session in a module), and no request of a volume may wait behind another
volume's: of requests that nobody waits for the kernel sends a dozen at a time, and twelve pages read ahead from a store
that hangs would be those. So libfuse is not offered to be sent reads in that way.
"""

import os
import socket
import struct

import pyfuse3

from volfs.view.operations import Operations

MAX_TASKS = 10_000  # handlers at once; once that many wait, no request is read any more


_FLAGS = struct.Struct("=52xI")  # struct fuse_in_header, then major, minor, max_readahead and flags of fuse_init_in
_ASYNC = 1 << 0 | 1 << 15  # FUSE_ASYNC_READ, FUSE_ASYNC_DIO
_LONGEST_INIT = 1 << 20  # bytes


def attach(operations: Operations, init: int, real: int) -> None:
    """Gives libfuse the connection: `init` holds the kept FUSE_INIT, `real` is the kernel's descriptor."""
    changed, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    changed.send(without_async(os.read(init, _LONGEST_INIT)))
    os.dup2(theirs.fileno(), init)
    theirs.close()
    operations.init = lambda: _take_over(init, real, changed)  # type: ignore[method-assign]
    pyfuse3.init(operations, f"/dev/fd/{init}", {"default_permissions", "allow_other"})


def without_async(init: bytes) -> bytes:
    """A FUSE_INIT of a kernel that sends every read while somebody waits for it. See fuse(4) and linux/fuse.h."""
    (flags,) = _FLAGS.unpack_from(init)
    return init[: _FLAGS.size - 4] + struct.pack("=I", flags & ~_ASYNC) + init[_FLAGS.size :]


def _take_over(init: int, real: int, changed: socket.socket) -> None:
    os.dup2(real, init)
    changed.close()


async def serve() -> None:
    """Answers requests until the view is detached."""
    await pyfuse3.main(max_tasks=MAX_TASKS)
