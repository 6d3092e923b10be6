"""How requests are waited for: one after another, without a turn of the event loop while the next is there already.

pyfuse3 waits for each request by way of a lock and of trio's loop, which costs more than answering it. It takes both
from a module that can be replaced (its own asyncio support does that): here are a lock that takes no turn of the loop
where it is free, and a wait that looks first.

A client that has its answer takes some microseconds to ask for the next thing. Between its requests the wait therefore
stays awake for a moment, as long as that pays: to be woken takes longer than they do, in a virtual machine 60 to 100
microseconds. Then it sleeps in poll(2) itself, rather than in the loop, where both cost more than the answer did.

Law: when no request has come for `AWAKE` and `PATIENCE`, or `STREAK` has passed, everybody else in the loop has a turn;
and as long as anybody else is doing something there, or a thread's result is to come, they have one after each request.
"""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace, TracebackType

import pyfuse3
import trio

STREAK = 0.005  # seconds
PATIENCE = 1  # ms, the least that poll(2) can wait
AWAKE = 0.0001  # seconds: `cat`, `cp` and sqlite ask again within 10 to 60 microseconds
IN_VAIN = 16  # waits that sleep at once after one that was awake for nothing
_OURS = "pyfuse-"  # what pyfuse3 calls the tasks in which it waits


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


class _Steps(trio.abc.Instrument):
    """Counts what tasks of others do, and which of them are about to."""

    def __init__(self) -> None:
        self.of_others = 0
        self.due = set[trio.lowlevel.Task]()

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        if not task.name.startswith(_OURS):
            self.due.add(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if not task.name.startswith(_OURS):
            self.of_others += 1
            self.due.discard(task)


class _Wait:
    """`wait_readable` of one descriptor. `nothing_to_come`: the loop need not be looked at for a thread's result."""

    def __init__(self, before: Callable[[], bool] | None, nothing_to_come: Callable[[], bool] = lambda: True) -> None:
        self._before = before
        self._nothing_to_come = nothing_to_come
        self._poll = select.poll()
        self._registered: set[int] = set()
        self._steps: _Steps | None = None
        self._alone = False
        self._sleeps = 0  # waits until the next one that begins awake
        self._cores = len(os.sched_getaffinity(0))  # with one of them, who stays awake keeps the client from asking
        self._seen = [-1, -1]  # steps of others at the last two turns: trio takes the tasks of one turn in any order
        self._began = 0.0

    async def __call__(self, descriptor: int) -> None:
        if self._before is not None and self._before():
            self._before = None
        if descriptor not in self._registered:
            self._registered.add(descriptor)
            self._poll.register(descriptor, select.POLLIN)
        if self._steps is None:
            self._steps = _Steps()
            trio.lowlevel.add_instrument(self._steps)
        now = time.monotonic()
        alone = self._alone and not self._steps.due  # a request may have given somebody something to do
        if alone and now < self._began + STREAK and self._is_there(now):
            return
        await trio.lowlevel.wait_readable(descriptor)
        self._began = time.monotonic()
        before, *self._seen = *self._seen, self._steps.of_others
        self._alone = before == self._seen[-1]

    def _is_there(self, now: float) -> bool:
        """Whether a request is there, or comes while it is waited for."""
        if not self._nothing_to_come():
            return bool(self._poll.poll(0))
        if self._sleeps:
            self._sleeps -= 1
        elif self._cores > 1:
            while time.monotonic() < now + AWAKE:
                if self._poll.poll(0):
                    return True
            self._sleeps = IN_VAIN
        return bool(self._poll.poll(PATIENCE))


def quicken(before: Callable[[], bool] | None = None, *, nothing_to_come: Callable[[], bool] = lambda: True) -> None:
    """Has pyfuse3 wait this way; called before `pyfuse3.main()`. `before` is called at each wait until it is true."""
    lowlevel = SimpleNamespace(
        wait_readable=_Wait(before, nothing_to_come),
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
