"""What a plugin is told of its users when it comes and goes at the wrong moment, and what it cannot do to volfs."""

import json
import os
import threading
import time

import msgspec
import pytest

from tests.conftest import UnixConnection, until
from tests.plugins.test_volumes_of_plugins import inspect, names, state
from volfs.mount import syscalls
from volfs.volume.changes import AddReference
from volfs.volume.store import Store

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")


@pytest.fixture
def host(serve, plugin_path, tmp_path):
    """A daemon that finds the plugins of the test, and is one itself."""
    return serve("--plugin-path", str(plugin_path), "--plugin-socket", str(tmp_path / "volfs.sock"))


@pytest.fixture
def call(tmp_path):
    """A call of the plugin protocol to volfs."""

    def call(method, **body):
        connection = UnixConnection(tmp_path / "volfs.sock")
        connection.request("POST", f"/VolumeDriver.{method}", json.dumps(body))
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        return answer.status, said

    return call


def away(plugin):
    """Ends a plugin as a service manager does: its socket goes too."""
    plugin.stop()
    os.unlink(plugin.address)


def test_a_user_that_leaves_while_the_plugin_is_gone_is_told_to_it_later(host, plugin, call):
    host.create("db", Driver="fake")
    assert call("Mount", Name="db", ID="a" * 64)[0] == 200
    away(plugin)
    assert call("Unmount", Name="db", ID="a" * 64) == (200, {})
    plugin.start()
    until(lambda: plugin.users("db") == [], 15)


def test_a_volume_that_is_looked_at_is_forgotten_with_force_when_its_plugin_is_gone(host, plugin):
    host.create("db", Driver="fake")
    os.stat(host.view / "db" / "_data")
    away(plugin)
    assert host.request("DELETE", "/volumes/db?force=1") == (204, "")
    assert names(host) == []


def test_a_plugin_that_goes_while_it_is_told_of_who_left_does_not_end_the_daemon(host, plugin, call):
    for name in ("v1", "v2", "v3"):
        host.create(name, Driver="fake")
        assert call("Mount", Name=name, ID="a" * 64)[0] == 200
    plugin.behave(Unmount="close")
    for name in ("v1", "v2", "v3"):
        call("Unmount", Name=name, ID="a" * 64)
    plugin.behave(Unmount="hang")
    before = len(plugin.calls("Unmount"))
    until(lambda: len(plugin.calls("Unmount")) > before)
    pid = host.daemon
    away(plugin)
    time.sleep(3)
    assert host.daemon == pid, host.log()


def test_a_mountpoint_with_nul_does_not_end_the_daemon(host, plugin):
    plugin.behave(Mount='raw: {"Mountpoint": "/a\\u0000b"}')
    host.create("db", Driver="fake")
    pid = host.daemon
    with pytest.raises(OSError):
        os.stat(host.view / "db" / "_data")
    time.sleep(1)
    assert host.daemon == pid, host.log()


def test_a_mount_without_a_usable_answer_is_taken_back(host, plugin, call):
    """The plugin has mounted it and says so, but not where."""
    host.create("db", Driver="fake")
    plugin.behave(Mount='do: {"Mountpoint": "relative"}')
    assert call("Mount", Name="db", ID="a" * 64)[0] == 500
    plugin.behave()
    until(lambda: plugin.users("db") == [], 15)


def test_an_unmount_asked_again_is_answered_though_the_plugin_refuses_to_do_it_twice(host, plugin, call):
    """The daemon died after the plugin had done it, or the plugin's answer was lost."""
    host.create("db", Driver="fake")
    assert call("Mount", Name="db", ID="a" * 64)[0] == 200
    plugin.behave(Unmount="close")
    assert call("Unmount", Name="db", ID="a" * 64) == (200, {})
    plugin.behave(Unmount="err: no user of db")
    assert call("Unmount", Name="db", ID="a" * 64) == (200, {})
    plugin.behave()
    assert call("Mount", Name="db", ID="b" * 64)[0] == 200
    plugin.behave(Unmount="err: busy")
    assert call("Unmount", Name="db", ID="b" * 64)[0] == 500


def test_who_could_not_be_let_go_is_not_forgotten_over_a_mount_that_fails(host, plugin, call):
    host.create("db", Driver="fake")
    assert call("Mount", Name="db", ID="a" * 64)[0] == 200
    plugin.behave(Unmount="close")
    assert call("Unmount", Name="db", ID="a" * 64) == (200, {})
    plugin.behave(Unmount="close", Mount="err: not now")
    assert call("Mount", Name="db", ID="a" * 64)[0] == 500
    plugin.behave()
    until(lambda: plugin.users("db") == [], 15)


def test_a_plugin_that_was_not_reached_is_not_told_that_somebody_left_who_never_came(host, plugin, call):
    """Plugins that count calls would take the volume from under somebody else."""
    host.create("db", Driver="fake")
    plugin.stop()
    status, _ = call("Mount", Name="db", ID="a" * 64)
    assert status == 500
    plugin.start()
    until(lambda: host.request("GET", "/volumes")[1]["Warnings"] is None)
    time.sleep(3)
    assert plugin.calls("Unmount") == []


def test_many_mounts_at_once_reach_a_plugin_that_listens_to_few(host, plugin, call):
    for number in range(60):
        host.create(f"v{number}", Driver="fake")
    answers = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(call("Mount", Name=f"v{n}", ID=f"{n:064}")))
        for n in range(60)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [said for status, said in answers if status != 200] == []


def test_a_plugins_volume_with_gos_zero_time_is_shown(host, plugin):
    plugin.stop()
    (plugin.directory / "state.json").write_text(
        json.dumps({"db": {"opts": {}, "users": [], "created": "0001-01-01T00:00:00Z"}})
    )
    plugin.start()
    until(lambda: names(host) == ["db"])
    assert os.stat(host.view / "db").st_mtime <= time.time() + 1
    assert host.create("db", Driver="fake")["Driver"] == "fake"
    assert host.stop() == 0
    (host.root / "volumes" / "metadata.mdb").unlink()
    host.start()
    assert names(host) == ["db"]


def test_a_status_with_a_huge_number_is_no_failure(host, plugin):
    host.create("db", Driver="fake")
    plugin.behave(Get='raw: {"Volume": {"Name": "db", "Status": {"n": 99999999999999999999}}}')
    assert host.request("GET", "/volumes/db")[0] == 200


def test_a_name_with_a_newline_is_reached_by_versioned_clients(host, plugin):
    host.create("a\nb", Driver="fake")
    assert host.request("GET", "/v1.43/volumes/a%0Ab")[0] == 200


def test_a_list_is_answered_while_one_volume_is_being_mounted(host, plugin, call):
    """A Mount may take two minutes; that the plugin lists another mountpoint for it meanwhile must wait, alone."""
    host.create("slow", Driver="fake")
    plugin.behave(Mount="hang")
    thread = threading.Thread(target=lambda: call("Mount", Name="slow", ID="a" * 64))
    thread.start()
    until(lambda: plugin.calls("Mount"))
    # the plugin mounts it already, says so in its list, and has another volume
    plugin.behave(
        Mount="hang",
        List='raw: {"Volumes": [{"Name": "slow", "Mountpoint": "/there"}, {"Name": "new"}]}',
    )
    try:
        until(lambda: names(host) == ["new", "slow"], 10)
        assert host.request("GET", "/volumes")[1]["Warnings"] is None
    finally:
        plugin.behave()
        thread.join()


def test_an_inspect_ends_while_a_mount_of_the_volume_hangs(host, plugin, call):
    host.create("slow", Driver="fake")
    plugin.behave(Mount="hang")
    thread = threading.Thread(target=lambda: call("Mount", Name="slow", ID="a" * 64))
    thread.start()
    until(lambda: plugin.calls("Mount"))
    plugin.behave(Mount="hang", Get="close", List="close")
    try:
        began = time.monotonic()
        assert state(host, "slow") == "unknown"
        assert time.monotonic() - began < 30
    finally:
        plugin.behave()
        thread.join()


def test_an_absent_plugins_volumes_do_not_keep_other_binds_from_expiring(serve, plugin_path, plugin):
    host = serve("--plugin-path", str(plugin_path), "--idle", "1")
    for name in ("a1", "a2"):
        host.create(name, Driver="fake")
    host.create("own")
    for name in ("a1", "a2", "own"):
        os.stat(host.view / name / "_data")
    plugin.behave(Unmount="hang")
    until(lambda: str(host.view / "own" / "_data") not in host.mounts(), 20)
    plugin.behave()


def test_a_plugin_is_asked_to_remove_a_volume_only_when_nothing_of_it_is_bound(host, plugin):
    """What is on a device that is still mounted somewhere cannot be removed."""
    host.create("db", Driver="fake")
    os.stat(host.view / "db" / "_data")
    plugin.behave(Remove="hang")
    thread = threading.Thread(target=lambda: host.request("DELETE", "/volumes/db"))
    thread.start()
    until(lambda: plugin.calls("Remove"))
    bound = str(host.view / "db" / "_data") in host.mounts()
    plugin.behave()
    thread.join()
    assert not bound


def test_a_refused_removal_leaves_no_bind_without_a_user(host, plugin):
    host.create("db", Driver="fake")
    os.stat(host.view / "db" / "_data")
    plugin.behave(Remove="err: busy")
    assert host.request("DELETE", "/volumes/db")[0] == 500
    bound = str(host.view / "db" / "_data") in host.mounts()
    assert bound == (plugin.users("db") != []) == (inspect(host, "db")["UsedBy"] != [])


def test_a_plugin_that_was_too_busy_to_let_a_user_go_is_told_again(host, plugin, call):
    """dockerd says it once; it gets the error, and the plugin has the volume mounted for good."""
    host.create("db", Driver="fake")
    assert call("Mount", Name="db", ID="a" * 64)[0] == 200
    plugin.behave(Unmount="err: device is busy")
    status, said = call("Unmount", Name="db", ID="a" * 64)
    assert (status, "device is busy" in said["Err"]) == (500, True)
    assert inspect(host, "db")["UsedBy"] == []
    plugin.behave()
    until(lambda: plugin.users("db") == [], 30)


def test_a_plugin_that_never_lets_a_user_go_is_told_some_times_and_taken_at_its_word(host, plugin, call):
    host.create("db", Driver="fake")
    assert call("Mount", Name="db", ID="a" * 64)[0] == 200
    plugin.behave(Unmount="err: who is that")
    assert call("Unmount", Name="db", ID="a" * 64)[0] == 500
    until(lambda: "a plugin does not let a user go" in host.log(), 60)
    told = len(plugin.calls("Unmount"))
    assert told > 1
    time.sleep(3)  # longer than to the next time, were there one for a user who is still on record
    assert host.stop() == 0
    host.start()
    until(lambda: host.request("GET", "/volumes")[1]["Warnings"] is None)
    assert len(plugin.calls("Unmount")) == told


def test_a_plugin_hears_of_users_that_a_reboot_ended(host, plugin, call):
    host.create("db", Driver="fake")
    host.create("idle", Driver="fake")
    assert call("Mount", Name="db", ID="a" * 64)[0] == 200
    assert host.stop() == 0
    store = Store(host.root / "volumes" / "metadata.mdb")
    [one] = store.references("db")
    store.commit([AddReference("db", msgspec.structs.replace(one, boot="00000000-0000-4000-8000-000000000000"))])
    store.close()
    host.start()
    assert inspect(host, "db")["UsedBy"] == []
    until(lambda: plugin.users("db") == [])
    assert plugin.calls("Unmount") == [("Unmount", {"Name": "db", "ID": "a" * 64})]


def test_thousands_of_volumes_that_a_plugin_has_are_found_while_everything_else_goes_on(host, plugin):
    """One by one twenty thousand took a minute and a half; together they share transactions and notices."""
    many, own = 10_000, []
    host.create("own")
    plugin.stop()
    volumes = {f"v{number:06}": {"opts": {}, "users": [], "created": ""} for number in range(many)}
    (plugin.directory / "state.json").write_text(json.dumps(volumes))
    plugin.start()

    def all_seen():
        began = time.monotonic()
        assert host.request("GET", "/volumes/own")[0] == 200
        own.append(time.monotonic() - began)
        return (host.view / f"v{many - 1:06}").exists()

    began = time.monotonic()
    host.request("GET", "/volumes")
    until(all_seen, 60)
    assert sorted(own)[len(own) // 2] < (time.monotonic() - began) / 10, "others wait for the whole of it"
    assert len(os.listdir(host.view)) == many + 1
    (plugin.directory / "state.json").write_text("{}")
    plugin.stop()
    plugin.start()
    host.request("GET", "/volumes")
    until(lambda: os.listdir(host.view) == ["own"], 60)
