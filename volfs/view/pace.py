"""How requests are waited for: one after another, without a turn of the event loop while the next is there already.

pyfuse3 waits for each request by way of a lock and of trio's loop, which costs more than answering it. It takes both
from a module that can be replaced (its own asyncio support does that): here are a lock that takes no turn of the loop
where it is free, and a wait that looks first.

Law: when no request is there, or `STREAK` has passed, everybody else in the loop has a turn.
"""

import select
import time
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace, TracebackType

import pyfuse3
import trio

STREAK = 0.005  # seconds


class _Turn:
    """A lock, as far as pyfuse3 uses one. Whoever released it may take it again before the next in line has woken."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[trio.lowlevel.Task] = deque()

    async def __aenter__(self) -> None:
        while self._taken:
            task = trio.lowlevel.current_task()
            self._waiting.append(task)

            def abort(_: object, task: trio.lowlevel.Task = task) -> trio.lowlevel.Abort:
                self._waiting.remove(task)
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        self._taken = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken = False
        if self._waiting:
            trio.lowlevel.reschedule(self._waiting.popleft())


class _Wait:
    """`wait_readable` of one descriptor."""

    def __init__(self, before: Callable[[], bool] | None) -> None:
        self._before = before
        self._poll = select.poll()
        self._registered: set[int] = set()
        self._began = 0.0

    async def __call__(self, descriptor: int) -> None:
        if self._before is not None and self._before():
            self._before = None
        if descriptor not in self._registered:
            self._registered.add(descriptor)
            self._poll.register(descriptor, select.POLLIN)
        if time.monotonic() < self._began + STREAK and self._poll.poll(0):
            return
        await trio.lowlevel.wait_readable(descriptor)
        self._began = time.monotonic()


def quicken(before: Callable[[], bool] | None = None) -> None:
    """Has pyfuse3 wait this way; called before `pyfuse3.main()`. `before` is called at each wait until it is true."""
    lowlevel = SimpleNamespace(
        wait_readable=_Wait(before),
        current_task=trio.lowlevel.current_task,
        current_trio_token=trio.lowlevel.current_trio_token,
        notify_closing=trio.lowlevel.notify_closing,
    )
    loop = SimpleNamespace(
        Lock=_Turn,
        open_nursery=trio.open_nursery,
        ClosedResourceError=trio.ClosedResourceError,
        lowlevel=lowlevel,
    )
    vars(pyfuse3)["trio"] = loop
