"""What to do after a start, decided from what the store, the driver and the kernel's mount table say.

    entry and directory              kept
    directory without entry          adopted with its own meta.json and opts.json; never deleted
    entry without directory          kept and marked missing; back to ok when the directory is there again
    entry whose removal was renamed  taken out: the removal is finished
    mount of ours, no live reference unmounted, newest first
    note of a plugin's volume        recalled, where the entry went with a catalogue that was lost
    reference of another boot        dropped; so is the view's where nothing is bound any more, and every tool's
    any of them of a plugin's volume leaving: the plugin has yet to be told
    a container's of another boot    kept while its files are in ROOT/containers: it does not run, and needs the volume
    bound, and no user on record     the view is one again: who looked there may have written; of a plugin's: stale
    bound, and not what is mounted   stale: taken away once the view is served, which lies on the way there
    work directory                   swept; not one of an import that goes on

Law: pure; carried out and run again, the plan is empty. It names no path outside ROOT. Of a million volumes nearly all
are as they should be: Python looks at the others, those are compared as wholes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from volfs.driver.names import name_of_file
from volfs.mount.mountinfo import MountEntry, Origin, origin
from volfs.volume.volume import LOCAL, Kind, Reference, State


class Entry(NamedTuple):
    """What the plan needs to know of a volume in the store. Without `name` its defaults are those of most volumes."""

    name: str
    driver: str = LOCAL
    state: State = State.OK
    has_options: bool = False


class Entries(NamedTuple):
    """All volumes in the store, and of those that are not as most are (`Entry`) what they are."""

    names: Sequence[str]
    notable: Mapping[str, Entry]

    def get(self, name: str) -> Entry:
        """The entry of a volume that is in the store."""
        return self.notable.get(name) or Entry(name)


@dataclass(frozen=True)
class Found:
    """What the local driver found: names of directories in any order, and work directories.

    `removed` are the volumes whose directory had become `.removing-SERIAL` when the last daemon died; `plain` the
    directories without an entry, but with a mount inside, that say of themselves that they have no options; `noted`
    the volumes of plugins that there are notes of, without an entry; `containers` the ids of those in ROOT/containers.
    """

    names: Sequence[str]
    work: Sequence[str]
    removed: Collection[str] = ()
    plain: Collection[str] = ()
    noted: Sequence[str] = ()
    containers: Collection[str] = ()


@dataclass(frozen=True)
class Kernel:
    """What the kernel says: its mount table, this boot's id, and where the daemon's root and view are."""

    mounts: Sequence[MountEntry]
    boot: str
    volumes: str  # ROOT/volumes
    view: str


@dataclass
class Plan:
    """What to change. Once the daemon is ready: `verify` are volumes with options, whose opts.json is read; `stale` are
    volumes of which the view shows something else than what is there now.
    """

    adopt: list[str] = field(default_factory=list)
    recall: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    unmount: list[str] = field(default_factory=list)
    drop: list[tuple[str, str]] = field(default_factory=list)
    leave: list[tuple[str, Reference]] = field(default_factory=list)
    stopped: list[tuple[str, Reference]] = field(default_factory=list)
    see: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    sweep: list[str] = field(default_factory=list)
    verify: list[str] = field(default_factory=list)
    kept: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do; kept and verified volumes are as they were."""
        changes = (
            self.adopt,
            self.recall,
            self.missing,
            self.returned,
            self.finished,
            self.unmount,
            self.drop,
            self.leave,
            self.stopped,
            self.see,
            self.stale,
            self.sweep,
        )
        return not any(changes)


def plan(entries: Entries, found: Found, references: Iterable[tuple[str, Reference]], kernel: Kernel) -> Plan:
    """Compares the three and returns what to do."""
    result = Plan(sweep=list(found.work))
    strangers, lost = _differences(found.names, entries.names)
    result.adopt.extend(strangers)
    result.recall.extend(name for name in found.noted if name not in strangers)
    _keep_or_miss(result, entries, lost, found.removed)
    of_plugins = {entry.name for entry in entries.notable.values() if entry.driver != LOCAL}
    plain = {entry.name for entry in _of(mounted_in(kernel), entries) if not entry.has_options}.union(found.plain)
    seen = _seen(result, entries, kernel)
    live = _live_references(result, references, kernel.boot, of_plugins, seen, found.containers)
    result.unmount.extend(_leaked(kernel, live, plain))
    return result


def mounted_in(kernel: Kernel) -> set[str]:
    """The directories of ROOT/volumes that something is mounted inside of."""
    return {name for mount in kernel.mounts if (name := _volume_of(mount.mountpoint, kernel.volumes))}


def in_background(work: str) -> bool:
    """Whether this may be a whole tree, which is deleted while the daemon serves already."""
    return removing_serial(work) > 0 or work.startswith(".importing-")


def removing_serial(work: str) -> int:
    """The serial in a name such as `.removing-12`, or 0."""
    number = work.removeprefix(".removing-").partition(".")[0]
    return int(number) if work.startswith(".removing-") and number.isdecimal() else 0


def _differences(found: Sequence[str], entries: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The directories without an entry, and the entries without a directory, both in order."""
    known = set(entries)
    strangers = [name for name in found if name not in known]
    if not strangers and len(found) == len(entries):
        return (), ()
    return sorted(strangers), sorted(known.difference(found))


def _keep_or_miss(result: Plan, entries: Entries, lost: Sequence[str], removed: Collection[str]) -> None:
    """What becomes of every entry; `lost` are those without a directory, as a plugin's volumes are."""
    without = {entry.name: entry for entry in map(entries.get, lost) if entry.driver == LOCAL}
    result.kept = len(entries.names) - len(without)
    for entry in without.values():
        if entry.name in removed:
            result.finished.append(entry.name)
        elif entry.state is not State.MISSING:
            result.missing.append(entry.name)
    for entry in entries.notable.values():
        if entry.driver != LOCAL or entry.name in without:
            continue
        if entry.state is State.MISSING:
            result.returned.append(entry.name)
        if entry.has_options or entry.state is State.DAMAGED:
            result.verify.append(entry.name)


def _of(names: Iterable[str], entries: Entries) -> Iterator[Entry]:
    """Those of a few names that have an entry, in order."""
    return map(entries.get, sorted(set(names).intersection(entries.names)))


def _seen(result: Plan, entries: Entries, kernel: Kernel) -> set[str]:
    """The volumes that are bound over the view; those of which it shows something else go to `stale` instead."""
    bound = _bound(kernel)
    seen: set[str] = set()
    for entry in _of(bound, entries):
        local_mount = entry.has_options and entry.driver == LOCAL
        stale = local_mount and _is_stale(bound[entry.name], entry.name, kernel)
        (result.stale.append if stale else seen.add)(entry.name)
    result.stale.extend(sorted(bound.keys() & result.adopt))  # they get another number
    return seen


def _bound(kernel: Kernel) -> dict[str, MountEntry]:
    """What is bound over the view, by the name of the volume; of several the newest, which one sees."""
    found: dict[str, MountEntry] = {}
    for mount in kernel.mounts:
        if mount.mountpoint.startswith(kernel.view + "/") and mount.mountpoint.endswith("/_data"):
            name = name_of_file(mount.mountpoint[len(kernel.view) + 1 : -len("/_data")])
            found.update({name: mount} if name else {})
    return found


def _is_stale(bind: MountEntry, name: str, kernel: Kernel) -> bool:
    """Whether a bind shows something else than what is at the mountpoint now: that was unmounted behind its back."""
    there = origin(kernel.mounts, f"{kernel.volumes}/{name}/_data")
    return there is None or Origin(bind.device, bind.root) != there


def _live_references(
    result: Plan,
    references: Iterable[tuple[str, Reference]],
    boot: str,
    of_plugins: Collection[str],
    seen: Collection[str],
    containers: Collection[str],
) -> set[str]:
    """The names of volumes that somebody still uses; what nobody can use any more goes to `drop` or `leave`.

    `seen` are those that are bound over the view: what has no such user on record goes to `see`, but a plugin's, which
    may have been told that the view has left, to `stale`. A boot ends what runs, not what is there: a container of
    another boot whose files are still here has only stopped.
    """
    gone = {*result.finished}
    live: set[str] = set()
    unrecorded = {*seen} - gone
    for name, reference in references:
        there = reference.kind is Kind.CONTAINER and reference.id in containers
        unseen = reference.kind is Kind.VIEW and name not in seen
        ended = unseen or reference.kind is Kind.TOOL
        if name not in gone and there and reference.boot != boot:
            if reference.running:
                result.stopped.append((name, reference))
        elif reference.boot not in (boot, "") and name in of_plugins:
            result.leave.append((name, reference))
        elif reference.boot != boot or name in gone or (ended and name not in of_plugins):
            result.drop.append((name, reference.id))
        elif ended:
            result.leave.append((name, reference))
        else:
            live.add(name)
            if reference.kind is Kind.VIEW:
                unrecorded.discard(name)
    result.see.extend(sorted(unrecorded.difference(of_plugins)))
    result.stale.extend(sorted(unrecorded.intersection(of_plugins)))
    return live | unrecorded.difference(of_plugins)  # a plugin mounts nothing in ROOT


def _leaked(kernel: Kernel, live: Collection[str], plain: Collection[str]) -> Iterator[str]:
    """Mounts under ROOT that nobody uses, newest first.

    A mount in a volume without options is none of ours: an administrator put a disk there, and unmounting it would
    send a container's writes to the disk below.
    """
    for mount in reversed(kernel.mounts):
        name = _volume_of(mount.mountpoint, kernel.volumes)
        if name and name not in live and name not in plain:
            yield mount.mountpoint


def _volume_of(mountpoint: str, volumes: str) -> str:
    """The directory of ROOT/volumes that a mount is in, or ""; a mount at the directory itself is none of ours."""
    if not mountpoint.startswith(volumes + "/"):
        return ""
    name, slash, _ = mountpoint[len(volumes) + 1 :].partition("/")
    return name if slash else ""
