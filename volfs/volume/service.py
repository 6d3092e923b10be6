"""Volumes created, found, removed and listed: what every face asks. `uses` has those who mount them.

Law: real, then durable, then visible. A change is made by the volume's driver, then committed, then made visible, and
only then answered. The commit is all that is synced for it: it vouches for the directory (`sealing`). One lock a
volume; a listing and a `get` take none, but for what they find changed.
"""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial

import msgspec
import trio

from volfs.driver.local import LocalDriver
from volfs.driver.registry import Registry
from volfs.errors import Conflict, HostError, InUse, NotFound
from volfs.volume.changes import Change, Delete, Put, Touch
from volfs.volume.commits import Commits
from volfs.volume.drivers import Drivers
from volfs.volume.events import Events
from volfs.volume.filters import ANONYMOUS, Filters, dangling
from volfs.volume.locks import NameLocks
from volfs.volume.looks import Looks
from volfs.volume.naming import named
from volfs.volume.publishing import Publishing
from volfs.volume.sealing import Sealing
from volfs.volume.store import Store
from volfs.volume.trash import Trash
from volfs.volume.usage import Usage
from volfs.volume.uses import Uses
from volfs.volume.volume import LOCAL, Reference, State, Volume
from volfs.volume.writer import Writer

Learned = tuple[str, Volume | None, Volume | None]
"""A volume's name, what it was, and what it is; None: not there."""

_Texts = dict[str, str] | None

MANY = 1_000  # users read between two turns of the event loop: some milliseconds
LISTED_AT_ONCE = 500  # volumes read between two turns of the event loop: some milliseconds, shown as well


class VolumeService:
    """The volumes of one root. `boot` is the kernel's boot id; `registry` finds the plugins of this host."""

    def __init__(
        self, store: Store, writer: Writer, hands: LocalDriver, trash: Trash, boot: str, registry: Registry
    ) -> None:
        self.store = store
        self.events = Events()
        self.commits = Commits(store, writer)
        self.drivers = Drivers(hands, registry)
        self.usage = Usage(store, hands, writer)
        self.sealing = Sealing(store, hands, writer)
        self._locks = NameLocks()
        self.uses = Uses(store, self.commits, self._locks, self.drivers, self.events, boot)
        self.looks = Looks(store, self.commits, self._locks, self.drivers.local, self.uses)
        self.publishing = Publishing(store, self.commits, self._locks, self.drivers, self.events)
        self._trash, self._boot = trash, boot

    # Reads

    async def get(self, name: str) -> Volume:
        """The volume called `name`, its state as it is now. Raises NotFound."""
        volume = self.store.get(name)
        if volume is None:
            raise NotFound(f"get {name}: no such volume")
        driver = self.drivers.of(volume.driver)
        if not driver.doubtful(volume):
            return volume
        now = await driver.look(volume)
        if now.state is State.UNKNOWN:
            self.uses.on_trouble(volume.driver)
        if now != volume:
            if not volume.local and self._locks.busy(name):
                return now  # its plugin may have been at it for minutes
            await self.note(name, volume, now)
        return self._known(name)

    def references(self, name: str) -> list[Reference]:
        """The users of a volume."""
        return self.store.references(name)

    async def users(self, name: str) -> list[Reference]:
        """The users of a volume, however many, without keeping others from their turn."""
        found = list(batch := self.store.references(name, limit=MANY))
        while len(batch) == MANY:
            await trio.lowlevel.checkpoint()
            found.extend(batch := self.store.references(name, batch[-1].id, MANY))
        return found

    def some_users(self, name: str) -> Sequence[Reference]:
        """Enough of them to say whether there is anybody who counts."""
        found = self.store.references(name, limit=MANY)
        return found if len(found) < MANY or not dangling(found) else self.store.references(name)

    def mountpoint(self, volume: Volume) -> str:
        """Where a container can use the volume; of a plugin's volume, where the plugin said that it is."""
        return self.drivers.of(volume.driver).mountpoint(volume)

    @property
    def root(self) -> str:
        """The directory that all of it is in."""
        return str(self.drivers.local.hands.volumes.parent)

    def changed(self) -> int:
        """When a volume was last created or removed, in seconds since the epoch."""
        return self.drivers.local.hands.changed()

    async def room(self) -> os.statvfs_result:
        """The room on the file system that the volumes are on."""
        return await self.drivers.local.run(os.statvfs, str(self.drivers.local.hands.volumes))

    async def listed(self, filters: Filters) -> list[Volume]:
        """The volumes that match, in the order of their names."""
        return [volume async for batch in self.batches(filters) for volume, _ in batch]

    async def batches(self, filters: Filters) -> AsyncIterator[list[tuple[Volume, Sequence[Reference]]]]:
        """The same with their users, some at a time, between which the event loop has its turn."""
        batch = self.store.volumes(limit=LISTED_AT_ONCE)
        while batch:
            used = self.store.used(batch[0].name, batch[-1].name)
            found = [one for one in batch if self._matches(one, filters, used=one.name in used)]
            yield [(one, await self.users(one.name) if one.name in used else ()) for one in found]
            await trio.lowlevel.checkpoint()
            batch = self.store.volumes(after=batch[-1].name, limit=LISTED_AT_ONCE)

    def _matches(self, volume: Volume, filters: Filters, *, used: bool) -> bool:
        """Users are read only where they are asked about."""
        asked = used and filters.dangling is not None
        return filters.match(volume, self.some_users(volume.name) if asked else ())

    def _known(self, name: str) -> Volume:
        volume = self.store.get(name)
        if volume is None:
            raise NotFound(f"get {name}: no such volume")
        return volume

    # Changes

    async def create(
        self,
        name: str,
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """Makes a volume, or returns the one of that name, whose options and labels stay as they are.

        An empty name makes an anonymous volume. Raises Invalid, Conflict, NotFound for an unknown driver, HostError,
        Unavailable where a plugin does not answer.
        """
        if not name:
            name, labels = anonymous_name(), {**(labels or {}), ANONYMOUS: ""}
        wanted = (dict(options) if options is not None else None, dict(labels) if labels is not None else None)
        async with self._locks.held(name):
            there = self.store.get(name)
            if there is not None and not _same_driver(there, driver).found:
                return there
            self.drivers.local.hands.check_writable()
            with named("create", name, options):
                driver = driver or (there.driver if there else LOCAL)
                make = self._make if driver == LOCAL else partial(self._ask, driver, there)
                volume = await make(name, *wanted)
            self.events.tell("create", name, driver=volume.driver)
            return volume

    async def _make(self, name: str, options: _Texts, labels: _Texts) -> Volume:
        """Makes its directory and commits its record in one go; one that was copied here meanwhile is adopted."""
        local, touch = self.drivers.local, None
        make = local.making(name, options, labels)

        def put() -> list[Put]:
            nonlocal touch
            volume, identity = make()
            return [Put(volume, touch := self._touch(identity))]

        try:
            [effect] = await self.commits.commit_done(put)
        except FileExistsError:
            [effect] = await self.commits.commit(Put(await local.adopt(name)))
        self.sealing.note(touch)
        assert effect.volume is not None
        return effect.volume

    async def _ask(self, driver: str, found: Volume | None, name: str, options: _Texts, labels: _Texts) -> Volume:
        """Has a plugin make it; one that was only found there belongs to whoever asks for it to be made."""
        volume = await self.drivers.plugin(driver).create(name, options, labels)
        [effect] = await self.commits.commit(
            Put(msgspec.structs.replace(volume, serial=found.serial) if found is not None else volume)
        )
        assert effect.volume is not None
        return effect.volume

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Takes a volume away; its tree is deleted afterwards, in the background.

        Raises InUse while it has users other than the view, also with `force`; NotFound, except with `force`. A plugin
        that does not remove it keeps it, but with `force` it is forgotten here.
        """
        async with self._locks.held(name):
            volume = self.store.get(name)
            if volume is None:
                if force:
                    return
                raise NotFound(f"get {name}: no such volume")
            self.drivers.local.hands.check_writable()
            in_use_by = await self.uses.of(name)
            if in_use_by:
                raise InUse(f"remove {name}: volume is in use - [{', '.join(in_use_by)}]")
            with named("remove", name, volume.options):
                if volume.local:
                    await self._take_away(volume)
                else:
                    await self.uses.dismiss_all(volume, force=force)
                    await self.drivers.plugin(volume.driver).remove(volume, force=force)
                    await self.commits.commit(Delete(name))
            self.events.tell("destroy", name, driver=volume.driver)

    async def _take_away(self, volume: Volume) -> None:
        local, aside, touch = self.drivers.local, None, None

        def delete() -> list[Delete]:
            nonlocal aside, touch
            aside = local.set_aside(volume)
            touch = self._touch(aside.identity if aside else "")
            return [Delete(volume.name, touch)]

        await local.release(volume)
        try:
            await self.commits.commit_done(delete)
        except HostError:
            if aside:
                await local.put_back(aside.work, volume.name)
            raise
        self.sealing.note(touch)
        if aside:
            self._trash.put(aside.work)

    def _touch(self, identity: str) -> Touch | None:
        """What a commit is to vouch for: nothing where there is no directory, or one that is durable by itself."""
        return Touch(identity, self._boot) if identity else None

    def busy(self, name: str) -> bool:
        """Whether somebody changes or mounts the volume just now."""
        return self._locks.busy(name)

    async def follow(self, name: str, changes: Callable[[Volume | None], Sequence[Change]]) -> None:
        """Commits what `changes` makes of a volume's record, which nobody else changes meanwhile."""
        async with self._locks.held(name):
            if wanted := changes(self.store.get(name)):
                await self.commits.commit(*wanted)

    async def note(self, name: str, before: Volume | None, after: Volume | None) -> None:
        """Commits what somebody learned of a volume, unless it was changed since it was `before`. None: not there.

        That a plugin has it mounted nowhere, said before somebody mounted it, is no news.
        """
        async with self._locks.held(name):
            await self._commit_all(self._news(name, before, after))

    async def note_all(self, learned: Sequence[Learned]) -> bool:
        """`note` for many, in one transaction; False where somebody was at work on one of them, which is left out."""
        by_name = {one[0]: one for one in learned}
        with self._locks.free(by_name) as free:
            await self._commit_all([change for name in free for change in self._news(*by_name[name])])
        return len(free) == len(by_name)

    async def _commit_all(self, changes: Sequence[Change]) -> None:
        if changes:
            await self.commits.commit(*changes)

    def _news(self, name: str, before: Volume | None, after: Volume | None) -> list[Change]:
        if before and after and not after.mountpoint and self.uses.anybody(name):
            after = msgspec.structs.replace(after, mountpoint=before.mountpoint)
        used = after is None and bool(self.store.references(name, limit=1))
        if self.store.get(name) != before or before == after or used:
            return []
        return [Delete(name) if after is None else Put(after)]


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
