"""Volumes of plugins exported and imported: the record of volfs and the data where the plugin has it."""

import os

import pytest

from tests.conftest import until
from tests.journeys.transfers import exported, in_progress, names, start, users, volfs
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")


def filled(host, plugin, name):
    host.create(name, Driver="fake", DriverOpts={"size": "big"}, Labels={"a": "1"})
    plugin.data(name).mkdir(parents=True, exist_ok=True)
    (plugin.data(name) / "file").write_text(name)


def test_a_volume_of_a_plugin_is_made_by_the_plugin_of_the_other_host(host, plugin):
    filled(host, plugin, "a/b c")
    archive = exported(host, "a/b c")
    until(lambda: plugin.users("a/b c") == [])  # the daemon sees a moment later that the archive was read
    assert volfs(host, "import", "--rename", "a/b c=new", stdin=archive)[:2] == (0, b"new\n")
    assert (plugin.data("new") / "file").read_text() == "a/b c"
    assert plugin.volumes["new"]["opts"] == {"size": "big"} and plugin.users("new") == []
    made = host.request("GET", "/volumes/new")[1]
    assert (made["Driver"], made["Labels"]) == ("fake", {"a": "1"})
    assert in_progress(host) == []


def test_a_volume_of_a_plugin_becomes_a_plain_one(host, plugin, serve):
    filled(host, plugin, "db")
    archive = exported(host, "db")
    other = serve()
    code, _, said = volfs(other, "import", stdin=archive)
    assert code == 1 and "fake" in said and names(other) == []
    assert volfs(other, "import", "--driver", "local", stdin=archive)[0] == 0
    made = other.request("GET", "/volumes/db")[1]
    assert (made["Driver"], made["Options"], made["Labels"]) == ("local", None, {"a": "1"})
    assert (other.root / "volumes/db/_data/file").read_text() == "db"


def test_a_plugin_that_does_not_mount_takes_back_what_was_made(host, plugin):
    filled(host, plugin, "db")
    archive = exported(host, "db")
    plugin.behave(Mount="err: no such disk")
    code, _, said = volfs(host, "import", "--rename", "db=new", stdin=archive)
    assert code == 125 and "no such disk" in said
    assert names(host) == ["db"] and list(plugin.volumes) == ["db"] and in_progress(host) == []
    code, _, said = volfs(host, "export", "db")
    assert code == 125 and "no such disk" in said


def test_a_plugin_is_told_of_an_export_that_a_killed_daemon_can_tell_no_more(host, plugin):
    filled(host, plugin, "db")
    (plugin.data("db") / "big").write_bytes(os.urandom(4 << 20))
    process = start(host, "export", "db")
    try:
        until(lambda: users(host, "db"))
        [user] = plugin.users("db")
        host.kill_daemon()
        host.ready(2)
        until(lambda: plugin.users("db") == [])
        assert user.startswith("export-") and users(host, "db") == []
    finally:
        process.kill()
        process.communicate()
