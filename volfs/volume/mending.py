"""Volumes that cannot be used, looked at again until they can: whoever mends one need tell nobody.

Law: a few looks a second at most, and none while every volume is well. One that hangs is not waited for, and not looked
at again until it comes back. Who asks about a volume is answered by a look of its own, as ever; this is for those who
only look through the view.
"""

import time

import trio

from volfs.errors import NotFound, VolfsError
from volfs.volume.service import VolumeService
from volfs.volume.volume import LOCAL, State, Volume

PAUSE = 1.0  # seconds between two rounds
GLANCE = 0.25  # seconds until the next volume has its turn
SHARE = 20  # of a round's time to the pause after it: ten thousand volumes in trouble must not keep the daemon busy


class Mending:
    """The local volumes of a service that are missing or damaged."""

    def __init__(self, service: VolumeService) -> None:
        self._service = service
        self._names: set[str] = set()
        self._looking: set[str] = set()
        self._some = trio.Event()

    def note(self, volume: Volume) -> None:
        """To be told what became of a volume that was changed."""
        if volume.local and volume.state is not State.OK:
            self._names.add(volume.name)
            self._some.set()

    async def run(self) -> None:
        """Looks until it is cancelled."""
        found = self._service.store.entries().notable.values()
        self._names.update(one.name for one in found if one.driver == LOCAL and one.state is not State.OK)
        async with trio.open_nursery() as nursery:
            while True:
                if not self._names:
                    self._some = trio.Event()
                    await self._some.wait()
                began = time.monotonic()
                for name in self._names - self._looking:
                    done = trio.Event()
                    nursery.start_soon(self._look, name, done)
                    with trio.move_on_after(GLANCE):
                        await done.wait()
                await trio.sleep(max(PAUSE, SHARE * (time.monotonic() - began)))

    async def _look(self, name: str, done: trio.Event) -> None:
        self._looking.add(name)
        try:
            if (await self._service.get(name)).state is State.OK:
                self._names.discard(name)
        except NotFound:
            self._names.discard(name)
        except VolfsError:
            pass  # the disk is in trouble; later
        finally:
            self._looking.discard(name)
            done.set()
