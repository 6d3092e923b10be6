"""Users of volumes: who came, who left, and what is mounted for them.

Law: a volume is mounted exactly while somebody uses it; a container that is only there, and does not run, is no such
user. Users are a stored set, never a counter: to come or to leave twice is as good as once.

A plugin keeps its users by id and cannot be asked for them. So a user of a plugin's volume is on record as LEAVING from
before Mount is called until it is answered, and from the end of the use until Unmount is answered: whatever breaks in
between, the plugin is told that the user has left, by `volume.lists` if not here. dockerd tells it once; a plugin that
was busy then would keep the volume mounted for good. One that refuses each time is taken at its word.
"""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import chain

import msgspec
import trio

from volfs.driver.discretion import secrets_of, without
from volfs.driver.plugin import NotReached
from volfs.errors import HostError, Invalid, NotFound, Unavailable, VolfsError
from volfs.volume.changes import AddReference, DropReference, Put
from volfs.volume.commits import Commits
from volfs.volume.containers import is_container
from volfs.volume.drivers import Drivers
from volfs.volume.events import Events
from volfs.volume.locks import NameLocks
from volfs.volume.naming import named
from volfs.volume.observe import trouble
from volfs.volume.plugins import PATIENCE, PluginVolumes
from volfs.volume.store import Store
from volfs.volume.volume import VIEW_REFERENCE, Kind, Reference, State, Volume, users

log = logging.getLogger(__name__)
NAMED = 100  # users read at once where some are enough
TOLD_AT_MOST = 5  # times that a plugin which answers with an error is told that a user has left, in half a minute
Place = Callable[[str], None]


async def _nobody_looks(_: Volume) -> None:
    """Stands for the view until there is one."""


class Uses:
    """Mounts and unmounts. `boot` is the kernel's boot id, which new references carry.

    `on_trouble` is told the name of a plugin that did not answer, `on_left` that of a volume with a user less,
    `on_dismissal` the volume that the view is to let go.
    """

    def __init__(
        self, store: Store, commits: Commits, locks: NameLocks, drivers: Drivers, events: Events, boot: str
    ) -> None:
        self.on_trouble: Callable[[str], None] = lambda _: None
        self.on_dismissal: Callable[[Volume], Awaitable[None]] = _nobody_looks
        self.on_left: Callable[[str], None] = lambda _: None
        self._store, self._commits, self._locks = store, commits, locks
        self._drivers, self._events, self._boot = drivers, events, boot
        self._refusals: dict[tuple[str, str], int] = {}

    async def mount(
        self, name: str, user: str, kind: Kind, place: Place | None = None, told: Mapping[str, str] | None = None
    ) -> str:
        """Makes the volume usable for one user and returns its mountpoint. The same `user` twice is one.

        `place` is called with the mountpoint, in a thread, while nobody else can change the volume. `told` is what the
        event says besides; it is then told each time, as Docker does for each mount of a container that starts.
        Raises NotFound, Unavailable while it is missing or damaged, HostError where the kernel or a plugin refuses.
        """
        async with self._locks.held(name):
            volume = self._store.get(name)
            if volume is None:
                raise NotFound(f"get {name}: no such volume")
            with named("mount", name, volume.options):
                if volume.local:
                    mountpoint = await self.make_ready(volume, user, place)
                else:
                    mountpoint = await self._mount_by_plugin(volume, user, place)
            new = not self.has(name, user)
            if new:
                await self._commits.commit(AddReference(name, self.reference(user, kind)))
            if new or told:
                self._tell("mount", volume, user, told)
            return mountpoint

    async def make_ready(self, volume: Volume, user: str, place: Place | None) -> str:
        """`mount` for a volume of the local driver, with its lock held; nobody is put on record."""
        local = self._drivers.local
        if local.doubtful(volume):
            volume = await self._noted(volume)
        try:
            lost = user != VIEW_REFERENCE and await self._is_lost(volume)
            mountpoint = await local.mount(volume, user, place)
            if lost:  # it would go on to show what was mounted before, and nobody else sees
                await self.on_dismissal(volume)
                await self._commits.commit(DropReference(volume.name, VIEW_REFERENCE))
            return mountpoint
        except NotFound as error:
            now = await self._noted(volume)
            why = str(error) if now.state is State.OK else trouble(now, local.mountpoint(now))
            raise Unavailable(why) from error

    async def _is_lost(self, volume: Volume) -> bool:
        """Whether the view shows what somebody has unmounted by hand."""
        if volume.source is None or not self.has(volume.name, VIEW_REFERENCE):
            return False
        return not await self._drivers.local.is_mounted(volume)

    async def _noted(self, volume: Volume) -> Volume:
        """The record as its directory says, committed."""
        now = await self._drivers.local.look(volume)
        if now != volume:
            await self._commits.commit(Put(now))
        return now

    async def _mount_by_plugin(self, volume: Volume, user: str, place: Place | None) -> str:
        new, leaving = not self.has(volume.name, user), self._is_leaving(volume.name, user)
        before = self._only_there(volume.name, user)
        if new:
            await self._commits.commit(AddReference(volume.name, self.reference(user, Kind.LEAVING)))
        try:
            mountpoint = await self._plugin(volume).mount(volume, user, place)
        except (HostError, NotFound, Invalid, NotReached):  # it did not mount now; it may have before
            if before is not None:
                await self._commits.commit(before)
            elif new and not leaving:
                await self._commits.commit(DropReference(volume.name, user))
            elif new:
                self.on_trouble(volume.driver)
            raise
        except (Unavailable, OSError):  # it may have mounted
            if new:
                self.on_trouble(volume.driver)
            raise
        now = msgspec.structs.replace(volume, state=State.OK, mountpoint=mountpoint)
        if now != volume:
            await self._commits.commit(Put(now))
        return mountpoint

    async def unmount(self, name: str, user: str, displace: Callable[[], bool] | None = None) -> bool:
        """Takes a user away; the last one takes the mount with it. An unknown user, or volume, is no error.

        `displace` is called first, in a thread, while nobody else can change the volume; where it returns False, the
        user stays. Returns whether the user is gone.
        """
        async with self._locks.held(name):
            if displace is not None and not await self._drivers.local.run(displace, of=name):
                return False
            volume = self._store.get(name)
            if volume is not None and self.has(name, user):
                self._tell("unmount", volume, user)
            if (volume is None or volume.local) and self._store.reference(name, user) is not None:
                await self._commits.commit(await self._end_of_use(name, user))
            if volume is not None:
                with named("unmount", name, volume.options):
                    await self._leave(volume, user)
            self.on_left(name)
            return True

    async def _leave(self, volume: Volume, user: str) -> None:
        if volume.local:
            last = not self._store.is_used(volume.name)
            await self._drivers.local.unmount(volume, user, last=last)
            return
        if self.has(volume.name, user):
            await self._commits.commit(AddReference(volume.name, self.reference(user, Kind.LEAVING)))
            await self._dismiss(volume, user)
        elif self._is_leaving(volume.name, user):
            with suppress(HostError):  # asked again: what the plugin has done already it may refuse to do twice
                await self._dismiss(volume, user)

    async def dismiss(self, name: str, user: str) -> bool:
        """Tells a plugin again that a user has left; returns whether it knows now."""
        async with self._locks.held(name):
            volume = self._store.get(name)
            if volume is not None and self._is_leaving(name, user):
                with suppress(HostError):
                    await self._dismiss(volume, user)
            return not self._is_leaving(name, user)

    async def dismiss_all(self, volume: Volume, *, force: bool) -> None:
        """To be called with the volume's lock held, before a plugin removes it: nobody counts as a user any more."""
        with trio.move_on_after(PATIENCE if force else math.inf):
            for one in self._store.references(volume.name):
                if one.kind is Kind.VIEW:
                    await self.on_dismissal(volume)
                await self._commits.commit(AddReference(volume.name, self.reference(one.id, Kind.LEAVING)))
                with suppress(HostError):
                    await self._dismiss(volume, one.id)
                self._refusals.pop((volume.name, one.id), None)

    async def _dismiss(self, volume: Volume, user: str) -> None:
        """Where the plugin does not answer, it is told later; where it refuses, some times more: it may be busy."""
        try:
            await self._plugin(volume).unmount(volume, user)
        except HostError as error:
            if self._refused(volume, user) < TOLD_AT_MOST:
                self.on_trouble(volume.driver)
                raise
            log.warning("a plugin does not let a user go", extra=_about(volume, user, error))
            await self._forget(volume, user)
            raise
        except VolfsError:  # also where there is no such plugin just now
            self.on_trouble(volume.driver)
            return
        await self._forget(volume, user)

    async def _forget(self, volume: Volume, user: str) -> None:
        """Nobody need be told any more that the user has left."""
        self._refusals.pop((volume.name, user), None)
        await self._commits.commit(await self._end_of_use(volume.name, user))

    def _refused(self, volume: Volume, user: str) -> int:
        """Counts how often the plugin has refused to let this user go."""
        self._refusals[volume.name, user] = times = self._refusals.get((volume.name, user), 0) + 1
        return times

    async def _end_of_use(self, name: str, user: str) -> AddReference | DropReference:
        """Who uses a volume no more is no user of it, but for a container that is there: it may start again."""
        one = self._store.reference(name, user)
        if one is not None and await self._is_there(user):
            return AddReference(name, Reference(user, Kind.CONTAINER, "", one.since))
        return DropReference(name, user)

    async def _is_there(self, container: str) -> bool:
        return await self._drivers.local.run(is_container, self._drivers.local.hands.root, container)

    async def of(self, name: str) -> list[str]:
        """The ids of those who keep the volume from being removed; of very many, some."""
        found: list[str] = []
        batch = self._store.references(name, limit=NAMED)
        while batch and len(found) < NAMED:
            found += [one.id for one in users(batch) if one.running or await self._is_there(one.id)]
            batch = self._store.references(name, batch[-1].id, NAMED)
        return found

    async def leave_view(self) -> None:
        """The view goes, for good: it uses no volume any more, and its kernel caches are nobody's concern."""
        names = [name for name, one in self._store.all_references() if one.kind is Kind.VIEW]
        volumes = [volume for name in names if (volume := self._store.get(name)) is not None]
        await self._commits.commit_unseen(
            *(DropReference(name, VIEW_REFERENCE) for name in names),
            *(AddReference(one.name, self.reference(VIEW_REFERENCE, Kind.LEAVING)) for one in volumes if not one.local),
        )
        async with trio.open_nursery() as nursery:
            for volume in volumes:
                if not volume.local:
                    nursery.start_soon(self._take_leave, volume)
                elif volume.source and not self._store.is_used(volume.name):
                    nursery.start_soon(self._detach, volume)

    async def _detach(self, volume: Volume) -> None:
        try:
            await self._drivers.local.unmount(volume, VIEW_REFERENCE, last=True)
        except VolfsError as error:  # the next restore sees to it
            log.warning("a volume is left mounted", extra={"volume": volume.name, "why": str(error)})

    async def _take_leave(self, volume: Volume) -> None:
        with suppress(VolfsError):  # the next daemon tells it
            await self._plugin(volume).unmount(volume, VIEW_REFERENCE)
            await self._commits.commit_unseen(DropReference(volume.name, VIEW_REFERENCE))

    def has(self, name: str, user: str) -> bool:
        """Whether the volume is mounted for this user."""
        one = self._store.reference(name, user)
        return one is not None and one.running and one.kind is not Kind.LEAVING

    def _only_there(self, name: str, user: str) -> AddReference | None:
        """What makes a container again one that is there and does not run, if it was."""
        one = self._store.reference(name, user)
        return AddReference(name, one) if one is not None and not one.running else None

    def anybody(self, name: str) -> bool:
        """Whether the volume has a user, the view included."""
        some = self._store.references(name, limit=NAMED)
        everybody = some if len(some) < NAMED else chain(some, self._store.references(name))
        return any(one.kind is not Kind.LEAVING for one in everybody)

    def _is_leaving(self, name: str, user: str) -> bool:
        one = self._store.reference(name, user)
        return one is not None and one.kind is Kind.LEAVING

    def reference(self, user: str, kind: Kind) -> Reference:
        """A user who comes now, in this boot."""
        return Reference(user, kind, self._boot, int(time.time()))

    def _plugin(self, volume: Volume) -> PluginVolumes:
        return self._drivers.plugin(volume.driver)

    def _tell(self, action: str, volume: Volume, user: str, told: Mapping[str, str] | None = None) -> None:
        if user != VIEW_REFERENCE:  # looking at a volume is no event
            self._events.tell(action, volume.name, **{"driver": volume.driver, "container": user, **(told or {})})


def _about(volume: Volume, user: str, error: Exception) -> dict[str, str]:
    why = without(str(error), secrets_of(volume.options))
    return {"volume": volume.name, "driver": volume.driver, "user": user, "why": why}
