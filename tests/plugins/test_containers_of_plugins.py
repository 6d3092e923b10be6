"""Containers whose volumes are a plugin's: the plugin knows them as users, and is told when they go."""

import os

import pytest

from tests.conftest import until
from tests.container.conftest import ID, volume, write_container
from volfs.mount import mountinfo, syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")


def set_up(host, directory):
    return host.request("POST", "/volfs/containers/mounts", {"Directory": str(directory)})


def sources(host, directory):
    status, answer = set_up(host, directory)
    assert status == 200, answer
    return {one["destination"]: one["source"] for one in answer["Mounts"]}


def binds(host):
    return mountinfo.under(syscalls.read_mountinfo(), str(host.root / "container-mounts"))


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "containers" / ID


def test_the_plugin_mounts_its_volume_for_the_container_until_it_is_released(host, plugin, directory):
    host.create("remote", Driver="fake")
    host.create("here")
    write_container(directory, volume("/remote", "remote", driver="fake"), volume("/here", "here"))
    for _ in range(2):
        assert sources(host, directory)["/remote"] == str(plugin.data("remote"))
        assert plugin.users("remote") == [ID]
    assert host.request("DELETE", f"/volfs/containers/{ID}")[1]["Volumes"] == ["here", "remote"]
    assert plugin.users("remote") == []


def test_a_volume_that_only_its_plugin_knows_is_found(host, plugin, directory):
    host.create("remote", Driver="fake")
    host.stop()
    for name in ("metadata.mdb", "metadata.mdb-lock"):
        (host.root / "volumes" / name).unlink()
    (host.root / "plugin-volumes" / "remote").unlink()
    host.start()
    write_container(directory, volume("/remote", "remote", driver="fake"))
    assert sources(host, directory) == {"/remote": str(plugin.data("remote"))}


def test_a_part_of_a_plugins_volume_cannot_lead_out_of_it(host, plugin, directory):
    host.create("remote", Driver="fake")
    write_container(directory, volume("/part", "remote", driver="fake", subpath="part"))
    (plugin.data("remote") / "part").mkdir(parents=True)
    place = sources(host, directory)["/part"]
    assert os.stat(place).st_ino == (plugin.data("remote") / "part").stat().st_ino
    (plugin.data("remote") / "part").rmdir()
    (plugin.data("remote") / "part").symlink_to("/etc")
    status, answer = set_up(host, directory)
    assert (status, "leads out of the volume" in answer["message"]) == (400, True)
    assert plugin.users("remote") == [ID], "it had the volume before"
    host.request("DELETE", f"/volfs/containers/{ID}")
    assert (plugin.users("remote"), binds(host)) == ([], [])
    assert set_up(host, directory)[0] == 400
    until(lambda: plugin.users("remote") == [])
    assert host.request("GET", "/volumes/remote")[1]["UsedBy"] == []


def test_where_another_volume_is_missing_the_plugin_is_told_that_the_container_has_left(host, plugin, directory):
    host.create("remote", Driver="fake")
    write_container(directory, volume("/a", "remote", driver="fake"), volume("/z", "gone"))
    assert set_up(host, directory)[0] == 404
    assert plugin.calls("Mount", "Unmount") != []
    assert plugin.users("remote") == []


def test_a_plugin_that_refuses_or_has_gone_is_named_with_the_container(host, plugin, directory):
    host.create("here")
    host.create("remote", Driver="fake")
    write_container(directory, volume("/here", "here"), volume("/remote", "remote", driver="fake"))
    plugin.behave(Mount="err: the disk is on fire")
    status, answer = set_up(host, directory)
    assert (status, "volume remote of container web (at /remote): " in answer["message"]) == (500, True)
    assert "the disk is on fire" in answer["message"]
    plugin.behave()
    plugin.stop()
    status, answer = set_up(host, directory)
    assert (status, "volume remote of container web (at /remote): " in answer["message"]) == (503, True)
    assert host.request("GET", "/volumes/here")[1]["UsedBy"] == []
    plugin.start()
    assert sources(host, directory)["/remote"] == str(plugin.data("remote"))
