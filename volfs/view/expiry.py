"""Binds that nobody needs are taken away: idle ones, and earlier where there are more than wanted.

    idle      umount2(MNT_EXPIRE): one call marks, the next unmounts what was not used between
    crowded   those that were touched first get both calls at once, which spare what is in use

Law: behind the back of who touches. However much is in use, a new bind costs no more than a few looks; and of plain
volumes many go together, in one thread and with one commit.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from os import stat_result

import trio

from volfs.errors import VolfsError
from volfs.mount.syscalls import expire, expire_now
from volfs.volume.service import VolumeService
from volfs.volume.volume import VIEW_REFERENCE

DEADLINE = 2.0  # seconds that one that hangs is waited for
SHARE = 8  # when there are too many binds, one in so many of those that are wanted goes as well
ON_THE_WAY = 0.2  # seconds in which who touched data has come into the bind, and uses it or does not
PAUSE = 0.04  # seconds between two rounds, while they help: who touches all binds about `AT_ONCE` meanwhile
AT_ONCE = 32  # binds that are taken away together: they share a commit, and sixteen clients do not outrun that

log = logging.getLogger(__name__)


@dataclass
class Binding:
    """The data of one volume: being bound until `done`, bound when it was `placed`, taken away during `expiry`.

    `status` is what the data was when it was bound, for those who waited for that.
    """

    name: str
    done: trio.Event = field(default_factory=trio.Event)
    checked: float = 0.0
    placed: float = -math.inf
    walkers: set[int] = field(default_factory=set)
    expiry: trio.Event | None = None
    status: stat_result | None = None

    @property
    def settled(self) -> bool:
        """Whether nobody is placing it or taking it away."""
        return self.done.is_set() and self.expiry is None


class Expiry:
    """Takes away of `bindings`, by serial, those that are not used for `idle` seconds, or are more than `most`.

    `target`: where the data of the volume of a name is in the view.
    """

    def __init__(
        self, service: VolumeService, bindings: dict[int, Binding], target: Callable[[str], str], idle: float, most: int
    ) -> None:
        self._service, self._bindings, self._target = service, bindings, target
        self._idle = idle
        self._wanted, self._share = most, max(1, most // SHARE)
        self._borne = most
        self._crowded = trio.Event()

    async def run(self) -> None:
        """Expires until it is cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._thin_out, nursery)
            self.count()
            while True:
                await trio.sleep(self._idle)
                settled = [pair for pair in self._bindings.items() if pair[1].settled]
                for at in range(0, len(settled), AT_ONCE):
                    self._take_away(nursery, dict(settled[at : at + AT_ONCE]), expire)

    def count(self) -> None:
        """To be told of a new bind."""
        if len(self._bindings) > self._borne and self._bound() > self._borne:
            self._crowded.set()

    def _bound(self) -> int:
        """How many there are; what hangs while it is bound is none yet."""
        return sum(one.settled for one in self._bindings.values())

    async def _thin_out(self, nursery: trio.Nursery) -> None:
        pause = ON_THE_WAY
        while True:
            await self._crowded.wait()
            await trio.sleep(pause)
            looked = gone = 0
            while self._bound() > self._wanted - self._share and looked <= 2 * gone + self._share:
                gone += await self._thin_out_some(nursery, dict(islice(self._reached(), AT_ONCE)))
                looked += AT_ONCE
            self._borne = max(self._wanted, sum(1 for _ in self._reached()) + self._share)
            pause = PAUSE if gone else ON_THE_WAY
            self._crowded = trio.Event()
            self.count()

    def _reached(self) -> Iterator[tuple[int, Binding]]:
        """Where whoever touched it must be in by now, if it is used; those that were touched first come first."""
        youngest = time.monotonic() - ON_THE_WAY
        return (pair for pair in self._bindings.items() if pair[1].settled and pair[1].placed < youngest)

    async def _thin_out_some(self, nursery: trio.Nursery, oldest: dict[int, Binding]) -> int:
        """Takes these away where nobody uses them; returns how many are gone. One that hangs is not waited for."""
        with trio.move_on_after(DEADLINE):
            for over in self._take_away(nursery, oldest, expire_now):
                await over.wait()
        stay = [serial for serial, one in oldest.items() if self._bindings.get(serial) is one]
        for serial in stay:  # others are looked at before these are again
            self._bindings[serial] = self._bindings.pop(serial)
        return len(oldest) - len(stay)

    def _take_away(
        self, nursery: trio.Nursery, some: dict[int, Binding], way: Callable[[str], bool]
    ) -> list[trio.Event]:
        """Has each taken away where `way` does it: where a server or a plugin may be slow to let go, each by itself."""
        endings = []
        plain: dict[int, Binding] = {}
        for serial, one in some.items():
            one.expiry = trio.Event()
            endings.append(one.expiry)
            volume = self._service.store.get(one.name)
            if volume is not None and not volume.needs_mount:
                plain[serial] = one
            else:
                nursery.start_soon(self._unmount, serial, one, way)
        if plain:
            nursery.start_soon(self._hide, plain, way)
        return endings

    async def _unmount(self, serial: int, binding: Binding, way: Callable[[str], bool]) -> None:
        gone = False
        try:
            gone = await self._service.uses.unmount(
                binding.name, VIEW_REFERENCE, lambda: way(self._target(binding.name))
            )
        except (VolfsError, OSError) as error:
            log.warning("data stays bound", extra={"volume": binding.name, "why": str(error)})
        finally:
            self._end({serial: binding}, {binding.name} if gone else set())

    async def _hide(self, some: dict[int, Binding], way: Callable[[str], bool]) -> None:
        gone = set[str]()
        try:
            gone = await self._service.looks.hide(
                [one.name for one in some.values()], lambda name: way(self._target(name))
            )
        except (VolfsError, OSError) as error:
            log.warning("data stays bound", extra={"volumes": len(some), "why": str(error)})
        finally:
            self._end(some, gone)

    def _end(self, some: dict[int, Binding], gone: set[str]) -> None:
        for serial, one in some.items():
            over, one.expiry = one.expiry, None
            if one.name in gone and self._bindings.get(serial) is one:
                del self._bindings[serial]
            if over is not None:
                over.set()
