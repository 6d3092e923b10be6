"""Volumes without anything to be mounted, as the view shows them: it is their user by looking alone.

Law: nobody waits for a record of it, and many are put on record together: a restore finds the binds by itself.
"""

import logging
from collections.abc import Callable, Collection

from volfs.errors import NotFound
from volfs.volume.changes import AddReference, DropReference
from volfs.volume.commits import Commits
from volfs.volume.local import LocalVolumes
from volfs.volume.locks import NameLocks
from volfs.volume.naming import named
from volfs.volume.store import Store
from volfs.volume.uses import Place, Uses
from volfs.volume.volume import VIEW_REFERENCE, Kind

log = logging.getLogger(__name__)


class Looks:
    """What the view shows."""

    def __init__(self, store: Store, commits: Commits, locks: NameLocks, local: LocalVolumes, uses: Uses) -> None:
        self._store, self._commits, self._locks = store, commits, locks
        self._local, self._uses = local, uses

    async def show(self, name: str, serial: int, place: Place) -> bool:
        """Has the volume's data bound by `place`, in a thread; False where something has to be mounted first.

        Until `see` puts the view on record, the bind is all there is of it. Raises as `Uses.mount`.
        """
        async with self._locks.held(name):
            volume = self._store.get(name)
            if volume is None or volume.serial != serial:  # another one has its name by now
                raise NotFound(f"get {name}: no such volume")
            if volume.needs_mount:
                return False
            with named("mount", name, volume.options):
                await self._uses.make_ready(volume, VIEW_REFERENCE, place)
            return True

    async def see(self, names: Collection[str]) -> bool:
        """Puts the view on record as a user of what it shows, all at once; False where somebody was at work on some."""
        with self._locks.free(names) as free:
            new = [name for name in free if self._store.get(name) and not self._uses.has(name, VIEW_REFERENCE)]
            if new:
                seen = self._uses.reference(VIEW_REFERENCE, Kind.VIEW)
                await self._commits.commit(*(AddReference(name, seen) for name in new))
        return len(free) == len(names)

    async def hide(self, names: Collection[str], displace: Callable[[str], bool]) -> set[str]:
        """Takes the view away from plain volumes where `displace` says that it has; returns these.

        One that somebody is at work on stays as it is.
        """
        with self._locks.free(names) as free:
            plain = [name for name in free if (volume := self._store.get(name)) and not volume.needs_mount]
            gone = await self._local.run(lambda: {name for name in plain if _attempt(displace, name)})
            seen = [name for name in gone if self._store.reference(name, VIEW_REFERENCE)]
            if seen:
                await self._commits.commit(*(DropReference(name, VIEW_REFERENCE) for name in seen))
        for name in gone:
            self._uses.on_left(name)
        return gone


def _attempt(displace: Callable[[str], bool], name: str) -> bool:
    """One that cannot be taken away keeps no other."""
    try:
        return displace(name)
    except OSError as error:
        log.warning("data stays bound", extra={"volume": name, "why": str(error)})
        return False
