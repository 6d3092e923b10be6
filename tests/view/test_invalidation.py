"""Which caches of the kernel a change makes wrong."""

from volfs.view.inodes import ROOT, NodeKind, inode
from volfs.view.invalidation import ForgetEntry, ForgetInode, notices
from volfs.volume.changes import Owed
from volfs.volume.volume import State, Volume

OWED = Owed(1, 7, "db")


def volume(**fields):
    return Volume(**{"name": "db", "serial": 7, "created": 1, **fields})


def test_a_volume_that_is_gone_goes_from_the_view_with_what_is_bound_in_it():
    assert notices(OWED, None) == [ForgetEntry(ROOT, b"db"), ForgetInode(ROOT)]


def test_a_volume_made_again_with_the_same_name_is_another_entry():
    assert ForgetEntry(ROOT, b"db") in notices(OWED, volume(serial=8))


def test_a_change_of_users_keeps_every_entry_because_the_bind_hangs_on_it():
    said = notices(OWED, volume())
    assert not [one for one in said if isinstance(one, ForgetEntry)]
    assert ForgetInode(inode(7, NodeKind.META)) in said
    assert ForgetInode(ROOT) in said, "the number of volumes may be another"


def test_a_volume_that_cannot_be_used_any_more_loses_its_data_in_the_view():
    for state in (State.MISSING, State.DAMAGED):
        assert ForgetEntry(inode(7), b"_data") in notices(OWED, volume(state=state))


def test_what_is_mounted_stays_in_the_view_while_its_plugin_is_silent():
    assert ForgetEntry(inode(7), b"_data") not in notices(OWED, volume(state=State.UNKNOWN))
