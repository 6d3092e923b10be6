"""What is decided about a Docker root, and that nothing is left out of it silently."""

from hypothesis import given
from hypothesis import strategies as some

from volfs.adopt.rules import decide
from volfs.container.config import Container, MountPoint, MountType
from volfs.dockerroot.metadata import Record


def container(id_, *names, driver="local", type_=MountType.VOLUME):
    points = tuple(MountPoint(f"/{number}", type_, name=name, driver=driver) for number, name in enumerate(names))
    return Container(id_, mount_points=points)


def test_a_directory_is_a_volume_with_its_entrys_labels():
    result = decide([Record("aa", "local", {"k": "v"})], [], {"aa", "bb"})
    assert result.directories == [Record("aa", "local", {"k": "v"}), Record("bb", "local")]
    assert (result.missing, result.plugins, result.findings) == ([], [], ())


def test_an_entry_without_a_directory_is_missing():
    assert decide([Record("aa", "local")], [], ()).missing == [Record("aa", "local")]


def test_an_entry_without_a_driver_is_dockers_own():
    assert decide([Record("aa")], [], {"aa"}).directories == [Record("aa", "local")]


def test_what_only_a_container_knows_is_missing_with_its_user():
    result = decide([], [container("c1", "aa")], ())
    assert result.missing == [Record("aa", "local")]
    assert result.users == [("aa", "c1")]


def test_a_volume_of_a_plugin_needs_no_directory_whoever_knows_it():
    result = decide([Record("p/1", "nfs")], [container("c1", "p 2", driver="nfs")], ())
    assert result.plugins == [Record("p 2", "nfs"), Record("p/1", "nfs")]


def test_a_directory_of_a_plugins_name_is_told_and_not_taken_for_the_volume():
    result = decide([Record("aa", "nfs")], [], {"aa"})
    assert (result.plugins, result.directories) == ([Record("aa", "nfs")], [])
    assert [finding.code for finding in result.findings] == ["adopt-directory-of-plugin"]


def test_an_entrys_driver_is_right_against_a_containers():
    assert decide([Record("aa", "nfs")], [container("c1", "aa")], ()).plugins == [Record("aa", "nfs")]


def test_a_container_is_one_user_however_often_it_mounts_a_volume():
    assert decide([], [container("c1", "aa", "aa")], {"aa"}).users == [("aa", "c1")]


def test_binds_and_volumes_without_a_name_need_nothing():
    containers = [container("c1", "aa", type_=MountType.BIND), container("c2", "")]
    result = decide([], containers, ())
    assert (result.missing, result.users) == ([], [])


def test_a_name_that_no_volume_can_have_here_is_told():
    result = decide([Record("sp ace", "local"), Record("x" * 300, "nfs")], [], ())
    assert [finding.code for finding in result.findings] == ["adopt-name", "adopt-name"]
    assert result.missing == []


NAMES = some.sampled_from(["aa", "bb", "cc", "a/b", "-x", "\udcff", ""])
DRIVERS = some.sampled_from(["", "local", "nfs"])


@given(
    some.lists(some.builds(Record, NAMES, DRIVERS)),
    some.lists(some.builds(container, some.sampled_from(["c1", "c2"]), NAMES, driver=DRIVERS)),
    some.sets(some.sampled_from(["aa", "bb", "cc"])),
)
def test_everything_has_one_fate_or_a_finding(records, containers, directories):
    result = decide(records, containers, directories)
    fates = [one.name for part in (result.directories, result.plugins, result.missing) for one in part]
    assert len(fates) == len(set(fates))
    told = {finding.subject for finding in result.findings}
    named = {record.name for record in records} | {point.name for one in containers for point in one.mount_points}
    assert (named - {""}) | directories <= set(fates) | told
    assert {name for name, _ in result.users} <= set(fates)
