"""The view's life in a daemon: libfuse on a connection that somebody else made.

The keeper hands over the kernel's FUSE_INIT in a socket. libfuse opens that as its device (`/dev/fd/N`), reads the
INIT, and answers into a pipe that `init` has put there; then the answer goes to the kernel, and the real descriptor
takes the pipe's place for all that follows. So stock libfuse serves a mount that it did not make, and the answer can
ask for what pyfuse3 has no word for.

Law: one view a process (pyfuse3 keeps its session in a module), and no request of a volume may wait behind another
volume's. Of requests that nobody waits for the kernel sends a dozen at a time unless it is told otherwise, and twelve
pages read ahead from a store that hangs would be those. So it may send `_BACKGROUND`, more than a store that hangs can
gather: `passthrough_nodes` turns a crowd away.
"""

import errno
import os
import struct

import pyfuse3
import trio

from volfs.view import pace
from volfs.view.operations import Operations
from volfs.view.passthrough_trips import none_under_way

MAX_TASKS = 10_000  # handlers at once; once that many wait, no request is read any more


_FLAGS = struct.Struct("=28xIHH")  # fuse_out_header, fuse_init_out: flags, max_background, congestion_threshold
_DONT_MASK, _POSIX_ACL = 1 << 6, 1 << 20  # FUSE_* of linux/fuse.h
_BACKGROUND = 4096  # requests at once that nobody waits for


def adjusted(answer: bytes) -> bytes:
    """libfuse's answer to FUSE_INIT with what pyfuse3 has no word for.

    A default ACL takes the umask's place, so whoever makes a file applies one of them.
    """
    flags, _, _ = _FLAGS.unpack_from(answer)
    if flags & _POSIX_ACL:
        flags |= _DONT_MASK
    start = _FLAGS.size - 8
    return answer[:start] + struct.pack("=IHH", flags, _BACKGROUND, _BACKGROUND) + answer[_FLAGS.size :]


class _HandOver:
    """From the socket with the kept FUSE_INIT, number `init`, to the kernel's descriptor."""

    def __init__(self, init: int, real: int, done: trio.Event) -> None:
        self._done = done
        self._init = init
        self._real = real
        self._answer = -1

    def begin(self) -> None:
        """libfuse has read the INIT and will answer next."""
        self._answer, writing = os.pipe()
        os.dup2(writing, self._init)
        os.close(writing)

    def finish(self) -> bool:
        """To be called when libfuse waits for a request; True when it has answered, and the kernel has its answer."""
        if self._answer < 0:
            return False
        answer = adjusted(os.read(self._answer, 4096))
        os.close(self._answer)
        try:
            os.write(self._real, answer)
        except OSError as error:
            if error.errno != errno.ENOENT:  # a daemon before this one has answered
                raise
        os.dup2(self._real, self._init)
        self._done.set()
        return True


def attach(operations: Operations, init: int, real: int, served: trio.Event, *, acls: bool) -> None:
    """Gives libfuse the connection: `init` holds the kept FUSE_INIT, `real` is the kernel's descriptor.

    `served` is set when what is written to libfuse's descriptor reaches the kernel, and nothing may be before.
    acls: the kernel asks for POSIX ACLs and heeds them. It costs two requests for each volume in an `ls -l`.
    """
    operations.enable_acl = acls
    hand_over = _HandOver(init, real, served)
    operations.init = hand_over.begin  # type: ignore[method-assign]
    pyfuse3.init(operations, f"/dev/fd/{init}", {"default_permissions", "allow_other"})
    pace.quicken(hand_over.finish, nothing_to_come=none_under_way)


async def serve() -> None:
    """Answers requests until the view is detached."""
    await pyfuse3.main(max_tasks=MAX_TASKS)
