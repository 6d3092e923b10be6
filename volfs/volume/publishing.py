"""Volumes that an import made out of sight become volumes of this root.

Law: all of them or none; real, then durable, then visible, as a create. Asked again after a daemon that died in the
middle, it finishes: what has its name already, with the inode that was handed in, is the same volume.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from volfs.driver.importing import Part
from volfs.driver.names import parse_volume_name
from volfs.driver.options import check
from volfs.errors import Conflict
from volfs.volume.changes import Put
from volfs.volume.commits import Commits
from volfs.volume.drivers import Drivers
from volfs.volume.events import Events
from volfs.volume.locks import NameLocks
from volfs.volume.naming import named
from volfs.volume.observe import described
from volfs.volume.store import Store


class Publishing:
    """Gives imported volumes their names."""

    def __init__(self, store: Store, commits: Commits, locks: NameLocks, drivers: Drivers, events: Events) -> None:
        self._store, self._commits, self._locks = store, commits, locks
        self._local, self._events = drivers.local, events

    async def publish(self, work: str, parts: Sequence[Part]) -> None:
        """Shows the parts of the work directory. Raises Conflict for a name that is taken, Invalid, HostError."""
        for part in parts:
            with named("import", part.name, part.description.options):
                parse_volume_name(part.name)
                check(part.description.options or {})
        async with AsyncExitStack() as stack:
            for name in sorted({part.name for part in parts}):
                await stack.enter_async_context(self._locks.held(name))
            await self._show(work, parts)

    async def _show(self, work: str, parts: Sequence[Part]) -> None:
        hands = self._local.hands
        there = await self._local.run(hands.are_shown, parts)
        for part, shown in zip(parts, there, strict=True):
            if not shown and self._store.get(part.name) is not None:
                raise _taken(part.name)
        try:
            await self._local.run(hands.show, work, parts)
        except FileExistsError as error:
            raise _taken(str(error.filename)) from error
        new = [part for part in parts if self._store.get(part.name) is None]
        await self._commits.commit(*(Put(described(parse_volume_name(one.name), one.description)) for one in new))
        for part in new:
            self._events.tell("create", part.name, driver="local")


def _taken(name: str) -> Conflict:
    return Conflict(f"import {name}: a volume of this name exists already")
