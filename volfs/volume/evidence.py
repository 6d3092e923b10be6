"""Users whose Unmount was lost, found out by what is mounted.

dockerd repeats a call whose connection broke, because a daemon was killed, without its body: which volume and which
user it was about is lost, and dockerd never says it again. Such a call is the sign that a user on record may have gone.

    a call without a body   every Docker user of that moment is in doubt
    SETTLING later          a volume of which no mount namespace shows anything has no user: those in doubt have left
    one of them leaves      looked at again
    a daemon dies meanwhile the next one doubts every user of its moment

Law: a user who may be there stays. Source: moby, pkg/plugins/client.go, callWithRetry.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence

import trio

from volfs.errors import VolfsError
from volfs.mount.mountinfo import MountEntry, Origin, origin
from volfs.mount.namespaces import mount_tables
from volfs.mount.syscalls import read_mountinfo
from volfs.volume.changes import Doubt
from volfs.volume.service import VolumeService
from volfs.volume.volume import Kind

SETTLING = 150.0  # seconds; Docker binds nothing before all volumes are mounted, and one may take two minutes
# Podman's only id, which it gives for all its containers: what is wrong with it is right after its next mount.
PODMAN = hashlib.sha256(b"placeholder\n").hexdigest()

log = logging.getLogger(__name__)


_User = tuple[str, str, int]  # volume, id, since: who left and came back is somebody else


class Evidence:
    """Doubts about users of a service's volumes. `view` and the root are our own places, which prove nothing."""

    def __init__(self, service: VolumeService, view: str, settling: float = SETTLING) -> None:
        self._service = service
        self._own = (view, f"{service.root}/volumes")
        self._settling = settling
        self._doubted: set[_User] = set()
        self._look = trio.Event()
        service.uses.on_left = self._left

    def doubt(self) -> None:
        """A call came without a body."""
        self._doubted.update(
            (name, one.id, one.since)
            for name, one in self._service.store.all_references()
            if one.kind is Kind.PLUGIN and one.id != PODMAN
        )
        self._look.set()

    def _left(self, name: str) -> None:
        if any(doubted == name for doubted, _, _ in self._doubted):
            self._look.set()

    async def run(self) -> None:
        """Looks when there is a doubt, until it is cancelled."""
        if self._service.store.doubted():
            self.doubt()
        while True:
            await self._look.wait()
            self._look = trio.Event()
            doubted = set(self._doubted)
            await self._note(there=True)
            await trio.sleep(self._settling)
            await self._decide(doubted)
            await self._note(there=bool(self._doubted))

    async def _note(self, *, there: bool) -> None:
        if self._service.store.doubted() == there:
            return
        try:
            await self._service.commits.commit_unseen(Doubt(there))
        except VolfsError as error:  # then it is forgotten with this daemon, or looked into once too often
            log.warning("that users are in doubt is not noted", extra={"why": str(error)})

    async def _decide(self, doubted: set[_User]) -> None:
        volumes = [self._service.store.get(name) for name in {name for name, _, _ in doubted}]
        places: dict[str, str] = {
            one.name: place for one in volumes if one and (place := self._service.mountpoint(one))
        }
        held = await trio.to_thread.run_sync(_held, places, self._own, abandon_on_cancel=True)
        for name, user, since in doubted:
            if name in held:
                continue
            self._doubted.discard((name, user, since))
            try:
                if any((one.id, one.since) == (user, since) for one in self._service.references(name)):
                    log.warning("a user whose leaving was lost has left", extra={"volume": name, "user": user})
                    await self._service.uses.unmount(name, user)
            except VolfsError as error:
                log.warning("a volume stays mounted", extra={"volume": name, "why": str(error)})


def _held(places: Mapping[str, str], own: Sequence[str]) -> set[str]:
    """The names of those `places` that anybody has mounted anywhere."""
    ours, tables = read_mountinfo(), mount_tables()
    if tables is None:
        return set(places)
    # Where a plugin has its data may be a symlink, as /var/run is.
    origins = {name: found for name, place in places.items() if (found := origin(ours, os.path.realpath(place)))}
    return {name for table in tables for name in shown(origins, table, own)}


def shown(origins: Mapping[str, Origin], table: Iterable[MountEntry], own: Iterable[str]) -> set[str]:
    """The names whose origin a mount of the table shows, outside of our own directories. Pure."""
    inside = tuple(f"{one}/" for one in own)
    others = [entry for entry in table if not entry.mountpoint.startswith(inside)]
    return {name for name, one in origins.items() if any(one.shown_by(entry) for entry in others)}
