"""Repairs carried out, one at a time, with the root locked and nobody running on it.

Law: nothing is lost: what is replaced is kept beside, what is unmounted was used by nobody, what is deleted had been
given up. No step takes from a later one what it needs: restore tells finished removals by their work directories.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from volfs.check.problem import Detach, DetachView, Problem, Repair, Restore, SetMode, SetOwner, Sweep, WriteMeta
from volfs.driver.local import LocalDriver
from volfs.driver.metas import write_meta
from volfs.driver.record import Description
from volfs.errors import HostError, NotFound
from volfs.keeper.fuse import detach_view
from volfs.mount.syscalls import detach
from volfs.volume.recovery import recover
from volfs.volume.restore import Plan
from volfs.volume.store import Store
from volfs.volume.suspicion import CATALOGUE

_ORDER = (DetachView, Detach, Restore, Sweep, WriteMeta, SetMode, SetOwner)
_NOWHERE = "/nonexistent"  # a view that nothing is bound on


def ordered(found: Sequence[Problem]) -> list[Repair]:
    """What can be mended, each once, in the order in which it must be done."""
    repairs = dict.fromkeys(one.repair for one in found if one.repair is not None)
    return sorted(repairs, key=lambda one: _ORDER.index(type(one)))


def carry_out(root: Path, repair: Repair) -> list[str]:
    """Does one repair and says what was done, step by step. Raises VolfsError where it cannot be done."""
    driver = LocalDriver(root)
    try:
        return _carry_out(driver, repair)
    except OSError as error:
        raise HostError(f"{error.filename or root}: {error.strerror}", error.errno) from error


def _carry_out(driver: LocalDriver, repair: Repair) -> list[str]:
    match repair:
        case DetachView(path):
            detach_view(path)
            return [f"detached the dead view {path}"]
        case Detach(path):
            detach(path)
            return [f"unmounted {path}"]
        case Restore():
            return _restore(driver)
        case Sweep(work):
            driver.sweep(work)
            return [f"deleted {driver.volumes / work}"]
        case WriteMeta(volume):
            return _write_meta(driver, volume)
        case SetMode(path, mode):
            _on_it(path, lambda descriptor: os.fchmod(descriptor, mode))
            return [f"gave {path} the mode {mode:04o}"]
        case SetOwner(path, uid):
            _on_it(path, lambda descriptor: os.fchown(descriptor, uid, -1))
            return [f"gave {path} to user {uid}"]


def _on_it(path: str, change: Callable[[int], None]) -> None:
    """Changes what is at `path`, if that is still no symlink."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        change(descriptor)
    finally:
        os.close(descriptor)


def _restore(driver: LocalDriver) -> list[str]:
    """As a daemon does at its start, warned that reading the catalogue may end the process that does it."""
    catalogue = driver.volumes / CATALOGUE
    before = set(driver.volumes.glob(f"{CATALOGUE}.damaged-*"))
    if catalogue.exists():
        catalogue.with_name(f"{CATALOGUE}-opening").touch(0o600)
    store, plan = recover(driver, _NOWHERE)
    store.close()
    aside = set(driver.volumes.glob(f"{CATALOGUE}.damaged-*")) - before
    return [*(f"moved the damaged catalogue to {path} and began a new one" for path in sorted(aside)), *_told(plan)]


def _told(plan: Plan) -> list[str]:
    return [
        *(f"unmounted {path}" for path in plan.unmount),
        *(f"adopted the directory of volume {name}" for name in plan.adopt),
        *(f"recalled volume {name} by its note" for name in plan.recall),
        *(f"marked volume {name} as missing" for name in plan.missing),
        *(f"volume {name} is there again" for name in plan.returned),
        *(f"ended the removal of volume {name}" for name in plan.finished),
        *(f"dropped {id_}, which used volume {name}" for name, id_ in plan.drop),
        *(f"noted that {one.id} has stopped using volume {name}" for name, one in [*plan.leave, *plan.stopped]),
    ]


def _write_meta(driver: LocalDriver, name: str) -> list[str]:
    store = Store(driver.volumes / CATALOGUE)
    try:
        volume = store.get(name)
    finally:
        store.close()
    if volume is None:
        raise NotFound(f"volume {name} is not in the catalogue any more")
    description = Description(volume.created, volume.driver, volume.labels, volume.options)
    aside = f"meta.json.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    kept = aside if write_meta(driver.volumes / name, description, aside) else ""
    said = [f"kept the damaged meta.json of volume {name} as {kept}"] if kept else []
    return [*said, f"wrote the meta.json of volume {name}"]
