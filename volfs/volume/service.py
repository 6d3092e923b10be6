"""Volumes created, found, mounted and removed: what every face asks, and the only place that changes the store.

Law: real, then durable, then visible. A change is made on the disk, then committed, then made visible (`on_change`
returns when the kernel's caches know it), and only then answered. One lock a volume; a listing and a `get` take none.
"""

import math
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

import msgspec
import trio

from volfs.driver.local import Description, LocalDriver
from volfs.driver.names import VolumeName, parse_volume_name
from volfs.driver.options import check, mount_source
from volfs.errors import Conflict, HostError, InUse, NotFound, Unavailable, VolfsError
from volfs.volume.changes import AddReference, Change, Delete, DropReference, Effect, Owed, Put
from volfs.volume.events import Events
from volfs.volume.filters import ANONYMOUS, Filters, dangling
from volfs.volume.observe import described, doubtful, noted, observe, trouble
from volfs.volume.store import Store
from volfs.volume.trash import Trash
from volfs.volume.usage import Usage
from volfs.volume.volume import VIEW_REFERENCE, Kind, Reference, State, Volume
from volfs.volume.writer import Writer

LISTED_AT_ONCE = 2_000  # volumes read between two turns of the event loop: some milliseconds


@dataclass(frozen=True)
class Pruned:
    """What a prune took away, and the bytes that were in it."""

    names: list[str]
    reclaimed: int


async def _nobody_looks(_: Owed) -> None:
    """Stands for the view until there is one."""


T = TypeVar("T")
Args = TypeVarTuple("Args")


class VolumeService:
    """The volumes of one root. `boot` is the kernel's boot id, which new references carry."""

    def __init__(self, store: Store, writer: Writer, driver: LocalDriver, trash: Trash, boot: str) -> None:
        self.store = store
        self.events = Events()
        self.usage = Usage(store, driver, writer)
        self.on_change: Callable[[Owed], Awaitable[None]] = _nobody_looks
        self.on_release: Callable[[Volume], None] = lambda _: None
        self._writer = writer
        self._driver = driver
        self._trash = trash
        self._boot = boot
        self._locks: dict[str, trio.Lock] = {}
        self._disk = trio.CapacityLimiter(16)
        self._mounts = trio.CapacityLimiter(math.inf)  # one for each volume at most: the lock sees to it
        self._pruning = trio.Lock()

    # Reads

    async def get(self, name: str) -> Volume:
        """The volume called `name`, its state as it is now. Raises NotFound."""
        volume = self.store.get(name)
        if volume is None:
            raise NotFound(f"get {name}: no such volume")
        if not doubtful(volume) or await self._run(observe, self._driver, volume) == noted(volume):
            return volume
        return await self.verify(name)

    def references(self, name: str) -> list[Reference]:
        """The users of a volume."""
        return self.store.references(name)

    def mountpoint(self, volume: Volume) -> str:
        """Where a container can use the volume: `ROOT/volumes/NAME/_data`."""
        return self._driver.mountpoint(volume.name)

    @property
    def root(self) -> str:
        """The directory that all of it is in."""
        return str(self._driver.volumes.parent)

    def changed(self) -> int:
        """When a volume was last created or removed, in seconds since the epoch."""
        return self._driver.changed()

    async def room(self) -> os.statvfs_result:
        """The room on the file system that the volumes are on."""
        return await self._run(os.statvfs, str(self._driver.volumes))

    async def listed(self, filters: Filters) -> list[Volume]:
        """The volumes that match, in the order of their names."""
        found: list[Volume] = []
        batch = self.store.volumes(limit=LISTED_AT_ONCE)
        while batch:
            found.extend(one for one in batch if filters.match(one, self._users(one, filters)))
            await trio.lowlevel.checkpoint()
            batch = self.store.volumes(after=batch[-1].name, limit=LISTED_AT_ONCE)
        return found

    def _users(self, volume: Volume, filters: Filters) -> Sequence[Reference]:
        return self.store.references(volume.name) if filters.dangling is not None else ()

    # Changes

    async def create(
        self,
        name: str,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """Makes a volume, or returns the one of that name, whose options and labels stay as they are.

        An empty name makes an anonymous volume. Raises Invalid, Conflict, NotFound for an unknown driver, HostError.
        """
        if not name:
            name, labels = anonymous_name(), {**(labels or {}), ANONYMOUS: ""}
        async with self._lock(name):
            there = self.store.get(name)
            if there is not None:
                return _same_driver(there, driver)
            with _named("create", name):
                return await self._create(parse_volume_name(name), driver or self._driver.name, options, labels)

    async def _create(
        self, name: VolumeName, driver: str, options: Mapping[str, str] | None, labels: Mapping[str, str] | None
    ) -> Volume:
        if driver != self._driver.name:
            raise NotFound(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
        check(options or {})
        wanted = Description(
            created=int(time.time()),
            labels=dict(labels) if labels is not None else None,
            options=dict(options) if options is not None else None,
        )
        try:
            await self._run(self._driver.create, name, wanted)
        except FileExistsError:  # a directory that was copied here meanwhile is adopted as it is
            wanted = await self._run(self._driver.describe, name)
        [effect] = await self._commit(Put(described(name, wanted)))
        assert effect.volume is not None
        self.events.tell("create", name, driver=driver)
        return effect.volume

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Takes a volume away; its tree is deleted afterwards, in the background.

        Raises InUse while it has users other than the view, also with `force`; NotFound, except with `force`.
        """
        async with self._lock(name):
            volume = self.store.get(name)
            if volume is None:
                if force:
                    return
                raise NotFound(f"get {name}: no such volume")
            users = [one.id for one in self.store.references(name) if one.kind is not Kind.VIEW]
            if users:
                raise InUse(f"remove {name}: volume is in use - [{', '.join(users)}]")
            with _named("remove", name):
                await self._remove(volume)

    async def _remove(self, volume: Volume) -> None:
        if mount_source(volume.options or {}) is not None:
            await self._release(volume)
        try:
            work = await self._run(self._driver.remove, volume.name, volume.serial)
        except NotFound:
            work = ""  # the directory is gone already, and now the entry goes too
        await self._commit(Delete(volume.name))
        self.events.tell("destroy", volume.name, driver=volume.driver)
        if work:
            self._trash.put(work)

    async def _release(self, volume: Volume) -> None:
        """Unmounts what the options have mounted. The view closes its descriptors in threads, which takes a moment."""
        self.on_release(volume)
        for last in (*[False] * 9, True):
            try:
                await self._run(self._driver.release, volume.name)
            except InUse:
                if last:
                    raise
                await trio.sleep(0.02)
            else:
                return

    async def prune(self, filters: Filters) -> Pruned:
        """Removes the volumes without users: anonymous ones, all with `filters.all`. Raises Conflict for a second.

        A volume with options is kept, as Docker keeps it: it is about a place elsewhere, and somebody configured it.
        """
        if self._pruning.locked():
            raise Conflict("a prune operation is already running")
        async with self._pruning:
            names: list[str] = []
            reclaimed = 0
            for volume in await self.listed(filters):
                if volume.options or not (filters.all or ANONYMOUS in (volume.labels or {})):
                    continue
                if not self._dangling(volume):
                    continue
                try:
                    size = (await self._run(self._driver.measure, volume.name)).apparent
                    await self.remove(volume.name)
                except VolfsError:
                    continue  # somebody took it into use meanwhile, or it cannot be removed: it stays
                names.append(volume.name)
                reclaimed += size
            self.events.tell("prune", "", reclaimed=str(reclaimed))
            return Pruned(names, reclaimed)

    def _dangling(self, volume: Volume) -> bool:
        return dangling(self.store.references(volume.name))

    async def mount(self, name: str, user: str, kind: Kind, place: Callable[[str], None] | None = None) -> str:
        """Makes the volume usable for one user and returns its mountpoint. The same `user` twice is one.

        `place` is called with the mountpoint, in a thread, while nobody else can change the volume.
        Raises NotFound, Unavailable while it is missing or damaged, HostError where the kernel refuses the mount.
        """
        async with self._lock(name):
            volume = self.store.get(name)
            if volume is None:
                raise NotFound(f"get {name}: no such volume")
            if doubtful(volume):
                volume = await self._verified(volume)
            if volume.state is not State.OK:
                raise Unavailable(f"mount {name}: {trouble(volume, self.mountpoint(volume))}")
            with _named("mount", name):
                limiter = self._mounts if mount_source(volume.options or {}) else self._disk
                try:
                    mountpoint = await trio.to_thread.run_sync(
                        self._driver.mount, volume.name, volume.options, limiter=limiter, abandon_on_cancel=True
                    )
                except NotFound as error:
                    await self._verified(volume)
                    raise Unavailable(str(error)) from error
                if place is not None:
                    await trio.to_thread.run_sync(place, mountpoint, limiter=limiter, abandon_on_cancel=True)
            if all(one.id != user for one in self.store.references(name)):
                reference = Reference(user, kind, self._boot, int(time.time()))
                await self._commit(AddReference(name, reference))
                self._tell_use("mount", volume, user)
            return mountpoint

    async def unmount(self, name: str, user: str, displace: Callable[[], bool] | None = None) -> bool:
        """Takes a user away; the last one takes the mount with it. An unknown user, or volume, is no error.

        `displace` is called first, in a thread, while nobody else can change the volume; where it returns False, the
        user stays. Returns whether the user is gone.
        """
        async with self._lock(name):
            if displace is not None and not await self._run(displace):
                return False
            volume = self.store.get(name)
            if volume is not None and any(one.id == user for one in self.store.references(name)):
                self._tell_use("unmount", volume, user)
            await self._commit(DropReference(name, user))
            if volume is not None and mount_source(volume.options or {}) and not self.store.references(name):
                with _named("unmount", name):
                    await self._run(self._driver.unmount, volume.name)
            return True

    async def leave_view(self) -> None:
        """The view goes, for good: it uses no volume any more, and its kernel caches are nobody's concern."""
        names = [name for name, one in self.store.all_references() if one.kind is Kind.VIEW]
        await self._writer.commit(*(DropReference(name, VIEW_REFERENCE) for name in names))
        for name in names:
            volume = self.store.get(name)
            if volume is not None and mount_source(volume.options) and not self.store.references(name):
                await self._run(self._driver.unmount, name)

    async def verify(self, name: str) -> Volume:
        """Looks at a volume's directory again and notes what is wrong with it, or that it is right again.

        Returns the volume as it is now. Raises NotFound.
        """
        async with self._lock(name):
            volume = self.store.get(name)
            if volume is None:
                raise NotFound(f"get {name}: no such volume")
            return await self._verified(volume)

    # The parts

    def _tell_use(self, action: str, volume: Volume, user: str) -> None:
        if user != VIEW_REFERENCE:  # looking at a volume is no event
            self.events.tell(action, volume.name, driver=volume.driver, container=user)

    async def _verified(self, volume: Volume) -> Volume:
        """To be called with the volume's lock held."""
        state, options = await self._run(observe, self._driver, volume)
        if (state, options) == noted(volume):
            return volume
        [effect] = await self._commit(Put(msgspec.structs.replace(volume, state=state, options=options)))
        assert effect.volume is not None
        return effect.volume

    async def _commit(self, *changes: Change) -> list[Effect]:
        effects = await self._writer.commit(*changes)
        owed = [effect.owed for effect in effects if effect.owed is not None]
        for one in owed:
            await self.on_change(one)
        self.store.settle(owed)
        return effects

    async def _run(self, hand: Callable[[*Args], T], *args: *Args) -> T:
        return await trio.to_thread.run_sync(hand, *args, limiter=self._disk)

    @asynccontextmanager
    async def _lock(self, name: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(name, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and self._locks.get(name) is lock:
                del self._locks[name]


def anonymous_name() -> str:
    """64 hexadecimal digits; the first twelve, which Docker shows, do not read as a number."""
    while True:
        name = secrets.token_hex(32)
        if not name[:12].isdecimal():
            return name


def _same_driver(volume: Volume, driver: str) -> Volume:
    if driver and driver != volume.driver:
        raise Conflict(
            f"create {volume.name}: driver '{volume.driver}' already has volume '{volume.name}': "
            "volume name must be unique"
        )
    return volume


@contextmanager
def _named(operation: str, name: str) -> Iterator[None]:
    """Errors of the parts say what was done to which volume, as Docker's do: `create db: invalid option: "x"`."""
    try:
        yield
    except HostError as error:
        raise HostError(f"{operation} {name}: {error}", error.errno) from error
    except VolfsError as error:
        raise type(error)(f"{operation} {name}: {error}") from error
