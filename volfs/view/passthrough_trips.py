"""Trips to threads: how a request waits for a store that may be slow, or may hang.

Law: a tree has its own places, so that a store that hangs fills those and nobody else's. The event loop itself waits
for a thread for `_MOMENT` at most, and not for a store whose last trip took longer than that: one that hangs costs
everybody else one moment. A thread sleeps in read(2), without the interpreter's lock, and one write wakes it; the
release of a lock of Python's would wake it twice.
"""

import errno
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import outcome
import trio

T = TypeVar("T")
_MOMENT = 1  # ms, the least that poll(2) can wait
_MOST_IDLE = 8  # threads kept for the next trip
_UNLIMITED = trio.CapacityLimiter(float("inf"))


class Places:
    """How many of a tree's requests may be in threads at once; the others wait in the order in which they came."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[trio.lowlevel.Task] = deque()

    async def __aenter__(self) -> None:
        if self._free:
            self._free -= 1
            return
        task = trio.lowlevel.current_task()
        self._waiting.append(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            self._waiting.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)  # whoever leaves hands the place over

    async def __aexit__(self, *_: object) -> None:
        if self._waiting:
            trio.lowlevel.reschedule(self._waiting.popleft())
        else:
            self._free += 1


class Trips:
    """One tree's trips. `prompt`: the last one took but a moment."""

    def __init__(self, places: int) -> None:
        self._places = Places(places)
        self._prompt = True

    async def make(self, work: Callable[[], T], *, asks_back: bool) -> T:
        """What `work` returns or raises, in a thread. asks_back: it calls trio, which has to know the thread then."""
        async with self._places:
            if asks_back:
                return await trio.to_thread.run_sync(work, limiter=_UNLIMITED)
            errand = _Errand(work)
            began = time.monotonic()
            _idle_worker().take(errand)
            if errand.is_here(_MOMENT if self._prompt else 0):
                return errand.result.unwrap()
            try:
                return await errand.comes()
            finally:
                self._prompt = (time.monotonic() - began) * 1000 < _MOMENT


class _Errand(Generic[T]):
    """Work for a thread. Whoever takes the only token out of `_tokens` says how the result comes back."""

    result: outcome.Outcome[T]

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._task = trio.lowlevel.current_task()
        self._trio = trio.lowlevel.current_trio_token()
        self._tokens = [True]

    def run(self) -> None:
        self.result = outcome.capture(self._work)

    def deliver(self) -> None:
        """In the thread, when it has done the work."""
        if self._taken():
            os.eventfd_write(_back, 1)
        else:
            with suppress(trio.RunFinishedError):
                self._trio.run_sync_soon(self._resume)

    def is_here(self, moment: int) -> bool:
        """In the event loop's thread, which stands still so many ms. False: the result `comes` through the loop."""
        if not _back_poll.poll(moment) and self._taken():
            return False
        os.eventfd_read(_back)
        return True

    async def comes(self) -> T:
        global _under_way
        _under_way += 1
        try:
            result: T = await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        finally:
            _under_way -= 1
        return result

    def _resume(self) -> None:
        trio.lowlevel.reschedule(self._task, self.result)

    def _taken(self) -> bool:
        """True for the first who asks."""
        try:
            return self._tokens.pop()
        except IndexError:
            return False


class _Worker:
    """A thread that waits for its next errand."""

    def __init__(self) -> None:
        self._go = os.eventfd(0)
        self._errand: _Errand[Any] | None = None
        try:
            threading.Thread(target=self._run, name="volfs trip", daemon=True).start()
        except RuntimeError as failure:  # no more threads
            os.close(self._go)
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from failure

    def take(self, errand: _Errand[Any]) -> None:
        self._errand = errand
        os.eventfd_write(self._go, 1)

    def _run(self) -> None:
        while True:
            os.eventfd_read(self._go)
            errand, self._errand = self._errand, None
            assert errand is not None
            errand.run()
            stays = len(_idle) < _MOST_IDLE
            if stays:
                _idle.append(self)  # before anybody hears of the result: who makes the next trip wakes the same thread
            errand.deliver()
            del errand
            if not stays:
                os.close(self._go)
                return


_idle: list[_Worker] = []
_under_way = 0
_back = os.eventfd(0)
_back_poll = select.poll()
_back_poll.register(_back, select.POLLIN)


def none_under_way() -> bool:
    """Whether no result is to come by way of the event loop, which then need not be looked at for it."""
    return not _under_way


def _idle_worker() -> _Worker:
    try:
        return _idle.pop()
    except IndexError:
        return _Worker()
