"""What becomes of a Docker root's volumes, decided from its metadata.db, its containers and its directories. Pure.

    directory                              a volume: its own meta.json, or else the entry's labels and options in one
    entry of a plugin, whatever is there   a plugin's volume, unknown until its plugin answers
    entry without directory                missing
    needed by a container, in neither      missing, or a plugin's volume
    container's mount of a volume          a user of that volume, whether the container runs or not

Law: nothing is left out without a finding. Where an entry and a container differ about the driver, the entry is right.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from volfs.container.config import Container, MountType
from volfs.dockerroot.metadata import Record
from volfs.driver.names import parse_plugin_name, parse_volume_name
from volfs.errors import Invalid
from volfs.findings import Finding, Findings
from volfs.volume.volume import LOCAL


@dataclass(frozen=True)
class Adoption:
    """What to do. `directories` are records of local volumes that are there, `missing` of those that are not.

    `users` are (volume, container's id), each once.
    """

    directories: Sequence[Record]
    plugins: Sequence[Record]
    missing: Sequence[Record]
    users: Sequence[tuple[str, str]]
    findings: tuple[Finding, ...]


def decide(records: Iterable[Record], containers: Sequence[Container], directories: Collection[str]) -> Adoption:
    """Brings the three together; `directories` are the names of those that can be volumes."""
    findings = Findings()
    known = {name: Record(name, LOCAL) for name in directories}
    known.update({one.name: _with_driver(one) for one in _usable(records, findings)})
    needed = list(_needed(containers))
    for record in _usable((one for one, _ in needed if one.name not in known), findings):
        known.setdefault(record.name, record)
    found = [known[name] for name in sorted(known)]
    for one in found:
        if one.driver != LOCAL and one.name in directories:
            findings.note(
                "adopt-directory-of-plugin", f"volume {one.name} is {one.driver}'s: its directory is not used"
            )
    users = dict.fromkeys((record.name, id_) for record, id_ in needed if record.name in known)
    return Adoption(
        directories=[one for one in found if one.driver == LOCAL and one.name in directories],
        plugins=[one for one in found if one.driver != LOCAL],
        missing=[one for one in found if one.driver == LOCAL and one.name not in directories],
        users=list(users),
        findings=findings.all(),
    )


def needs(containers: Iterable[Container]) -> dict[str, list[str]]:
    """The volumes that containers mount, and for each who and where, for people: `web (3f2a1b…) at /data`."""
    result: dict[str, list[str]] = {}
    for container in containers:
        who = f"{container.name} ({container.id[:12]})" if container.name else container.id[:12]
        for mount in container.mount_points:
            if mount.type is MountType.VOLUME and mount.name:
                result.setdefault(mount.name, []).append(f"{who} at {mount.destination}")
    return result


def _usable(records: Iterable[Record], findings: Findings) -> Iterator[Record]:
    """Those with a name that a volume can have here."""
    for record in records:
        parse = parse_volume_name if record.driver in ("", LOCAL) else parse_plugin_name
        try:
            parse(record.name)
            record.name.encode()
        except (Invalid, UnicodeEncodeError) as error:
            text = error if isinstance(error, Invalid) else "its name is no text"
            findings.note("adopt-name", f"volume {record.name!r} cannot be adopted: {text}", record.name)
        else:
            yield record


def _with_driver(record: Record) -> Record:
    return Record(record.name, record.driver or LOCAL, record.labels, record.options)


def _needed(containers: Sequence[Container]) -> Iterator[tuple[Record, str]]:
    """What containers say of the volumes that they mount, and which container says it."""
    for container in containers:
        for mount in container.mount_points:
            if mount.type is MountType.VOLUME and mount.name:
                yield Record(mount.name, mount.driver or LOCAL), container.id
