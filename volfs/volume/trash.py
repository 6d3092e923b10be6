"""Trees of removed volumes, deleted in the background, one after another, when nobody removes any more for a moment.

Law: a tree is here only after its volume's entry is gone for good; whoever asked for the removal has been answered.
What is left when the daemon ends is found and handed in again by restore.

To delete the tree of one takes as long as to remove the next, and would be done at its cost. After the lull all go that
are there by then, whatever is removed meanwhile.
"""

import logging
from collections.abc import Iterable

import trio

from volfs.driver.local import LocalDriver
from volfs.errors import HostError

LULL = 0.05  # seconds without a removal
PATIENCE = 1.0  # seconds that the first tree waits at most

log = logging.getLogger(__name__)


class Trash:
    """Names of work directories under ROOT/volumes that are to be deleted."""

    def __init__(self, driver: LocalDriver, work: Iterable[str] = ()) -> None:
        self._driver = driver
        self._send, self._receive = trio.open_memory_channel[str](10_000_000)
        self._limiter = trio.CapacityLimiter(1)
        self._put = trio.Event()
        for one in work:
            self.put(one)

    def put(self, work: str) -> None:
        """Hands a tree in; returns at once."""
        self._send.send_nowait(work)
        self._put.set()

    async def run(self) -> None:
        """Deletes until it is cancelled; a tree that is half deleted then is finished after the next start."""
        async for work in self._receive:
            await self._lull()
            await self._delete(work)
            while self._receive.statistics().current_buffer_used:
                await self._delete(self._receive.receive_nowait())

    async def _delete(self, work: str) -> None:
        try:
            await trio.to_thread.run_sync(self._driver.sweep, work, limiter=self._limiter, abandon_on_cancel=True)
        except HostError as error:
            log.warning("a removed volume's tree is left over", extra={"work": work, "why": str(error)})

    async def _lull(self) -> None:
        """Returns when nothing has been put for a moment, or something has waited long enough."""
        with trio.move_on_after(PATIENCE):
            quiet = False
            while not quiet:
                self._put = trio.Event()
                with trio.move_on_after(LULL) as lull:
                    await self._put.wait()
                quiet = lull.cancelled_caught
