"""Trees of removed volumes, deleted in the background, one after another.

Law: a tree is here only after its volume's entry is gone for good; whoever asked for the removal has been answered.
What is left when the daemon ends is found and handed in again by restore.
"""

import logging
from collections.abc import Iterable

import trio

from volfs.driver.local import LocalDriver
from volfs.errors import HostError

log = logging.getLogger(__name__)


class Trash:
    """Names of work directories under ROOT/volumes that are to be deleted."""

    def __init__(self, driver: LocalDriver, work: Iterable[str] = ()) -> None:
        self._driver = driver
        self._send, self._receive = trio.open_memory_channel[str](10_000_000)
        self._limiter = trio.CapacityLimiter(1)
        for one in work:
            self.put(one)

    def put(self, work: str) -> None:
        """Hands a tree in; returns at once."""
        self._send.send_nowait(work)

    async def run(self) -> None:
        """Deletes until it is cancelled; a tree that is half deleted then is finished after the next start."""
        async for work in self._receive:
            try:
                await trio.to_thread.run_sync(self._driver.sweep, work, limiter=self._limiter, abandon_on_cancel=True)
            except HostError as error:
                log.warning("a removed volume's tree is left over", extra={"work": work, "why": str(error)})
