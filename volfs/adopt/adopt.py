"""Adopting carried out: what `rules` decided is written beside the data, then into the catalogue, then marked as done.

    1  meta.json into directories that have none, notes of plugins' volumes      what a lost catalogue is rebuilt from
    2  restore                                                                   directories and notes become entries
    3  entries of what is missing, users
    4  the mark

Law: each step may be cut off and done again, and done again it changes nothing. opts.json, metadata.db and what is in a
`_data` are not written. Runs before anything is served, with the root locked and Docker kept out.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from volfs.adopt.containers import read_containers
from volfs.adopt.mark import Standing, mark, refuse_unadopted, standing
from volfs.adopt.rules import Adoption, decide, needs
from volfs.dockerroot.metadata import Record
from volfs.dockerroot.owner import METADATA
from volfs.dockerroot.source import read_metadata
from volfs.driver.local import LocalDriver
from volfs.driver.metas import Wanted, Written, write_metas
from volfs.driver.names import VolumeName
from volfs.driver.notes import Notes
from volfs.driver.record import Description
from volfs.errors import Invalid, NotFound
from volfs.findings import Finding, Findings
from volfs.volume.changes import AddReference, Change, Put
from volfs.volume.observe import recalled
from volfs.volume.recovery import commit_all, recover
from volfs.volume.restore import Plan
from volfs.volume.store import Store
from volfs.volume.volume import LOCAL, Kind, Reference, State, Volume

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Adopted:
    """What was there. `missing` are names with who needs each, for people; `findings` all that was wrong."""

    directories: int
    plugins: int
    users: int
    missing: dict[str, list[str]]
    findings: tuple[Finding, ...]


def restore(driver: LocalDriver, view: str, *, adopting: bool) -> tuple[Store, Plan]:
    """Restores a root, and adopts it before where that was asked for and is due. Raises as `recover` does, and Invalid
    for a Docker root that was never adopted.
    """
    now = standing(driver.root)
    if adopting and now.due:
        store, plan, _ = adopt(driver, view)
        return store, plan
    refuse_unadopted(driver.root)
    if now.due:
        log.warning("what Docker knows of the volumes was not adopted, --adopt does it", extra={"root": driver.root})
    elif adopting:
        why = "it was adopted already" if now is Standing.DONE else "it is no Docker data root"
        log.info("nothing to adopt", extra={"root": driver.root, "why": why})
    return recover(driver, view)


def adopt(driver: LocalDriver, view: str) -> tuple[Store, Plan, Adopted]:
    """Adopts the root of `driver` and restores it; the open store, restore's plan, and what was adopted.

    A metadata.db that is damaged or not there costs what only it said. Raises as `recover` does.
    """
    root = driver.root
    records, damage = _records(root)
    containers, trouble = read_containers(root)
    wanted = decide(records, containers, set(driver.scan().names))
    written = write_metas(driver.volumes, (Wanted(one.name, one.labels, one.options) for one in wanted.directories))
    unwritten = _note(driver.volumes.parent, wanted.plugins)
    store, plan = recover(driver, view)
    try:
        commit_all(store, _changes(store, wanted, written, int(time.time())))
        mark(root)
    except BaseException:
        store.close()
        raise
    findings = (*damage, *trouble, *wanted.findings, *_unwritten(written), *unwritten)
    needed = needs(containers)
    missing = {one.name: needed.get(one.name, []) for one in wanted.missing}
    adopted = Adopted(len(wanted.directories), len(wanted.plugins), len(wanted.users), missing, findings)
    _tell(root, adopted)
    return store, plan, adopted


def _records(root: Path) -> tuple[list[Record], tuple[Finding, ...]]:
    try:
        records, reading = read_metadata(root / METADATA)
    except NotFound:
        return [], ()
    except Invalid as error:
        return [], (Finding("metadata-unreadable", str(error)),)
    return records, reading.findings


def _note(place: Path, plugins: Sequence[Record]) -> tuple[Finding, ...]:
    notes, findings = Notes(place), Findings()
    there = set(notes.names()) if plugins else set()
    for one in plugins:
        if one.name in there:
            continue
        try:
            notes.write(one.name, Description(0, one.driver, one.labels, one.options))
        except Invalid as error:
            findings.note("adopt-unwritten", f"volume {one.name} could not be noted: {error}", one.name)
    return findings.all()


def _unwritten(written: Written) -> tuple[Finding, ...]:
    findings = Findings()
    for name, why in written.failed.items():
        text = f"volume {name} could not be given a meta.json, only the catalogue has its labels: {why}"
        findings.note("adopt-unwritten", text, name)
    return findings.all()


def _changes(store: Store, wanted: Adoption, written: Written, now: int) -> Iterator[Change]:
    undescribed = {*written.names, *written.failed}
    for one in wanted.directories:
        entry = store.get(one.name)
        if entry is not None and one.name in undescribed and one.labels and not entry.labels:
            yield Put(msgspec.structs.replace(entry, labels=one.labels))
    for one in wanted.plugins:
        entry = store.get(one.name)
        if entry is None or entry.driver != one.driver:
            note = Description(0, one.driver, one.labels, one.options)
            volume = recalled(VolumeName(one.name), note)
            yield Put(volume if entry is None else msgspec.structs.replace(volume, serial=entry.serial))
    for one in wanted.missing:
        if store.get(one.name) is None:
            yield Put(_as_missing(one))
    for name, container in wanted.users:
        if all(user.id != container for user in store.references(name)):
            yield AddReference(name, Reference(container, Kind.CONTAINER, "", now))


def _as_missing(record: Record) -> Volume:
    """When it was made is known to nobody any more."""
    return Volume(VolumeName(record.name), 0, 0, LOCAL, record.options, record.labels, State.MISSING)


def _tell(root: Path, adopted: Adopted) -> None:
    for one in adopted.findings:
        log.warning("found while adopting", extra={"code": one.code, "what": one.text})
    for name, containers in adopted.missing.items():
        log.error("volume missing", extra={"volume": name, "used_by": ", ".join(containers) or "nobody"})
    log.info(
        "docker root adopted",
        extra={
            "root": str(root),
            "directories": adopted.directories,
            "missing": len(adopted.missing),
            "of_plugins": adopted.plugins,
            "users": adopted.users,
        },
    )
