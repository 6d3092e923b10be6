"""volfs as the host of a volume plugin, a real daemon and a real plugin: volumes made, seen, used and removed there."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import until
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
ODD = ["sp ace", "../up", "a/b", "na\nl", "名前", "100%", ".x", "a"]


def inspect(host, name):
    status, answer = host.request("GET", f"/volumes/{name}")
    assert status == 200, answer
    return answer


def state(host, name):
    return inspect(host, name)["Status"]["State"]


def names(host):
    return sorted(one["Name"] for one in host.request("GET", "/volumes")[1]["Volumes"])


def meta(host, name):
    return json.loads((host.view / name / "meta").read_text())


def ids(host, name):
    return [one["Id"] for one in inspect(host, name)["UsedBy"]]


def test_a_volume_is_made_by_its_plugin_and_shown_like_every_other(host, plugin):
    made = host.create("db", Driver="fake", DriverOpts={"size": "big", "password": "x1"}, Labels={"a": "1"})
    assert (made["Driver"], made["Labels"], made["Options"]) == ("fake", {"a": "1"}, {"size": "big", "password": "x1"})
    assert plugin.volumes["db"]["opts"] == {"size": "big", "password": "x1"}
    assert inspect(host, "db")["Status"] == {"State": "ok", "backend": "test"}
    assert names(host) == ["db"]
    assert sorted(os.listdir(host.view / "db")) == ["_data", "meta", "opts.json"]
    shown = meta(host, "db")
    assert (shown["Driver"], shown["Options"]["password"]) == ("fake", "********")
    assert json.loads((host.view / "db" / "opts.json").read_text()) == shown["Options"]
    assert host.create("db", Driver="fake", Labels={"b": "2"})["Labels"] == {"a": "1"}, "made already"
    assert host.request("DELETE", "/volumes/db") == (204, "")
    assert (plugin.volumes, os.listdir(host.view)) == ({}, [])


def test_its_data_is_bound_while_somebody_looks_with_the_view_as_its_user(serve, plugin, plugin_path):
    host = serve("--plugin-path", str(plugin_path), "--idle", "0.3s")
    host.create("db", Driver="fake")
    (host.view / "db" / "_data" / "file").write_text("said")
    assert (plugin.data("db") / "file").read_text() == "said"
    assert os.stat(host.view / "db" / "_data").st_ino == os.stat(plugin.data("db")).st_ino, "bound, not through FUSE"
    assert ids(host, "db") == ["view"]
    [user] = plugin.users("db")
    assert user.startswith("volfs-view-")
    until(lambda: plugin.users("db") == [])
    assert ids(host, "db") == []


def test_its_data_is_served_through_fuse_where_nothing_can_be_bound(serve, plugin, plugin_path):
    host = serve("--plugin-path", str(plugin_path), "--data-plane", "fuse")
    host.create("db", Driver="fake")
    (host.view / "db" / "_data" / "file").write_text("said")
    assert (plugin.data("db") / "file").read_text() == "said"
    assert len(plugin.users("db")) == 1
    assert host.stop() == 0
    assert plugin.users("db") == []


def test_when_volfs_stops_its_plugin_hears_that_nobody_looks_any_more(host, plugin):
    host.create("db", Driver="fake")
    os.listdir(host.view / "db" / "_data")
    assert host.stop() == 0
    assert plugin.users("db") == []
    host.start()
    assert (state(host, "db"), ids(host, "db")) == ("ok", [])


def test_a_plugin_that_is_silent_when_volfs_stops_is_told_at_the_next_start(host, plugin):
    host.create("db", Driver="fake")
    os.listdir(host.view / "db" / "_data")
    plugin.behave(Unmount="hang")
    assert host.stop() == 0
    plugin.behave()
    assert len(plugin.users("db")) == 1
    host.start()
    until(lambda: plugin.users("db") == [])
    assert ids(host, "db") == []


def test_volumes_that_a_plugin_has_already_are_found_and_go_when_they_are_gone(host, plugin):
    other = {"opts": {}, "users": [], "created": "2026-01-02T03:04:05Z"}
    host.create("mine", Driver="fake", Labels={"a": "1"})
    plugin.stop()
    state_file = plugin.directory / "state.json"
    state_file.write_text(json.dumps({**plugin.volumes, "theirs": other}))
    plugin.start()
    until(lambda: names(host) == ["mine", "theirs"])
    assert inspect(host, "theirs")["CreatedAt"] == "2026-01-02T03:04:05Z"
    assert sorted(os.listdir(host.view)) == ["mine", "theirs"]
    plugin.stop()
    state_file.write_text("{}")
    plugin.start()
    until(lambda: names(host) == ["mine"])
    assert os.listdir(host.view) == ["mine"]
    assert state(host, "mine") == "missing", "made here: never forgotten"
    assert not (host.view / "mine" / "_data").exists()
    assert meta(host, "mine")["Labels"] == {"a": "1"}


def test_whoever_asks_for_a_found_volume_makes_it_theirs(host, plugin):
    plugin.stop()
    (plugin.directory / "state.json").write_text('{"xx": {"opts": {}, "users": [], "created": ""}}')
    plugin.start()
    until(lambda: names(host) == ["xx"])
    (plugin.directory / "calls").unlink()
    assert host.create("xx", Driver="fake", Labels={"a": "1"})["Labels"] == {"a": "1"}
    assert plugin.calls("Create") == [], "it was there"
    plugin.behave(List="forget", Get="forget")
    until(lambda: state(host, "xx") == "missing")
    assert inspect(host, "xx")["Labels"] == {"a": "1"}


def test_a_volume_that_only_its_plugin_knows_is_found_by_its_name(host, plugin):
    names(host)
    plugin.stop()
    (plugin.directory / "state.json").write_text('{"late": {"opts": {}, "users": [], "created": ""}}')
    plugin.start()
    assert inspect(host, "late")["Driver"] == "fake"
    assert host.request("GET", "/volumes/never")[0] == 404


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_no_directory_can_have_is_shown_escaped_and_works(host, plugin, name):
    host.create(name, Driver="fake", Labels={"a": "1"})
    [entry] = os.listdir(host.view)
    assert "/" not in entry
    assert meta(host, entry)["Name"] == name
    (host.view / entry / "_data" / "file").write_text("said")
    assert (plugin.data(name) / "file").read_text() == "said"
    host.kill_daemon()
    assert (host.view / entry / "_data" / "file").read_text() == "said"
    assert not (host.view / f"{entry}x").exists()


def test_a_name_that_is_too_long_is_refused_before_the_plugin_is_asked(host, plugin):
    status, answer = host.request("POST", "/volumes/create", {"Name": "x" * 33_000, "Driver": "fake"})
    assert (status, "too long" in answer["message"]) == (400, True)
    assert plugin.calls("Create") == []


def test_a_driver_that_is_not_there_is_an_error_at_once(host):
    status, answer = host.request("POST", "/volumes/create", {"Name": "db", "Driver": "nope"})
    assert (status, answer["message"]) == (
        404,
        'create db: error looking up volume plugin nope: plugin "nope" not found',
    )


def test_what_a_plugin_refuses_is_told_in_its_words_and_makes_nothing(host, plugin):
    plugin.behave(Create="err: no room")
    status, answer = host.request("POST", "/volumes/create", {"Name": "db", "Driver": "fake"})
    assert (status, answer["message"]) == (500, "create db: VolumeDriver.Create: no room")
    assert names(host) == []
    plugin.behave()
    host.create("db", Driver="fake")


def test_volfs_does_not_ask_itself(serve, plugin_path):
    socket = plugin_path / "volfs.sock"
    host = serve("--plugin-path", str(plugin_path), "--plugin-socket", str(socket))
    status, answer = host.request("POST", "/volumes/create", {"Name": "db", "Driver": "volfs"})
    assert (status, "that is volfs itself" in answer["message"]) == (400, True)
    assert host.request("GET", "/volumes")[1] == {"Volumes": [], "Warnings": None}


def test_a_kill_while_the_plugin_mounts_leaves_no_user_there(host, plugin):
    host.create("db", Driver="fake")
    plugin.behave(Mount="hang")
    with subprocess.Popen([sys.executable, "-c", f"import os; os.stat('{host.view}/db/_data')"]) as looking:
        until(lambda: plugin.calls("Mount"))
        host.kill_daemon()
        looking.send_signal(signal.SIGTERM)
        host.ready(2)
        plugin.behave()
        looking.wait()
    until(lambda: ("Unmount", {"Name": "db", "ID": plugin.calls("Mount")[0][1]["ID"]}) in map(tuple, plugin.calls()))
    until(lambda: ids(host, "db") == [])


def test_a_volume_of_a_plugin_is_given_on_to_docker_with_its_users_told_apart(serve, plugin, plugin_path, tmp_path):
    from tests.conftest import UnixConnection

    socket = tmp_path / "volfs.sock"
    host = serve("--plugin-path", str(plugin_path), "--plugin-socket", str(socket))
    host.create("db", Driver="fake")

    def call(method, **fields):
        connection = UnixConnection(socket)
        connection.request("POST", f"/VolumeDriver.{method}", json.dumps(fields))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    for user in ("one", "two", "one"):
        assert call("Mount", Name="db", ID=user) == {"Mountpoint": str(plugin.data("db"))}
    assert plugin.users("db") == ["one", "two"]
    assert host.request("DELETE", "/volumes/db")[0] == 409
    for user in ("one", "nobody", "two"):
        assert call("Unmount", Name="db", ID=user) == {}
    assert plugin.users("db") == []
    assert [one["Name"] for one in call("List")["Volumes"]] == ["db"]
    assert call("Remove", Name="db") == {}
    assert plugin.volumes == {}
