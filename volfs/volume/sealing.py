"""Directories that only the catalogue vouches for are made durable themselves: in the background, many at once.

Law: what was made or taken away up to a number was so before its commit, so one sync after a look at the numbers covers
them all. Most volumes that live for seconds are gone by then, and cost no sync at all. At rest nothing happens here.
"""

import logging
from collections.abc import Sequence

import trio

from volfs.driver.local import LocalDriver
from volfs.errors import VolfsError
from volfs.volume.changes import Sealed, Touch, Unsynced
from volfs.volume.store import Store
from volfs.volume.writer import Writer

PAUSE = 5.0  # seconds in which more may come
MANY = 2_000  # directories that wait no longer: after a power cut each of them costs restore a look

log = logging.getLogger(__name__)


class Sealing:
    """The unsynced directories of a store. `run` is its task."""

    def __init__(self, store: Store, driver: LocalDriver, writer: Writer, pause: float = PAUSE) -> None:
        self._store, self._driver, self._writer = store, driver, writer
        self._pause = pause
        self._limiter = trio.CapacityLimiter(1)  # of its own: a sync may take long
        self._some, self._many = trio.Event(), trio.Event()
        self._waiting = 0

    def note(self, touch: Touch | None) -> None:
        """To be told what each commit vouched for."""
        if touch is None:
            return
        self._waiting += 1
        self._some.set()
        if self._waiting >= MANY:
            self._many.set()

    async def run(self) -> None:
        """Seals until it is cancelled."""
        if self._store.unsynced():
            self._some.set()  # left by the daemon before this one
        while True:
            await self._some.wait()
            with trio.move_on_after(self._pause):
                await self._many.wait()
            self._some, self._many, self._waiting = trio.Event(), trio.Event(), 0
            await self._seal()

    async def _seal(self) -> None:
        rows = self._store.unsynced()
        if not rows:
            return
        try:
            await trio.to_thread.run_sync(
                self._driver.seal, living(self._store, rows), limiter=self._limiter, abandon_on_cancel=True
            )
            await self._writer.commit(Sealed(rows[-1].number))
        except VolfsError as error:  # the catalogue goes on vouching for them
            log.warning("volumes are not sealed yet", extra={"why": str(error)})
            self._some.set()


def living(store: Store, rows: Sequence[Unsynced]) -> list[str]:
    """The names of the volumes that were made and are still there."""
    made = {row.name: row.serial for row in rows if not row.gone}
    return [name for name, serial in made.items() if (volume := store.get(name)) and volume.serial == serial]
