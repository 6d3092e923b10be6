"""What is on record of a root's volumes, whoever keeps the record, and what restore would do about it. Pure."""

import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from volfs.adopt.rules import needs
from volfs.check.observation import Observation
from volfs.container.config import MountType
from volfs.volume.restore import Entries, Entry, Found, Kernel, Plan, mounted_in, plan, removing_serial
from volfs.volume.volume import Kind, Reference, Volume


@dataclass(frozen=True)
class Known:
    """`volumes` by name, None where nobody can say; `needs` are a volume's containers, for people.

    `plan` is restore's for a root of volfs', and empty for one of Docker's.
    """

    volumes: Mapping[str, Volume] | None
    needs: Mapping[str, Sequence[str]]
    drivers: Mapping[str, str]
    plan: Plan


def known(seen: Observation) -> Known:
    """Reads the records: the catalogue's, or Docker's where it is Docker's root."""
    catalogue = seen.catalogue
    listed = seen.records if seen.docker else None
    if catalogue is not None and not catalogue.damage and not catalogue.newer:
        listed = catalogue.volumes
    volumes: dict[str, Volume] | None = None if listed is None else {one.name: one for one in listed}
    of_volfs = not seen.docker and volumes is not None
    return Known(volumes, needs(seen.containers), _drivers(seen), _plan(seen, volumes or {}) if of_volfs else Plan())


def real(seen: Observation) -> list[str]:
    """The names of the directories, in order."""
    return [one.name for one in seen.directories if stat.S_ISDIR(one.itself.mode)]


def _drivers(seen: Observation) -> dict[str, str]:
    """The drivers of volumes, by the containers that mount them; the first one is right, as for adopting."""
    mounts = [mount for container in seen.containers for mount in container.mount_points]
    return {one.name: one.driver for one in reversed(mounts) if one.type is MountType.VOLUME and one.name}


def _plan(seen: Observation, volumes: Mapping[str, Volume]) -> Plan:
    by_serial = {one.serial: one.name for one in volumes.values()}
    removed = {by_serial[number] for work in seen.work if (number := removing_serial(work)) in by_serial}
    kernel = Kernel(seen.mounts, seen.boot, seen.volumes, seen.view)
    mounting = {one.name for one in seen.directories if one.mounts or one.opts_damage}
    plain = [name for name in mounted_in(kernel) if name not in volumes and name not in mounting]
    noted = [name for name in seen.notes if name not in volumes]
    containers = {one.id for one in seen.containers}
    found = Found(real(seen), seen.work, removed, plain, noted, containers)
    in_order = [one for _, one in sorted(volumes.items(), key=_in_bytes)]
    entries = {str(one.name): Entry(one.name, one.driver, one.state, bool(one.options)) for one in in_order}
    return plan(Entries(list(entries), entries), found, _references(seen), kernel)


def _references(seen: Observation) -> Iterator[tuple[str, Reference]]:
    """As restore has them; but while a daemon runs, its view uses what it has mounted, bound or not, and tools work."""
    for name, one in seen.catalogue.references if seen.catalogue is not None else ():
        serving = seen.owner and one.kind in (Kind.VIEW, Kind.TOOL) and one.boot == seen.boot
        yield name, msgspec.structs.replace(one, kind=Kind.PLUGIN) if serving else one


def _in_bytes(item: tuple[str, Volume]) -> bytes:
    return item[0].encode(errors="surrogateescape")
