"""Users of volumes: who came, who left, and what is mounted for them.

Law: a volume is mounted exactly while somebody uses it. Users are a stored set, never a counter: to come or to leave
twice is as good as once.

A plugin keeps its users by id and cannot be asked for them. So a user of a plugin's volume is on record as LEAVING from
before Mount is called until it is answered, and from the end of the use until Unmount is answered: whatever breaks in
between, the plugin is told that the user has left, by `volume.lists` if not here.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
import trio

from volfs.errors import HostError, NotFound, Unavailable, VolfsError
from volfs.volume.changes import AddReference, DropReference, Put
from volfs.volume.commits import Commits
from volfs.volume.drivers import Drivers
from volfs.volume.events import Events
from volfs.volume.locks import NameLocks
from volfs.volume.naming import named
from volfs.volume.plugins import PluginVolumes
from volfs.volume.store import Store
from volfs.volume.volume import VIEW_REFERENCE, Kind, Reference, State, Volume

Place = Callable[[str], None]


class Uses:
    """Mounts and unmounts. `boot` is the kernel's boot id, which new references carry.

    `on_trouble` is told the name of a plugin that did not answer, `on_left` that of a volume with a user less.
    """

    def __init__(
        self, store: Store, commits: Commits, locks: NameLocks, drivers: Drivers, events: Events, boot: str
    ) -> None:
        self.on_trouble: Callable[[str], None] = lambda _: None
        self.on_left: Callable[[str], None] = lambda _: None
        self._store, self._commits, self._locks = store, commits, locks
        self._drivers, self._events, self._boot = drivers, events, boot

    async def mount(self, name: str, user: str, kind: Kind, place: Place | None = None) -> str:
        """Makes the volume usable for one user and returns its mountpoint. The same `user` twice is one.

        `place` is called with the mountpoint, in a thread, while nobody else can change the volume.
        Raises NotFound, Unavailable while it is missing or damaged, HostError where the kernel or a plugin refuses.
        """
        async with self._locks.held(name):
            volume = self._store.get(name)
            if volume is None:
                raise NotFound(f"get {name}: no such volume")
            with named("mount", name):
                if volume.local:
                    mountpoint = await self._mount(volume, user, place)
                else:
                    mountpoint = await self._mount_by_plugin(volume, user, place)
            if not self.has(name, user):
                await self._commits.commit(AddReference(name, self._reference(user, kind)))
                self._tell("mount", volume, user)
            return mountpoint

    async def _mount(self, volume: Volume, user: str, place: Place | None) -> str:
        local = self._drivers.local
        if local.doubtful(volume):
            volume = await self._noted(volume)
        try:
            return await local.mount(volume, user, place)
        except NotFound as error:
            await self._noted(volume)
            raise Unavailable(str(error)) from error

    async def _noted(self, volume: Volume) -> Volume:
        """The record as its directory says, committed."""
        now = await self._drivers.local.look(volume)
        if now != volume:
            await self._commits.commit(Put(now))
        return now

    async def _mount_by_plugin(self, volume: Volume, user: str, place: Place | None) -> str:
        new = not self.has(volume.name, user)
        if new:
            await self._commits.commit(AddReference(volume.name, self._reference(user, Kind.LEAVING)))
        try:
            mountpoint = await self._plugin(volume).mount(volume, user, place)
        except HostError:  # its word that it did not mount
            if new:
                await self._commits.commit(DropReference(volume.name, user))
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
            if displace is not None and not await self._drivers.local.run(displace):
                return False
            volume = self._store.get(name)
            if volume is not None and self.has(name, user):
                self._tell("unmount", volume, user)
            if volume is None or volume.local:
                await self._commits.commit(DropReference(name, user))
            if volume is not None:
                with named("unmount", name):
                    await self._leave(volume, user)
            self.on_left(name)
            return True

    async def _leave(self, volume: Volume, user: str) -> None:
        if volume.local:
            last = not self._store.is_used(volume.name)
            await self._drivers.local.unmount(volume, user, last=last)
            return
        if self.has(volume.name, user):
            await self._commits.commit(AddReference(volume.name, self._reference(user, Kind.LEAVING)))
        if self._is_leaving(volume.name, user):
            await self._dismiss(volume, user)

    async def dismiss(self, name: str, user: str) -> bool:
        """Tells a plugin again that a user has left; returns whether it knows now."""
        async with self._locks.held(name):
            volume = self._store.get(name)
            if volume is not None and self._is_leaving(name, user):
                with suppress(HostError):
                    await self._dismiss(volume, user)
            return not self._is_leaving(name, user)

    async def dismiss_all(self, volume: Volume) -> None:
        """To be called with the volume's lock held, before a plugin removes it: nobody counts as a user any more."""
        for one in self._store.references(volume.name):
            with suppress(HostError):
                await self._dismiss(volume, one.id)

    async def _dismiss(self, volume: Volume, user: str) -> None:
        """Where the plugin does not answer, it is told later; an error of its is an answer."""
        try:
            await self._plugin(volume).unmount(volume, user)
        except Unavailable:
            self.on_trouble(volume.driver)
            return
        except HostError:
            await self._commits.commit(DropReference(volume.name, user))
            raise
        await self._commits.commit(DropReference(volume.name, user))

    async def leave_view(self) -> None:
        """The view goes, for good: it uses no volume any more, and its kernel caches are nobody's concern."""
        names = [name for name, one in self._store.all_references() if one.kind is Kind.VIEW]
        volumes = [volume for name in names if (volume := self._store.get(name)) is not None]
        await self._commits.commit_unseen(
            *(DropReference(name, VIEW_REFERENCE) for name in names),
            *(
                AddReference(one.name, self._reference(VIEW_REFERENCE, Kind.LEAVING))
                for one in volumes
                if not one.local
            ),
        )
        for volume in volumes:
            if volume.source and not self._store.is_used(volume.name):
                await self._drivers.local.unmount(volume, VIEW_REFERENCE, last=True)
        async with trio.open_nursery() as nursery:
            for volume in volumes:
                if not volume.local:
                    nursery.start_soon(self._take_leave, volume)

    async def _take_leave(self, volume: Volume) -> None:
        with suppress(VolfsError):  # the next daemon tells it
            await self._plugin(volume).unmount(volume, VIEW_REFERENCE)
            await self._commits.commit_unseen(DropReference(volume.name, VIEW_REFERENCE))

    def has(self, name: str, user: str) -> bool:
        """Whether this user is one of the volume's."""
        one = self._store.reference(name, user)
        return one is not None and one.kind is not Kind.LEAVING

    def _is_leaving(self, name: str, user: str) -> bool:
        one = self._store.reference(name, user)
        return one is not None and one.kind is Kind.LEAVING

    def _reference(self, user: str, kind: Kind) -> Reference:
        return Reference(user, kind, self._boot, int(time.time()))

    def _plugin(self, volume: Volume) -> PluginVolumes:
        return self._drivers.plugin(volume.driver)

    def _tell(self, action: str, volume: Volume, user: str) -> None:
        if user != VIEW_REFERENCE:  # looking at a volume is no event
            self._events.tell(action, volume.name, driver=volume.driver, container=user)
