"""The rules about any observation: never an exception, always something to do, the worst first."""

import stat

from hypothesis import given, settings
from hypothesis import strategies as some

from volfs.adopt.mark import Standing
from volfs.check.observation import Catalogue, Directory, Observation, Seen, Silence
from volfs.check.problem import Problem, Restore, Severity, Sweep
from volfs.check.repair import ordered
from volfs.check.rules import lasting, problems
from volfs.container.config import Container, MountPoint, MountType
from volfs.findings import Finding
from volfs.mount.mountinfo import MountEntry
from volfs.volume.volume import Kind, Reference, State, Volume

NAMES = some.sampled_from(["aa", "bb", "cc"])
MODES = some.sampled_from([0o40701, 0o40755, 0o100600, 0o100644, 0o120777, 0o10600])
SEEN = some.builds(Seen, MODES, some.sampled_from([0, 7]))
TMPFS = {"type": "tmpfs", "device": "tmpfs"}
PATHS = some.sampled_from(["/r/volumes/aa/_data", "/r/volumes/bb/_data/sub", "/r/volumes", "/v", "/v/aa/_data"])


def directories():
    parts = some.builds(
        Directory,
        some.just(""),
        SEEN,
        *[some.none() | SEEN] * 3,
        some.sampled_from(["", "is broken"]),
        some.sampled_from(["", "is broken"]),
        some.booleans(),
    )
    return some.dictionaries(NAMES, parts).map(
        lambda found: [
            Directory(name, one.itself, one.data, one.opts, one.meta, one.opts_damage, one.meta_damage, one.mounts)
            for name, one in sorted(found.items())
        ]
    )


VOLUME = some.builds(
    Volume,
    NAMES,
    some.integers(1, 9),
    some.just(1),
    some.sampled_from(["local", "nfs"]),
    some.none() | some.just(TMPFS),
    some.none() | some.just({"a": "1"}),
    some.sampled_from(State),
)
VOLUMES = some.lists(VOLUME, unique_by=lambda one: one.name)
REFERENCE = some.builds(
    Reference,
    some.sampled_from(["c1", "view"]),
    some.sampled_from(Kind),
    some.sampled_from(["now", "old", ""]),
    some.just(1),
)
CONTAINER = some.builds(
    lambda id_, name, driver: Container(id_, mount_points=(MountPoint("/d", MountType.VOLUME, "", name, driver),)),
    some.sampled_from(["c1", "c2"]),
    NAMES,
    some.sampled_from(["local", "nfs"]),
)
CATALOGUE = some.none() | some.builds(
    lambda volumes, users, damage, newer: (
        Catalogue(damage=damage)
        if damage
        else Catalogue(newer=newer)
        if newer
        else Catalogue(volumes, [one for one in users if one[0] in {volume.name for volume in volumes}])
    ),
    VOLUMES,
    some.lists(some.tuples(NAMES, REFERENCE), unique_by=lambda one: (one[0], one[1].id)),
    some.sampled_from(["", "", "broken"]),
    some.sampled_from(["", "", "newer"]),
)
OBSERVATIONS = some.builds(
    Observation,
    root=some.just("/r"),
    volumes=some.just("/r/volumes"),
    boot=some.just("now"),
    uid=some.just(0),
    standing=some.sampled_from(Standing),
    docker=some.booleans(),
    owner=some.sampled_from(["", "dockerd (pid 1)"]),
    view=some.sampled_from(["", "/v"]),
    linked=some.booleans(),
    catalogue=CATALOGUE,
    records=some.none() | VOLUMES,
    damage=some.lists(some.builds(Finding, some.just("bolt-page"), some.just("page 1")), max_size=1),
    containers=some.lists(CONTAINER, max_size=2, unique_by=lambda one: one.id),
    directories=directories(),
    work=some.lists(some.sampled_from([".creating-1", ".removing-2"]), unique=True).map(sorted),
    strangers=some.lists(some.just("bad name"), max_size=1),
    notes=some.lists(NAMES, unique=True).map(sorted),
    files=some.dictionaries(some.sampled_from(["/r/volumes", "/r/volumes/metadata.mdb"]), SEEN),
    mounts=some.lists(PATHS, max_size=4).map(
        lambda paths: [MountEntry(n, 1, "0:1", "/", path, (), (), "tmpfs", "t", ()) for n, path in enumerate(paths, 2)]
    ),
    views=some.lists(some.just("/v"), max_size=1),
    drivers=some.sampled_from([frozenset(), frozenset({"nfs"})]),
    silent=some.lists(
        some.sampled_from(
            [
                Silence("aa", "/r/volumes/aa/_data", MountEntry(2, 1, "0:44", "/", "/", (), (), "fuse.x", "s", ())),
                Silence("aa", "/r/volumes/aa", MountEntry(2, 1, "0:1", "/", "/", (), (), "nfs4", "nas:/e", ())),
                Silence("bb", "/dev/none"),
                Silence("cc", plugin="nfs"),
            ]
        ),
        max_size=2,
        unique=True,
    ),
)


@settings(max_examples=200, deadline=None)
@given(OBSERVATIONS)
def test_any_observation_has_problems_that_a_person_can_act_on(seen):
    found = problems(seen)
    worst = list(Severity)
    assert [worst.index(one.severity) for one in found] == sorted(worst.index(one.severity) for one in found)
    for one in found:
        assert one.code
        assert one.meaning
        assert one.remedy
        assert "\n" not in one.meaning + one.remedy
    assert found == problems(seen)
    assert lasting(found, found) == found
    assert lasting([], found) == []


@settings(max_examples=200, deadline=None)
@given(OBSERVATIONS)
def test_every_volume_that_a_container_needs_is_there_or_told(seen):
    told = {one.volume for one in problems(seen)}
    there = {one.name for one in seen.directories if stat.S_ISDIR(one.itself.mode)}
    removed = {one.name for one in (seen.catalogue.volumes if seen.catalogue else ()) if one.serial == 2}
    for container in seen.containers:
        for mount in container.mount_points:
            assert mount.name in told | there | removed or not _local_everywhere(seen, mount.name)


def _local_everywhere(seen, name):
    known = [*(seen.records or ()), *(seen.catalogue.volumes if seen.catalogue else ())]
    known += [mount for container in seen.containers for mount in container.mount_points]
    return all(one.driver == "local" for one in known if one.name == name)


def test_repairs_are_done_in_an_order_that_lets_restore_see_what_was_removed():
    def problem(repair):
        return Problem("x", Severity.NOTE, "", "m", "r", repair=repair)

    assert ordered([problem(Sweep(".removing-2")), problem(None), problem(Restore()), problem(Restore())]) == [
        Restore(),
        Sweep(".removing-2"),
    ]
