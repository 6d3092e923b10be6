"""Group commit: whoever waits while a transaction is being written shares the next one.

Law: one transaction at a time; a commit that returned is durable. A group that fails is tried again one by one, so
that one caller's trouble is not another's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import outcome
import trio

from volfs.volume.changes import Change, Effect
from volfs.volume.store import MapFull, Store


@dataclass
class _Request:
    changes: Sequence[Change]
    done: trio.Event = field(default_factory=trio.Event)
    result: outcome.Outcome[list[Effect]] | None = None


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
        request = _Request(changes)
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
        result = await outcome.acapture(self._transaction, [change for one in group for change in one.changes])
        if isinstance(result, outcome.Error) and len(group) > 1:
            for request in group:
                await self._write([request])
            return
        if isinstance(result, outcome.Value):
            _share(result.value, group)
        for request in group:
            request.result = request.result or result
            request.done.set()

    async def _transaction(self, changes: Sequence[Change]) -> list[Effect]:
        while True:
            try:
                return await trio.to_thread.run_sync(self._store.commit, changes, limiter=self._limiter)
            except MapFull:
                self._store.grow()  # here, in the event loop, where no read is under way


def _share(effects: Sequence[Effect], group: Sequence[_Request]) -> None:
    """Gives each request the effects of its own changes."""
    rest = iter(effects)
    for request in group:
        request.result = outcome.Value([next(rest) for _ in request.changes])
