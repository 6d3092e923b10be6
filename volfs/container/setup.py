"""A container's mounts set up, as Docker does when it starts one, and given back.

    config.v2.json ─→ volumes ─→ mounted through their drivers, this container being their user ─→ event
                  │                └─ a part of one bound to a place of ours (subpaths)
                  ├─→ sources of binds ─→ made, or missed
                  └─→ network files ─→ its root's
                                         └─→ mounts of an OCI runtime spec (mounts)

Law: all or nothing: where one volume cannot be had, the container keeps the volumes that it had before, and no other.
Set up again it has the same ones; those that its files no longer name are given back. An error names the volume, the
container and the destination. One call at a time for each container.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from volfs.container import complaints
from volfs.container.complaints import called
from volfs.container.config import Container, MountPoint
from volfs.container.directory import find, give, parse_id, present, read
from volfs.container.labels import relabel
from volfs.container.mounts import Mounts, binds_of, mounts, network_files, volumes_of
from volfs.container.sources import make_missing, refuse_missing
from volfs.container.subpaths import Subpaths
from volfs.driver.names import is_volume_name
from volfs.errors import HostError, Invalid, NotFound, VolfsError
from volfs.findings import Finding, Findings
from volfs.volume.lists import Lists
from volfs.volume.locks import NameLocks
from volfs.volume.service import VolumeService
from volfs.volume.volume import LOCAL, Kind, Volume

OF_DOCKER = Path("/var/lib/docker/containers")

log = logging.getLogger(__name__)
T = TypeVar("T")
Args = TypeVarTuple("Args")


@dataclass(frozen=True)
class SetUp:
    """A container whose volumes are mounted, what a runtime is to mount for it, and what is not as it was."""

    container: Container
    result: Mounts
    warnings: Sequence[Finding]


@dataclass
class Released:
    """What a container gave back: names of volumes, and what went wrong on the way."""

    container: str
    volumes: list[str] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


class Containers:
    """The containers that have volumes of this daemon."""

    def __init__(self, service: VolumeService, lists: Lists) -> None:
        self._service, self._lists = service, lists
        self._subpaths = Subpaths(Path(service.root))
        self._places = [Path(service.root) / "containers", OF_DOCKER]
        self._locks = NameLocks()
        self._ours = {LOCAL, *service.drivers.registry.own_names}

    async def set_up(self, wanted: str | Path, owner: tuple[int, int]) -> SetUp:
        """Has the volumes of a container mounted; `wanted` is its directory, or the beginning of its ID.

        `owner` is the user and group of the host that the container's root is. Raises NotFound, Invalid, Conflict,
        Unavailable, HostError.
        """
        directory = wanted if isinstance(wanted, Path) else await self._run(find, wanted, self._places)
        container = await self._run(read, directory)
        async with self._locks.held(container.id):
            complaints.refuse_nameless(volumes_of(container), called(container))
            await self._run(refuse_missing, binds_of(container), called(container))
            had, tried = self._has(container.id), list[MountPoint]()
            try:
                sources = {}
                for mount in volumes_of(container):
                    tried.append(mount)
                    sources[mount.destination] = await self._source(container, mount)
                made = await self._run(make_missing, binds_of(container), owner, called(container))
                labelled = await self._run(_labelled, container, sources)
                result = await self._run(_decided, container, sources, directory, owner)
            except Exception:
                await self._take_back(container.id, [mount for mount in tried if mount.name not in had])
                raise
            spare = await self._give_up(container.id, tried, had)
        return SetUp(container, result, (*container.findings, *result.warnings, *made, *labelled, *spare))

    async def release(self, wanted: str) -> Released:
        """Gives back all that a container has; `wanted` is the beginning of its ID. One that has nothing is no error.

        Raises Invalid where several begin so or it is no ID.
        """
        found = {one.id for _, one in self._service.store.uses_of(parse_id(wanted)) if one.kind is Kind.CONTAINER}
        if len(found) > 1:
            raise Invalid(f"{wanted} is the beginning of {len(found)} containers' IDs, give more of it")
        released = Released(next(iter(found), wanted))
        if found:
            async with self._locks.held(released.container):
                released.volumes = sorted(self._has(released.container))
                released.warnings = await self._give_up(released.container, (), released.volumes)
        return released

    def _has(self, container: str) -> set[str]:
        """The volumes that are mounted for a container."""
        found = (name for name, one in self._service.store.uses_of(container) if one.id == container)
        return {name for name in found if self._service.uses.has(name, container)}

    # One volume

    async def _source(self, container: Container, mount: MountPoint) -> str:
        """Where what is to be mounted is now; the container is a user of the volume then."""
        await self._require(container, mount)
        place = self._place(container.id, mount) if mount.subpath else None
        bind = partial(self._bind, place, mount) if place else None
        told = {
            "destination": mount.destination,
            "read/write": "true" if mount.rw else "false",
            "propagation": mount.propagation,
        }
        try:
            mountpoint = await self._service.uses.mount(mount.name, container.id, Kind.CONTAINER, bind, told)
        except (VolfsError, OSError) as error:
            raise complaints.about_volume(error, mount, called(container)) from error
        return str(place) if place else mountpoint

    def _place(self, container: str, mount: MountPoint) -> Path:
        return self._subpaths.place(container, mount.name, mount.subpath)

    def _bind(self, place: Path, mount: MountPoint, mountpoint: str) -> None:
        """Where a plugin has the data is the plugin's word, and may be a symlink of its."""
        self._subpaths.bind(place, mountpoint, mount.subpath, follow=mount.driver not in self._ours)

    async def _require(self, container: Container, mount: MountPoint) -> None:
        """Sees to it that the volume is on record: its directory may have been copied here since the daemon started."""
        ours = mount.driver in self._ours
        volume = self._service.store.get(mount.name)
        if volume is None:
            volume = await (self._adopted(mount.name) if ours else self._found(mount.name))
        if volume is None:
            directory = f"{self._service.root}/volumes/{mount.name}" if ours and is_volume_name(mount.name) else ""
            raise complaints.unknown(mount, called(container), directory)
        if volume.driver != mount.driver and not (volume.local and ours):
            raise complaints.of_other_driver(volume.driver, mount, called(container))

    async def _adopted(self, name: str) -> Volume | None:
        local = self._service.drivers.local
        return await self._service.create(name, LOCAL) if await local.run(local.hands.exists, name, of=name) else None

    async def _found(self, name: str) -> Volume | None:
        try:
            return await self._lists.find(name)
        except NotFound:
            return None

    # Giving back

    async def _take_back(self, container: str, tried: Collection[MountPoint]) -> None:
        """After a failure: what was mounted goes again, also where only the last step was missing."""
        for mount in reversed([*tried]):
            if mount.subpath:
                try:
                    await self._run(self._subpaths.remove, self._place(container, mount))
                except OSError as error:
                    log.warning("a bind stays", extra={"container": container, "why": error.strerror})
        for finding in await self._leave(container, dict.fromkeys(mount.name for mount in tried)):
            log.warning("a volume stays mounted", extra={"container": container, "why": finding.text})

    async def _give_up(self, container: str, mounted: Collection[MountPoint], had: Collection[str]) -> list[Finding]:
        """What it had and does not need any more."""
        findings = []
        try:
            places = [self._place(container, mount) for mount in mounted if mount.subpath]
            await self._run(self._subpaths.keep_only, container, places)
        except HostError as error:
            findings.append(Finding("container-not-released", str(error), container))
        return findings + await self._leave(container, sorted(set(had) - {mount.name for mount in mounted}))

    async def _leave(self, container: str, volumes: Iterable[str]) -> list[Finding]:
        """The container uses these volumes no more; whatever goes wrong with one, the others are given back."""
        findings = Findings()
        for name in volumes:
            try:
                await self._service.uses.unmount(name, container)
            except NotFound:
                continue  # its directory went meanwhile, and with it what was mounted
            except VolfsError as error:
                findings.note("container-not-released", str(error), container)
        return list(findings.all())

    async def _run(self, hand: Callable[[*Args], T], *args: *Args) -> T:
        return await self._service.drivers.local.run(hand, *args)


def _labelled(container: Container, sources: Mapping[str, str]) -> list[Finding]:
    asked = (*volumes_of(container), *binds_of(container))
    found = [(mount, sources.get(mount.destination, mount.source)) for mount in asked]
    return relabel(found, container.mount_label, called(container))


def _decided(container: Container, sources: Mapping[str, str], directory: Path, owner: tuple[int, int]) -> Mounts:
    """The mounts, their network files given to the container's root."""
    network = network_files(container, sources, str(directory))
    result = mounts(container, sources, network, present(network), owner)
    give(directory, result.chown, owner)
    return result
