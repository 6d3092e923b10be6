"""The local driver for the service: its hands in threads of their own kind, and what they find as records.

Law: the caller holds the volume's lock. A volume with mount options has a thread to itself, because its mount(2) may
wait for a server for minutes; everything else goes by the rules of `volume.threads`.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar, TypeVarTuple

import msgspec
import trio

from volfs.driver.local import Aside, Description, LocalDriver
from volfs.driver.measure import Measure
from volfs.driver.names import parse_volume_name
from volfs.driver.options import check
from volfs.errors import HostError, InUse, NotFound, Unavailable
from volfs.volume.observe import described, doubtful, noted, observe, returned, trouble
from volfs.volume.threads import Threads
from volfs.volume.volume import State, Volume


class Made(NamedTuple):
    """A record to be stored, and the identity of its directory where that is not synced yet."""

    volume: Volume
    identity: str = ""


T = TypeVar("T")
Args = TypeVarTuple("Args")


class LocalVolumes:
    """The volumes whose data is in ROOT. `on_release` is told before one is unmounted for good."""

    def __init__(self, driver: LocalDriver) -> None:
        self.hands = driver
        self.on_release: Callable[[Volume], None] = lambda _: None
        self.threads = Threads()
        self._mounts = trio.CapacityLimiter(math.inf)  # one for each volume at most: the lock sees to it

    def making(self, name: str, options: dict[str, str] | None, labels: dict[str, str] | None) -> Callable[[], Made]:
        """What makes the directory, unsynced, in a thread; it raises FileExistsError for one that is there.

        Raises Invalid.
        """
        volume = parse_volume_name(name)
        check(options or {})
        wanted = Description(int(time.time()), labels=labels, options=options)
        return lambda: Made(described(volume, wanted), self.hands.make(volume, wanted))

    async def adopt(self, name: str) -> Volume:
        """One that was copied here meanwhile, as it is, and synced."""
        volume = parse_volume_name(name)
        await self.run(self.hands.seal, [volume], of=name)
        return described(volume, await self.run(self.hands.describe, volume, of=name))

    def doubtful(self, volume: Volume) -> bool:
        """Whether a look may find it in another state than the one that is noted."""
        return doubtful(volume)

    async def look(self, volume: Volume) -> Volume:
        """The record as its directory says that it should be."""
        state, options = await self.run(observe, self.hands, volume, of=volume.name)
        if volume.state is State.MISSING and state is not State.MISSING:
            volume = await self.run(returned, self.hands, volume, of=volume.name)
        return (
            volume
            if (state, options) == noted(volume)
            else msgspec.structs.replace(volume, state=state, options=options)
        )

    def mountpoint(self, volume: Volume) -> str:
        """Where a container can use the volume: `ROOT/volumes/NAME/_data`."""
        return self.hands.mountpoint(volume.name)

    async def mount(self, volume: Volume, user: str, place: Callable[[str], None] | None) -> str:  # noqa: ARG002
        """Sees to it that the data is at the mountpoint, whoever the user is. Raises NotFound where it has gone."""
        if volume.state is not State.OK:
            raise Unavailable(trouble(volume, self.mountpoint(volume)))
        if not volume.source:
            return await self.threads.run(self._mounted, volume, place, of=volume.name, abandon=True)
        return await trio.to_thread.run_sync(self._mounted, volume, place, limiter=self._mounts, abandon_on_cancel=True)

    async def is_mounted(self, volume: Volume) -> bool:
        """Whether what its options say is at the mountpoint now. Raises NotFound where it has gone."""
        return await trio.to_thread.run_sync(
            self.hands.is_mounted, volume.name, limiter=self._mounts, abandon_on_cancel=True
        )

    def _mounted(self, volume: Volume, place: Callable[[str], None] | None) -> str:
        mountpoint = self.hands.mount(volume.name, volume.options)
        if place is not None:
            place(mountpoint)
        return mountpoint

    async def unmount(self, volume: Volume, user: str, *, last: bool) -> None:  # noqa: ARG002
        """Takes what the options have mounted away, with the last user."""
        if last and volume.source:
            await self.run(self.hands.unmount, volume.name, of=volume.name)

    async def release(self, volume: Volume) -> None:
        """Unmounts what the options have mounted, before the volume is taken away."""
        if volume.source:
            await self._release(volume)

    def set_aside(self, volume: Volume) -> Aside | None:
        """Takes the volume away, unsynced, and blocks; returns the work that is left. One that is gone is no error."""
        with suppress(NotFound):
            return self.hands.set_aside(volume.name, volume.serial)
        return None

    async def put_back(self, work: str, name: str) -> None:
        """The removal could not be noted: it did not happen. What cannot be put back, the next start finishes."""
        with suppress(HostError, FileExistsError):
            await self.run(self.hands.put_back, work, name)

    async def _release(self, volume: Volume) -> None:
        """Unmounts what the options have mounted. The view closes its descriptors in threads, which takes a moment."""
        self.on_release(volume)
        for last in (*[False] * 9, True):
            try:
                await self.run(self.hands.release, volume.name, of=volume.name)
            except InUse:
                if last:
                    raise
                await trio.sleep(0.02)
            else:
                return

    async def measure(self, volume: Volume) -> Measure:
        """What is in the data of a volume that is to be removed. Raises InUse where anything is mounted in it."""
        await self.run(self.hands.refuse_mounted, volume.name, of=volume.name)
        return await self.run(self.hands.measure, volume.name, of=volume.name)

    async def run(self, hand: Callable[[*Args], T], *args: *Args, of: str = "") -> T:
        """One of the hands, in a thread; `of` is the volume whose store it may wait for."""
        return await self.threads.run(hand, *args, of=of)
