"""What the nodes of the view look like, without a mount."""

import json
import stat

import pytest

from volfs.view.inodes import ROOT, NodeKind, inode
from volfs.view.tree import Door, attributes, children, meta_text, opts_text, root_attributes
from volfs.volume.volume import Kind, Reference, State, Volume

CIFS = {"type": "cifs", "device": "//host/share", "o": "username=u,password=hunter2"}
USER = Reference("c0ffee", Kind.CONTAINER, "boot", 1_000_000_000)


def volume(**fields):
    return Volume(**{"name": "db", "serial": 7, "created": 1_700_000_000, **fields})


def test_the_views_directory_is_owned_as_its_door_says_and_counts_its_volumes():
    shown = root_attributes(Door(1, 2, 0o710), 5, 99)
    assert (shown.inode, shown.uid, shown.gid, shown.nlink, shown.time) == (ROOT, 1, 2, 7, 99)
    assert shown.mode == stat.S_IFDIR | 0o710


def test_a_usable_volume_shows_data_and_the_two_files():
    assert children(volume()) == [
        (b"_data", NodeKind.DATA),
        (b"meta", NodeKind.META),
        (b"opts.json", NodeKind.OPTS),
    ]


@pytest.mark.parametrize("state", [State.MISSING, State.DAMAGED])
def test_a_volume_that_cannot_be_used_shows_no_data(state):
    assert [name for name, _ in children(volume(state=state))] == [b"meta", b"opts.json"]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        (NodeKind.VOLUME, stat.S_IFDIR | 0o755),
        (NodeKind.DATA, stat.S_IFDIR | 0o755),
        (NodeKind.META, stat.S_IFREG | 0o444),
        (NodeKind.OPTS, stat.S_IFREG | 0o444),
    ],
)
def test_a_node_has_its_own_number_mode_and_the_time_of_the_volume(kind, mode):
    shown = attributes(volume(), kind, size=10, changed=1)
    assert (shown.inode, shown.mode, shown.time) == (inode(7, kind), mode, 1_700_000_000)
    assert shown.size == (10 if stat.S_ISREG(mode) else 0)


def test_meta_is_as_new_as_the_last_change_of_its_users():
    assert attributes(volume(), NodeKind.META, changed=1_800_000_000).time == 1_800_000_000
    assert attributes(volume(), NodeKind.OPTS, changed=1_800_000_000).time == 1_700_000_000


def test_opts_json_is_dockers_text_and_an_empty_object_without_options():
    assert opts_text(volume()) == b"{}\n"
    assert json.loads(opts_text(volume(options={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}))) == {
        "MountType": "tmpfs",
        "MountDevice": "tmpfs",
        "MountOpts": "size=1m",
        "Quota": {"Size": 0},
    }


def test_no_secret_is_shown():
    secret = volume(options=CIFS)
    for text in (opts_text(secret), meta_text(secret, "/data", [])):
        assert b"hunter2" not in text
        assert b"username=u" in text


def test_meta_says_who_uses_the_volume():
    said = json.loads(meta_text(volume(labels={"a": "ü"}), "/root/volumes/db/_data", [USER]))
    assert said["UsedBy"] == [{"Id": "c0ffee", "Kind": "container", "Since": "2001-09-09T01:46:40Z"}]
    assert (said["Name"], said["Mountpoint"], said["Labels"]) == ("db", "/root/volumes/db/_data", {"a": "ü"})
    assert said["Status"] == {"State": "ok"}


def test_labels_that_are_no_utf8_are_shown_as_the_bytes_they_are():
    assert b"\xff" in meta_text(volume(labels={"a": "\udcff"}), "/d", [])
