"""Prune: the removal of what nobody uses."""

from dataclasses import dataclass

import trio

from volfs.errors import Conflict, VolfsError
from volfs.volume.filters import ANONYMOUS, Filters, dangling
from volfs.volume.service import VolumeService
from volfs.volume.volume import Volume


@dataclass(frozen=True)
class Pruned:
    """What a prune took away, and the bytes that were in it."""

    names: list[str]
    reclaimed: int


class Prune:
    """Prunes the volumes of a service, one run at a time."""

    def __init__(self, service: VolumeService) -> None:
        self._service = service
        self._running = trio.Lock()

    async def run(self, filters: Filters) -> Pruned:
        """Removes the volumes without users: anonymous ones, all with `filters.all`. Raises Conflict for a second.

        A volume with options is kept, as Docker keeps it: it is about a place elsewhere, and somebody configured it.
        So is a plugin's.
        """
        if self._running.locked():
            raise Conflict("a prune operation is already running")
        self._service.drivers.local.hands.check_writable()
        async with self._running:
            names: list[str] = []
            reclaimed = 0
            for volume in await self._service.listed(filters):
                if not self._unused(volume, filters):
                    continue
                try:
                    size = (await self._service.drivers.local.measure(volume)).apparent
                    await self._service.remove(volume.name)
                except VolfsError:
                    continue  # somebody took it into use meanwhile, or it cannot be removed: it stays
                names.append(volume.name)
                reclaimed += size
            self._service.events.tell("prune", "", reclaimed=str(reclaimed))
            return Pruned(names, reclaimed)

    def _unused(self, volume: Volume, filters: Filters) -> bool:
        asked_for = filters.all or ANONYMOUS in (volume.labels or {})
        return asked_for and volume.local and not volume.options and dangling(self._service.some_users(volume.name))
