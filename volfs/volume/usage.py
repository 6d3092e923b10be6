"""How much is in the volumes: measured in the background of everything else, one run at a time.

Law: whoever asks while a run is under way gets that run's figures. At most THREADS threads measure, which are not those
that serve volumes, so that a slow disk delays nobody but who asked for figures.
"""

import time
from dataclasses import dataclass

import trio

from volfs.driver.local import LocalDriver
from volfs.errors import VolfsError
from volfs.volume.store import Store
from volfs.volume.volume import State, Volume

THREADS = 2
BATCH = 1_000  # volumes read from the store at once


@dataclass(frozen=True)
class Figure:
    """What a volume held at a `time` in seconds since 1970: bytes as files say, bytes on the disk, and files."""

    apparent: int
    allocated: int
    files: int
    time: int


class Usage:
    """The last figures of the volumes of one root, by serial."""

    def __init__(self, store: Store, driver: LocalDriver) -> None:
        self._store = store
        self._driver = driver
        self._threads = trio.CapacityLimiter(THREADS)
        self._figures: dict[int, Figure] = {}
        self._running: trio.Event | None = None

    def last(self, volume: Volume) -> Figure | None:
        """The figure of the last run; None where there is none, because it could not be measured or is elsewhere."""
        return self._figures.get(volume.serial)

    async def measure(self) -> None:
        """Returns when every volume that can be measured was measured once."""
        if self._running is not None:
            await self._running.wait()
            return
        self._running = trio.Event()
        try:
            await self._run()
        finally:
            self._running.set()
            self._running = None

    async def _run(self) -> None:
        figures: dict[int, Figure] = {}
        batch = self._store.volumes(limit=BATCH)
        while batch:
            async with trio.open_nursery() as nursery:
                for volume in batch:
                    if volume.state is State.OK and volume.local and volume.source is None:
                        await self._threads.acquire_on_behalf_of(volume.serial)
                        nursery.start_soon(self._measure, volume, figures)
            batch = self._store.volumes(after=batch[-1].name, limit=BATCH)
        self._figures = figures

    async def _measure(self, volume: Volume, figures: dict[int, Figure]) -> None:
        try:
            found = await trio.to_thread.run_sync(
                self._driver.measure, volume.name, limiter=trio.CapacityLimiter(1), abandon_on_cancel=True
            )
            figures[volume.serial] = Figure(found.apparent, found.allocated, found.files, int(time.time()))
        except VolfsError:
            pass  # removed meanwhile, or its disk does not answer: there is no figure, which is what is said
        finally:
            self._threads.release_on_behalf_of(volume.serial)
