"""What is to be changed where the catalogue is not what Docker's files say."""

import msgspec
import pytest

from volfs.observe.compare import Sight, differing, reference_changes, volume_changes
from volfs.volume.changes import AddReference, Delete, DropReference, Put
from volfs.volume.volume import Kind, Reference, State, Volume

SEEN = Volume("xx", 0, 100, labels={"a": "1"}, identity="7.1")
KNOWN = msgspec.structs.replace(SEEN, serial=5)
WEB = Reference("web", Kind.CONTAINER, "boot", 1, "web", "running")


def changed(volume, **fields):
    return msgspec.structs.replace(volume, **fields)


def test_a_volume_that_is_known_as_it_is_stays():
    assert volume_changes(KNOWN, SEEN) == []
    assert list(differing([KNOWN], {"xx": SEEN})) == []


def test_a_new_volume_gets_a_number():
    assert volume_changes(None, SEEN) == [Put(SEEN)]


def test_a_volume_that_has_gone_goes():
    assert volume_changes(KNOWN, None) == [Delete("xx")]
    assert list(differing([KNOWN], {})) == ["xx"]


def test_nothing_and_nothing_is_nothing():
    assert volume_changes(None, None) == []


@pytest.mark.parametrize("fields", [{"labels": None}, {"options": {"o": "x"}}, {"state": State.DAMAGED}])
def test_what_is_otherwise_is_put_under_the_same_number(fields):
    assert volume_changes(KNOWN, changed(SEEN, **fields))[0] == Put(changed(KNOWN, **fields))
    assert list(differing([KNOWN], {"xx": changed(SEEN, **fields)})) == ["xx"]


def test_another_directory_of_the_name_is_another_volume():
    again = changed(SEEN, identity="7.2")
    assert volume_changes(KNOWN, again) == [Delete("xx"), Put(again)]


def test_a_new_volume_comes_with_those_who_use_it():
    again = changed(SEEN, identity="7.2")
    assert volume_changes(None, SEEN, [WEB]) == [Put(SEEN), AddReference("xx", WEB)]
    assert volume_changes(KNOWN, again, [WEB]) == [Delete("xx"), Put(again), AddReference("xx", WEB)]
    assert volume_changes(KNOWN, SEEN, [WEB]) == []


def test_a_volume_whose_directory_is_missing_stays_the_same_one():
    missing = Volume("xx", 0, 0, labels={"a": "1"}, state=State.MISSING)
    [put, gone] = volume_changes(KNOWN, missing)
    assert put == Put(changed(KNOWN, state=State.MISSING))
    assert gone == DropReference("xx", "view")
    assert volume_changes(put.volume, missing) == []
    assert volume_changes(put.volume, SEEN) == [Put(KNOWN)], "it is back"


def test_data_that_docker_unmounts_is_no_longer_the_views():
    unmounted = changed(SEEN, state=State.UNMOUNTED)
    assert volume_changes(KNOWN, unmounted)[1:] == [DropReference("xx", "view")]
    assert volume_changes(changed(KNOWN, state=State.UNMOUNTED), SEEN) == [Put(KNOWN)]


def sight(*references, volumes=("xx",)):
    return Sight(dict.fromkeys(volumes, SEEN), {(name, one.id): one for name, one in references})


def test_a_container_is_a_user_of_each_of_its_volumes():
    changes = reference_changes([], sight(("xx", WEB), ("yy", WEB), volumes=("xx", "yy")))
    assert changes == [AddReference("xx", WEB), AddReference("yy", WEB)]
    assert reference_changes([("xx", WEB), ("yy", WEB)], sight(("xx", WEB), ("yy", WEB), volumes=("xx", "yy"))) == []


def test_a_container_that_stops_is_a_user_in_another_state():
    stopped = changed(WEB, boot="", state="exited")
    assert reference_changes([("xx", WEB)], sight(("xx", stopped))) == [AddReference("xx", stopped)]


def test_a_container_that_has_gone_is_no_user():
    assert reference_changes([("xx", WEB)], sight()) == [DropReference("xx", "web")]


def test_who_looks_through_the_view_is_none_of_dockers():
    assert reference_changes([("xx", Reference("view", Kind.VIEW, "boot", 1))], sight()) == []


def test_a_volume_that_is_not_there_has_no_users():
    assert reference_changes([], sight(("zz", WEB))) == []
