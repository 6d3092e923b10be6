"""The view's life in a daemon: libfuse on a connection that somebody else made.

The keeper hands over the kernel's FUSE_INIT in a socket. libfuse opens that as its device (`/dev/fd/N`), reads the
INIT, and when it calls `init` the real descriptor takes the socket's place: its answer and all that follows go to the
kernel. So stock libfuse serves a mount that it did not make.

Law: one view a process (pyfuse3 keeps its session in a module).
"""

import os

import pyfuse3

from volfs.view import pace
from volfs.view.operations import Operations

MAX_TASKS = 10_000  # handlers at once; once that many wait, no request is read any more


def attach(operations: Operations, init: int, real: int) -> None:
    """Gives libfuse the connection: `init` holds the kept FUSE_INIT, `real` is the kernel's descriptor."""
    operations.init = lambda: _take_over(init, real)  # type: ignore[method-assign]
    pyfuse3.init(operations, f"/dev/fd/{init}", {"default_permissions", "allow_other"})


def _take_over(init: int, real: int) -> None:
    os.dup2(real, init)


async def serve() -> None:
    """Answers requests until the view is detached."""
    pace.quicken()
    await pyfuse3.main(max_tasks=MAX_TASKS)
