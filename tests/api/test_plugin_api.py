"""Docker's volume plugin protocol, spoken to a running daemon as dockerd speaks it."""

import contextlib
import json
import os
import stat
from pathlib import Path

import pytest

from tests.conftest import UnixConnection
from volfs.mount import syscalls
from volfs.mount.mountinfo import at
from volfs.mount.syscalls import read_mountinfo

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}


@pytest.fixture
def plugged(serve, tmp_path):
    """A daemon with two plugin sockets, in directories that it has to make."""
    sockets = [tmp_path / "plugins" / "volfs.sock", tmp_path / "more" / "other.sock"]
    served = serve("--plugin-socket", str(sockets[0]), "--plugin-socket", str(sockets[1]))
    served.plugin_sockets = sockets
    return served


@pytest.fixture
def call(plugged):
    """Calls the plugin as dockerd does, without a Content-Type: status and answer."""

    def do(method, _socket=0, **fields):
        connection = UnixConnection(plugged.plugin_sockets[_socket])
        with contextlib.closing(connection):
            headers = {"Accept": "application/vnd.docker.plugins.v1.2+json"}
            connection.request("POST", f"/{method}", json.dumps(fields) + "\n" if fields else "", headers)
            answer = connection.getresponse()
            assert answer.headers["Content-Type"] == "application/vnd.docker.plugins.v1.1+json"
            return answer.status, json.loads(answer.read())

    return do


def mounted(served, name="db"):
    found = at(read_mountinfo(), str(served.root / "volumes" / name / "_data"))
    return found is not None


def test_it_says_what_it_is(call):
    assert call("Plugin.Activate") == (200, {"Implements": ["VolumeDriver"]})
    assert call("VolumeDriver.Capabilities", _socket=1) == (200, {"Capabilities": {"Scope": "local"}})
    assert call("VolumeDriver.Nothing") == (404, {"Err": "page not found"})


def test_its_sockets_are_for_root_only_and_gone_after_a_stop(plugged):
    for socket in plugged.plugin_sockets:
        assert stat.S_IMODE(os.stat(socket).st_mode) == 0o600
    assert plugged.stop() == 0
    assert not any(socket.exists() for socket in plugged.plugin_sockets)


def test_a_volume_is_made_found_listed_and_removed(plugged, call):
    assert call("VolumeDriver.Create", Name="db", Opts=None) == (200, {})
    assert call("VolumeDriver.Create", Name="db", Opts={}) == (200, {}), "dockerd retries"
    place = str(plugged.root / "volumes" / "db" / "_data")
    assert call("VolumeDriver.Path", Name="db") == (200, {"Mountpoint": place})
    _, found = call("VolumeDriver.Get", Name="db")
    assert (found["Volume"]["Name"], found["Volume"]["Mountpoint"]) == ("db", place)
    assert call("VolumeDriver.List") == (200, {"Volumes": [found["Volume"]]})
    assert call("VolumeDriver.Remove", Name="db") == (200, {})
    assert call("VolumeDriver.List") == (200, {"Volumes": []})
    assert call("VolumeDriver.Get", Name="db") == (500, {"Err": "get db: no such volume"})


@pytest.mark.parametrize(
    ("fields", "why"),
    [({}, "names no volume"), ({"Name": "../x"}, "../x"), ({"Name": "db", "Opts": {"x": "y"}}, 'invalid option: "x"')],
)
def test_a_bad_create_is_refused_and_makes_nothing(plugged, call, fields, why):
    status, answer = call("VolumeDriver.Create", **fields)
    assert status == 500
    assert why in answer["Err"]
    assert os.listdir(plugged.view) == []


def test_what_podman_notes_beside_the_mount_options_is_not_taken_for_options(plugged, call):
    notes = {"SIZE": "1m", "INODES": "9", "UID": "5", "GID": "6", "NOQUOTA": "true"}
    assert call("VolumeDriver.Create", Name="db", Opts={**TMPFS, **notes}) == (200, {})
    assert plugged.request("GET", "/volumes/db")[1]["Options"] == TMPFS


@pytest.mark.parametrize("method", ["Create", "Get", "Path", "Mount", "Unmount", "Remove"])
def test_a_call_that_dockerd_repeats_without_its_body_is_told_to_be_repeated_whole(call, method):
    status, answer = call(f"VolumeDriver.{method}")
    told = "the call names no volume; where volfs was restarted just now, repeat the command"
    assert (status, answer) == (500, {"Err": f"{method.lower()}: {told}"})


def test_a_volume_is_mounted_exactly_while_somebody_uses_it(plugged, call):
    call("VolumeDriver.Create", Name="db", Opts=TMPFS)
    place = {"Mountpoint": str(plugged.root / "volumes" / "db" / "_data")}
    assert not mounted(plugged)
    for id_ in ("first", "second", "first"):
        assert call("VolumeDriver.Mount", Name="db", ID=id_) == (200, place)
    Path(place["Mountpoint"], "file").write_text("x")
    assert call("VolumeDriver.Unmount", Name="db", ID="nobody") == (200, {})
    assert call("VolumeDriver.Unmount", Name="db", ID="first") == (200, {})
    assert mounted(plugged), "the second uses it"
    status, answer = call("VolumeDriver.Remove", Name="db")
    assert (status, answer["Err"]) == (500, "remove db: volume is in use - [second]")
    assert call("VolumeDriver.Unmount", Name="db", ID="second") == (200, {})
    assert not mounted(plugged)
    assert call("VolumeDriver.Unmount", Name="db", ID="second") == (200, {}), "again is no error"
    assert call("VolumeDriver.Remove", Name="db") == (200, {})


def test_who_uses_a_volume_is_known_after_the_daemon_was_killed_and_after_a_new_start(plugged, call):
    call("VolumeDriver.Create", Name="db", Opts=TMPFS)
    _, place = call("VolumeDriver.Mount", Name="db", ID="c0ffee")
    Path(place["Mountpoint"], "file").write_text("kept")
    plugged.kill_daemon()
    assert call("VolumeDriver.Mount", Name="db", ID="c0ffee") == (200, place)
    assert plugged.stop() == 0
    assert mounted(plugged), "the container still has it"
    plugged.start()
    assert Path(place["Mountpoint"], "file").read_text() == "kept"
    assert [one["Id"] for one in plugged.request("GET", "/volumes/db")[1]["UsedBy"]] == ["c0ffee"]
    assert call("VolumeDriver.Unmount", Name="db", ID="c0ffee") == (200, {})
    assert not mounted(plugged)


def test_a_mount_that_failed_leaves_no_user_behind(plugged, call):
    call("VolumeDriver.Create", Name="db", Opts={"type": "ext4", "device": "/dev/does-not-exist"})
    status, answer = call("VolumeDriver.Mount", Name="db", ID="c0ffee")
    assert status == 500
    assert "db" in answer["Err"]
    assert plugged.request("GET", "/volumes/db")[1]["UsedBy"] == []
    assert call("VolumeDriver.Remove", Name="db") == (200, {})


def test_a_call_while_the_daemon_is_replaced_is_answered_by_the_next(plugged, call):
    call("VolumeDriver.Create", Name="db")
    for _ in range(5):
        plugged.kill_daemon()
        assert call("VolumeDriver.Get", Name="db")[0] == 200


def test_a_body_that_is_no_call_is_refused(plugged):
    for body in (b"{", b"[]", b'{"Name":1}', b"\xff"):
        connection = UnixConnection(plugged.plugin_sockets[0])
        with contextlib.closing(connection):
            connection.request("POST", "/VolumeDriver.Create", body)
            answer = connection.getresponse()
            assert answer.status == 500
            assert b'"Err"' in answer.read()
