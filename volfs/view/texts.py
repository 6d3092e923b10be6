"""The contents of `meta`: made for each reader, and for a volume with very many users in a thread, once.

    fewer than MANY users   made at once; the last one is kept for who reads on, until anything is committed
    more                    read in pieces, made in a thread while everybody else has their turn, kept until the volume
                            changes: it is megabytes

Law: what is asked for after a change was answered shows the change: `forget` is called before that. A text of which a
change came in the middle is given to who waits for it, and not kept.
"""

from typing import NamedTuple

import trio

from volfs.view.tree import meta_text
from volfs.volume.service import MANY, VolumeService
from volfs.volume.volume import Figure, Reference, Volume

KEPT = 4  # long ones


class Meta(NamedTuple):
    """A text, and when the volume's users or its figure last changed, in seconds since 1970."""

    text: bytes
    changed: int


class Texts:
    """What is in the `meta` of a service's volumes."""

    def __init__(self, service: VolumeService) -> None:
        self._service = service
        self._last: tuple[tuple[int, int], Meta] = (0, 0), Meta(b"", 0)  # of which volume, as of which commit
        self._long: dict[int, Meta] = {}
        self._made_now, self._is_old = 0, False  # of which volume one is being made, and whether it changed meanwhile
        self._making = trio.Lock()
        self._thread = trio.CapacityLimiter(1)

    def forget(self, serial: int) -> None:
        """The volume with this number has changed."""
        self._is_old = self._is_old or serial == self._made_now
        self._long.pop(serial, None)

    async def meta(self, volume: Volume) -> Meta:
        """The content as of now."""
        if volume.serial in self._long:
            return self._long[volume.serial]
        now = volume.serial, self._service.store.version()
        if self._last[0] == now:
            return self._last[1]
        users = self._service.store.references(volume.name, limit=MANY)
        if len(users) == MANY:
            return await self._of_many(volume)
        made = _made(volume, self._service.mountpoint(volume), users, self._service.usage.last(volume))
        self._last = now, made
        return made

    async def _of_many(self, volume: Volume) -> Meta:
        async with self._making:
            if volume.serial in self._long:
                return self._long[volume.serial]
            self._made_now, self._is_old = volume.serial, False
            users, figure = await self._service.users(volume.name), self._service.usage.last(volume)
            told = volume, self._service.mountpoint(volume), users, figure
            made = await trio.to_thread.run_sync(_made, *told, limiter=self._thread)
            if not self._is_old:
                if len(self._long) >= KEPT:
                    del self._long[next(iter(self._long))]
                self._long[volume.serial] = made
            return made


def _made(volume: Volume, mountpoint: str, users: list[Reference], figure: Figure | None) -> Meta:
    times = [one.since for one in users] + ([figure.time] if figure is not None else [])
    return Meta(meta_text(volume, mountpoint, users, figure), max(times, default=0))
