"""Threads for what blocks: a few at once for all volumes, and a store that keeps one waiting keeps nobody else.

    in a thread for a moment   counts: a thousand mounts are no thousand threads
    in a thread for longer     is excused: it waits for a store, and the next one may come
    a volume                   has OF_ONE threads at most, however many ask for it

Law: how long somebody waits for a thread does not depend on how many stores hang, but for one MOMENT.
"""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Args = TypeVarTuple("Args")

AT_ONCE = 16
OF_ONE = 4  # one that changes the volume, and some that look at it meanwhile
MOMENT = 0.1  # seconds; a mount or an adoption takes some milliseconds

_UNLIMITED = trio.CapacityLimiter(math.inf)


class Places:
    """So many at once, those who are excused not counted."""

    def __init__(self, at_once: int) -> None:
        self._limiter = trio.CapacityLimiter(at_once)
        self._excused: set[object] = set()
        self.wanted = trio.Event()  # somebody waits

    async def take(self, who: object) -> None:
        """Returns when there is a place; who came first is first."""
        try:
            self._limiter.acquire_on_behalf_of_nowait(who)
        except trio.WouldBlock:
            self.wanted.set()
            await self._limiter.acquire_on_behalf_of(who)

    def excuse(self, who: object) -> None:
        """They have a place, and do not count any more."""
        if who not in self._excused:
            self._excused.add(who)
            self._limiter.total_tokens += 1

    def give_back(self, who: object) -> None:
        """They go."""
        if who in self._excused:
            self._excused.remove(who)
            self._limiter.total_tokens -= 1
        self._limiter.release_on_behalf_of(who)

    def crowded(self) -> bool:
        """Whether somebody waits for a place."""
        if not self._limiter.statistics().tasks_waiting:
            self.wanted = trio.Event()
            return False
        return True


class Threads:
    """Threads that share places. `watch` is its task, without which nobody is excused."""

    def __init__(self) -> None:
        self._places = Places(AT_ONCE)
        self._began: dict[object, float] = {}
        self._own: dict[str, trio.CapacityLimiter] = {}

    async def run(self, hand: Callable[[*Args], T], *args: *Args, of: str = "", abandon: bool = False) -> T:
        """Calls `hand` in a thread. `of`: the volume whose store it may wait for.

        With `abandon` a cancelled caller does not wait for the thread.
        """
        async with self._few(of):
            who = object()
            await self._places.take(who)
            self._began[who] = trio.current_time()
            try:
                return await trio.to_thread.run_sync(hand, *args, limiter=_UNLIMITED, abandon_on_cancel=abandon)
            finally:
                del self._began[who]
                self._places.give_back(who)

    @asynccontextmanager
    async def _few(self, of: str) -> AsyncIterator[None]:
        if not of:
            yield
            return
        own = self._own.setdefault(of, trio.CapacityLimiter(OF_ONE))
        try:
            async with own:
                yield
        finally:
            if not own.borrowed_tokens and self._own.get(of) is own:
                del self._own[of]

    async def watch(self) -> None:
        """Excuses who is in a thread for longer than a moment while others wait, until it is cancelled."""
        while True:
            await self._places.wanted.wait()
            while self._places.crowded():
                late = trio.current_time() - MOMENT
                for who, began in self._began.items():
                    if began < late:
                        self._places.excuse(who)
                await trio.sleep(MOMENT / 4)
