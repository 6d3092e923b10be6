"""Restore carried out: the plan of `restore.py` done to the store, the directories and the mount table.

Runs before anything is served, in the only thread there is. Every step may be cut off and done again.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from volfs.driver.local import LocalDriver, Scan
from volfs.driver.names import VolumeName
from volfs.driver.notes import Notes
from volfs.errors import NotFound, VolfsError
from volfs.mount.syscalls import detach, read_mountinfo
from volfs.volume import power_cut, probe
from volfs.volume.changes import AddReference, Change, Delete, DropReference, Put
from volfs.volume.containers import containers_in
from volfs.volume.encoding import DamagedStore
from volfs.volume.observe import described, recalled, returned
from volfs.volume.restore import Found, Kernel, Plan, in_background, mounted_in, plan, removing_serial
from volfs.volume.store import MapFull, Store
from volfs.volume.suspicion import CATALOGUE
from volfs.volume.volume import VIEW_REFERENCE, Kind, Reference, State

BATCH = 5_000  # changes in one transaction

log = logging.getLogger(__name__)


def boot_id() -> str:
    """The kernel's id of this boot; see random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def recover(driver: LocalDriver, view: str) -> tuple[Store, Plan]:
    """Brings store, directories and mounts together; returns the open store and what was planned.

    A catalogue that cannot be read is moved aside and a new one begun; one that is damaged where no record is, is
    written anew. Numbers are never used again, also not those that only a lost catalogue knew: where there are volumes
    already, a new one counts on from the clock.
    Raises Invalid for a newer format, HostError where the file cannot be opened.
    """
    scan = driver.scan()
    for stranger in scan.ignored:
        log.warning("not a volume, left alone", extra={"entry": stranger})
    catalogue = driver.volumes / CATALOGUE
    first_serial = _clock() if scan.names else 1
    try:
        with probe.marked(catalogue):
            return _reconcile(catalogue, first_serial, scan, driver, view)
    except DamagedStore as error:
        damage = error
    if probe.renew(catalogue):
        log.warning("the catalogue is written anew", extra={"why": str(damage)})
        try:
            with probe.marked(catalogue):
                return _reconcile(catalogue, first_serial, scan, driver, view)
        except DamagedStore as error:
            damage = error
    _move_aside(catalogue, damage)
    return _reconcile(catalogue, _clock(), scan, driver, view)


def _clock() -> int:
    return time.time_ns() // 1_000_000


def _move_aside(catalogue: Path, why: Exception) -> None:
    aside = catalogue.with_name(f"{CATALOGUE}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    catalogue.rename(aside)
    catalogue.with_name(f"{CATALOGUE}-lock").unlink(missing_ok=True)
    log.error("the catalogue is rebuilt from the directories", extra={"why": str(why), "kept": str(aside)})


def _reconcile(catalogue: Path, first_serial: int, scan: Scan, driver: LocalDriver, view: str) -> tuple[Store, Plan]:
    store = Store(catalogue, first_serial=first_serial)
    try:
        taken_back = _take_back(scan.publishing, store, driver)
        if power_cut.recover(store, driver, boot_id(), scan.work) or taken_back:
            scan = driver.scan()
        result = _plan(store, scan, driver, view)
        _carry_out(result, store, driver)
    except VolfsError:
        store.close()
        raise
    return store, result


def _take_back(publishing: Sequence[str], store: Store, driver: LocalDriver) -> bool:
    """Imports that were cut off in the middle of being shown; returns whether a directory may have gone."""
    for note in publishing:
        try:
            driver.take_back(note, lambda name: store.get(name) is not None)
        except (VolfsError, FileExistsError) as error:  # then some of its volumes are there, and are adopted
            log.warning("an import that was cut off is not taken back", extra={"note": note, "why": str(error)})
        else:
            log.warning("an import that was cut off is taken back", extra={"note": note})
    return bool(publishing)


def _plan(store: Store, scan: Scan, driver: LocalDriver, view: str) -> Plan:
    kernel = Kernel(read_mountinfo(), boot_id(), str(driver.volumes), view)
    removed = {volume.name for one in scan.work if (volume := store.by_serial(removing_serial(one)))}
    strangers = {name for name in mounted_in(kernel) if store.get(name) is None and driver.exists(name)}
    plain = {name for name in strangers if _is_plain(name, driver)}
    noted = [name for name in Notes(driver.volumes.parent).names() if store.get(name) is None]
    found = Found(scan.names, scan.work, removed, plain, noted, containers_in(driver.root))
    return plan(store.entries(), found, store.all_references(), kernel)


def _is_plain(name: str, driver: LocalDriver) -> bool:
    description = driver.describe(name)
    return not description.options and not description.damage


def _carry_out(result: Plan, store: Store, driver: LocalDriver) -> None:
    for mountpoint in result.unmount:
        detach(mountpoint)
        log.warning("unmounted what the last run left", extra={"mountpoint": mountpoint})
    for work in result.sweep:
        if not in_background(work):
            _sweep(driver, work)
    with suppress(VolfsError):  # a note that cannot be deleted harms nobody
        Notes(driver.volumes.parent).sweep()
    commit_all(store, _changes(result, store, driver))


def _sweep(driver: LocalDriver, work: str) -> None:
    try:
        driver.sweep(work)
    except VolfsError as error:
        log.warning("unfinished work is left over", extra={"work": work, "why": str(error)})


def _changes(result: Plan, store: Store, driver: LocalDriver) -> Iterator[Change]:
    for name in result.adopt:
        yield from _adopted(name, driver)
    for name in result.recall:
        yield from _recalled(name, driver)
    for name in result.missing:
        users = [reference.id for reference in store.references(name)]
        log.error("volume missing", extra={"volume": name, "used_by": ",".join(users) or "nobody"})
        yield from _in_state(store, name, State.MISSING)
    for name in result.returned:
        log.info("volume is there again", extra={"volume": name})
        yield from (Put(returned(driver, change.volume)) for change in _in_state(store, name, State.OK))
    for name in result.finished:
        yield Delete(name)
    for name, id_ in result.drop:
        yield DropReference(name, id_)
    for name, reference in result.leave:
        yield AddReference(name, msgspec.structs.replace(reference, kind=Kind.LEAVING, boot=boot_id()))
    for name, reference in result.stopped:
        yield AddReference(name, msgspec.structs.replace(reference, boot=""))
    for name in result.see:
        yield AddReference(name, Reference(VIEW_REFERENCE, Kind.VIEW, boot_id(), int(time.time())))


def _adopted(name: str, driver: LocalDriver) -> Iterator[Change]:
    if driver.discard_unfinished(name):
        log.info("the rest of a volume that was never answered for is deleted", extra={"volume": name})
        return
    try:
        description = driver.describe(name)
    except NotFound:
        return
    log.info("volume adopted", extra={"volume": name})
    if description.damage:
        log.error("volume damaged", extra={"volume": name, "why": description.damage})
    yield Put(described(VolumeName(name), description))


def _recalled(name: str, driver: LocalDriver) -> Iterator[Change]:
    note = Notes(driver.volumes.parent).read(name)
    if note is None:
        log.error("the note of a plugin's volume cannot be read, it is left alone", extra={"volume": name})
        return
    log.info("a plugin's volume is recalled", extra={"volume": name, "driver": note.driver})
    yield Put(recalled(VolumeName(name), note))


def _in_state(store: Store, name: str, state: State) -> Iterator[Put]:
    volume = store.get(name)
    if volume is not None:
        yield Put(msgspec.structs.replace(volume, state=state))


def commit_all(store: Store, changes: Iterable[Change]) -> None:
    """Carries many changes out, in transactions of BATCH of them. For a store that nobody else has open."""
    for batch in _batches(changes):
        _commit(store, batch)


def _batches(changes: Iterable[Change]) -> Iterator[list[Change]]:
    rest = iter(changes)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _commit(store: Store, batch: Sequence[Change]) -> None:
    while True:
        try:
            store.commit(batch)
        except MapFull:
            store.grow()
        else:
            return
