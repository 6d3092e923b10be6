"""Group commit: whoever waits while a transaction is being written shares the next one.

Law: one transaction at a time; a commit that returned is durable. A group that fails is tried again one by one, so
that one caller's trouble is not another's. What has to be done right before a commit (`Hand`) is done in its thread:
going there and back twice would cost as much as half of what is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import outcome
import trio

from volfs.volume.changes import Change, Effect
from volfs.volume.store import MapFull, Store

Hand = Callable[[], Sequence[Change]]
"""Does something real and returns the changes that vouch for it. Blocks, but on nothing that a commit would not."""


@dataclass
class _Request:
    hand: Hand
    changes: Sequence[Change] | None = None
    done: trio.Event = field(default_factory=trio.Event)
    result: outcome.Outcome[list[Effect]] | None = None

    def prepare(self) -> Sequence[Change]:
        """Has the hand do its work, once; what it raises is the result."""
        if self.changes is None and self.result is None:
            try:
                self.changes = self.hand()
            except Exception as error:  # noqa: BLE001 the caller's
                self.result = outcome.Error(error)
        return self.changes or ()


class Writer:
    """The one that writes to the store. `run` is its task; `commit` may be called from any other."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Request] = []
        self._wake = trio.Event()
        self._limiter = trio.CapacityLimiter(1)

    async def commit(self, *changes: Change) -> list[Effect]:
        """Carries the changes out durably, together or not at all.

        One effect for each change. Raises HostError where the disk refuses.
        """
        return await self.commit_done(lambda: changes)

    async def commit_done(self, hand: Hand) -> list[Effect]:
        """The same with what a hand does first. Raises what it raises, too; then nothing is committed."""
        request = _Request(hand)
        self._waiting.append(request)
        self._wake.set()
        await request.done.wait()
        assert request.result is not None
        return request.result.unwrap()

    async def run(self) -> None:
        """Writes until it is cancelled; what was handed in before that is written."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            group, self._waiting = self._waiting, []
            with trio.CancelScope(shield=True):
                await self._write(group)

    async def _write(self, group: Sequence[_Request]) -> None:
        result = await outcome.acapture(self._transaction, group)
        waiting = [request for request in group if request.result is None]
        if isinstance(result, outcome.Error) and len(group) > 1:
            for request in waiting:
                await self._write([request])
        else:
            _share(result, waiting)
        for request in group:
            request.done.set()

    async def _transaction(self, group: Sequence[_Request]) -> list[Effect]:
        while True:
            try:
                return await trio.to_thread.run_sync(self._carry_out, group, limiter=self._limiter)
            except MapFull:
                self._store.grow()  # here, in the event loop, where no read is under way

    def _carry_out(self, group: Sequence[_Request]) -> list[Effect]:
        changes = [change for request in group for change in request.prepare()]
        if all(request.result for request in group):
            return []
        return self._store.commit(changes)


def _share(result: outcome.Outcome[list[Effect]], group: Sequence[_Request]) -> None:
    """Gives each request the effects of its own changes, or the trouble."""
    if isinstance(result, outcome.Error):
        for request in group:
            request.result = result
        return
    rest = iter(result.unwrap())
    for request in group:
        request.result = outcome.Value([next(rest) for _ in request.changes or ()])
