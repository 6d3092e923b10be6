"""An observing daemon's start: the catalogue opened, or made anew, and brought to what Docker's files say.

    STATE/observed.mdb   the mirror, with the numbers that the view's inodes are made of; may be deleted at any time

Law: nothing under the Docker root is unmounted, swept or adopted. Numbers are never used again, also not those of a
catalogue that was lost: a new one counts on from the clock.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from volfs.driver.names import file_name
from volfs.errors import VolfsError
from volfs.mount.syscalls import read_mountinfo
from volfs.observe.compare import Sight, reference_changes, volume_changes
from volfs.observe.look import DockerRoot
from volfs.volume import probe
from volfs.volume.changes import Change, DropReference
from volfs.volume.encoding import DamagedStore
from volfs.volume.recovery import commit_all
from volfs.volume.store import Store
from volfs.volume.volume import Kind, Reference, State, Volume, users

CATALOGUE = "observed.mdb"
TROUBLE = (State.MISSING, State.DAMAGED)

log = logging.getLogger(__name__)


def recover(docker: DockerRoot, state: Path, view: str) -> Store:
    """The open catalogue after a first look. Raises Invalid for a newer format, HostError."""
    catalogue = state / CATALOGUE
    try:
        with probe.marked(catalogue):
            return _mirror(catalogue, docker, view)
    except DamagedStore as error:
        log.warning("the mirror is made anew", extra={"why": str(error)})
        for name in (CATALOGUE, f"{CATALOGUE}-lock"):
            (state / name).unlink(missing_ok=True)
    return _mirror(catalogue, docker, view)


def _mirror(catalogue: Path, docker: DockerRoot, view: str) -> Store:
    store = Store(catalogue, first_serial=time.time_ns() // 1_000_000)
    try:
        sight = docker.look()
        changes = iter([*_unbound(store, view), *_changes(store, sight)])
        commit_all(store, changes)
        for volume in sight.volumes.values() if sight.there else ():
            if volume.state in TROUBLE:
                tell_trouble(volume, store.references(volume.name))
    except VolfsError:
        store.close()
        raise
    return store


def tell_trouble(volume: Volume, references: Sequence[Reference]) -> None:
    """Says in the log that a volume cannot be used, and which containers need it."""
    names = [one.name or one.id for one in users(references)]
    log.error(f"volume {volume.state.value}", extra={"volume": volume.name, "used_by": ",".join(names) or "nobody"})


def _changes(store: Store, sight: Sight) -> Iterator[Change]:
    """References last: a volume that is another one now has lost those that it had."""
    known = {str(volume.name): volume for volume in store.volumes()}
    replaced = set()
    for name in sorted({*known, *sight.volumes}):
        changes = volume_changes(known.get(name), sight.volumes.get(name))
        if len(changes) > 1:
            replaced.add(name)
        yield from changes
    there = [(name, one) for name, one in store.all_references() if name not in replaced]
    yield from reference_changes(there, sight)


def _unbound(store: Store, view: str) -> Iterator[Change]:
    """The view uses no volume that is not bound any more."""
    bound = {mount.mountpoint for mount in read_mountinfo()}
    for name, one in store.all_references():
        if one.kind is Kind.VIEW and f"{view}/{file_name(name)}/_data" not in bound:
            yield DropReference(name, one.id)
