"""A plugin that is slow, absent, wrong or restarted harms nobody else, and nothing of its volumes is forgotten.

That a call ends while the plugin hangs is seen by its ending at all: the plugin hangs until the test says otherwise.
"""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.conftest import UnixConnection, until
from tests.plugins.test_volumes_of_plugins import inspect, meta, names, state
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
LABELS = {"team": "web"}
DOCKER_WAITS = 15.0  # seconds for a plugin that is not there, each time it is asked for
MOMENT = 0.1  # seconds; twice what a list waits for news, and an eighth of what it once did


@pytest.fixture
def made(host, plugin):
    """A daemon with one volume of its own and one of the plugin."""
    host.create("own")
    host.create("db", Driver="fake", Labels=LABELS, DriverOpts={"size": "big"})
    return host


def call(socket, method, **body):
    """One call of the plugin protocol to volfs, which must be answered well."""
    connection = UnixConnection(socket)
    connection.request("POST", f"/VolumeDriver.{method}", json.dumps(body))
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, said
    return said


def listed(host):
    answer = host.request("GET", "/volumes")[1]
    return sorted(one["Name"] for one in answer["Volumes"]), answer["Warnings"]


def took(deed):
    began = time.monotonic()
    deed()
    return time.monotonic() - began


def test_a_list_comes_with_a_warning_while_a_plugin_hangs(made, plugin):
    plugin.behave(List="hang")
    assert listed(made)[0] == ["db", "own"]
    until(lambda: listed(made) == (["db", "own"], ["list fake: it has not answered yet"]))
    plugin.behave()
    until(lambda: listed(made) == (["db", "own"], None))


def test_the_first_list_while_a_plugin_hangs_is_as_quick_as_the_next_and_as_one_before(serve, plugin_path, plugin):
    """The plugin gets a moment, not more: it is the median of some rounds, each with a plugin that hangs anew."""
    socket = plugin_path.parent / "volfs.sock"
    host = serve("--plugin-path", str(plugin_path), "--plugin-socket", str(socket))
    host.create("db", Driver="fake", Labels=LABELS)
    asked = {
        "list": lambda: listed(host),
        "plugin list": lambda: call(socket, "List"),
        "plugin get": lambda: call(socket, "Get", Name="db"),
        "ls": lambda: os.listdir(host.view),
        "meta": lambda: meta(host, "db"),
    }
    times = {}
    for _ in range(7):
        for how in ("well", "hang", "still"):
            plugin.behave(**({} if how == "well" else {"List": "hang", "Get": "hang"}))
            if how == "well":
                until(lambda: listed(host)[1] is None)
            for what, ask in asked.items():
                times.setdefault((how, what), []).append(took(ask))
    median = {one: sorted(several)[3] for one, several in times.items()}
    for what in asked:
        assert median["hang", what] < 10 * median["well", what] + MOMENT, what
        assert median["still", what] < 10 * median["well", what] + MOMENT, what
    plugin.behave()


@pytest.mark.parametrize("how", ["err: backend down", "status", "garbage", "close"])
def test_a_plugin_that_answers_wrong_once_loses_no_label(made, plugin, how):
    plugin.behave(Get=how, List=how)
    until(lambda: listed(made)[1])
    found, [warning] = listed(made)
    assert (found, warning.startswith("list fake: ")) == (["db", "own"], True)
    assert (state(made, "db"), inspect(made, "db")["Labels"]) == ("unknown", LABELS)
    assert (meta(made, "db")["Status"]["State"], meta(made, "db")["Labels"]) == ("unknown", LABELS)
    made.kill_daemon()
    assert inspect(made, "db")["Labels"] == LABELS
    plugin.behave()
    until(lambda: meta(made, "db")["Status"]["State"] == "ok")
    assert listed(made) == (["db", "own"], None)


@pytest.mark.parametrize("how", ["null", "forget"])
def test_a_plugin_that_denies_a_volume_once_loses_no_label(made, plugin, how):
    plugin.behave(Get=how, List="forget")
    assert (state(made, "db"), inspect(made, "db")["Labels"]) == ("missing", LABELS)
    plugin.behave()
    assert state(made, "db") == "ok"
    assert meta(made, "db")["Labels"] == LABELS


def test_a_start_waits_for_no_plugin_and_restores_the_volumes_of_an_absent_one(made, plugin):
    for number in range(6):
        made.create(f"more{number}", Driver="fake", Labels=LABELS)
    plugin.stop()
    assert made.stop() == 0
    began = time.monotonic()
    made.start()
    assert names(made) == ["db", *(f"more{number}" for number in range(6)), "own"]
    assert time.monotonic() - began < DOCKER_WAITS, "Docker waits as long for each of them"
    until(lambda: state(made, "db") == "unknown")
    assert inspect(made, "more5")["Labels"] == LABELS
    assert sorted(os.listdir(made.view)) == names(made)
    plugin.start()
    until(lambda: {meta(made, name)["Status"]["State"] for name in names(made)} == {"ok"})


def test_a_start_waits_for_no_plugin_that_hangs(made, plugin):
    plugin.behave(Activate="hang", List="hang", Get="hang")
    assert made.stop() == 0
    made.start()
    assert meta(made, "db")["Labels"] == LABELS
    assert names(made) == ["db", "own"]
    plugin.behave()


def test_labels_are_there_and_filtered_by_before_and_after_the_plugin_returns(made, plugin):
    plugin.stop()
    made.kill_daemon()
    made.ready(2)
    filters = '/volumes?filters={"label":["team=web"]}'
    for _ in range(2):
        assert [one["Name"] for one in made.request("GET", filters)[1]["Volumes"]] == ["db"]
        if plugin.process.poll() is not None:
            plugin.start()
    again = made.create("db", Driver="fake")
    assert (again["Labels"], again["Scope"], again["Options"]) == (LABELS, "local", {"size": "big"})


def test_the_name_of_a_volume_whose_plugin_is_gone_is_not_given_to_another(made, plugin):
    plugin.stop()
    for driver in ("local", "other"):
        status, answer = made.request("POST", "/volumes/create", {"Name": "db", "Driver": driver})
        assert (status, "driver 'fake' already has volume 'db'" in answer["message"]) == (409, True)
    assert made.create("db")["Driver"] == "fake"


def test_a_volume_of_an_absent_plugin_is_only_forgotten_with_force(made, plugin):
    plugin.stop()
    status, answer = made.request("DELETE", "/volumes/db")
    assert (status, "force" in answer["message"], "fake" in answer["message"]) == (503, True, True)
    assert "db" in names(made)
    assert made.request("DELETE", "/volumes/db?force=1") == (204, "")
    assert names(made) == ["own"]
    assert sorted(os.listdir(made.view)) == ["own"]


def test_a_removal_that_the_plugin_refuses_keeps_the_volume_and_its_labels(made, plugin):
    plugin.behave(Remove="err: busy")
    assert made.request("DELETE", "/volumes/db") == (500, {"message": "remove db: VolumeDriver.Remove: busy"})
    assert inspect(made, "db")["Labels"] == LABELS


def test_a_volume_that_its_plugin_has_lost_can_be_removed(made, plugin):
    plugin.stop()
    (plugin.directory / "state.json").write_text("{}")
    plugin.start()
    assert made.request("DELETE", "/volumes/db") == (204, "")
    assert names(made) == ["own"]


def test_a_mount_that_hangs_keeps_nobody_else_and_no_stop_waiting(made, plugin):
    plugin.behave(Mount="hang", Get="hang")
    with pytest.raises(OSError, match="Input/output error"):
        os.stat(made.view / "db" / "_data")
    (made.view / "own" / "_data" / "file").write_text("x")
    assert meta(made, "own")["Status"]["State"] == "ok"
    made.create("more")
    assert made.request("DELETE", "/volumes/more") == (204, "")
    assert made.stop() == 0
    assert made.mounts() == []
    plugin.behave()


def test_what_is_bound_stays_in_use_while_the_plugin_is_away(made, plugin):
    with open(made.view / "db" / "_data" / "file", "w") as file:
        plugin.stop()
        until(lambda: state(made, "db") == "unknown")
        file.write("said")
    assert (made.view / "db" / "_data" / "file").read_text() == "said"
    assert (plugin.data("db") / "file").read_text() == "said"
    plugin.start()
    until(lambda: state(made, "db") == "ok")
    assert made.request("DELETE", "/volumes/db")[0] == 204
    assert plugin.users("db") == [] if "db" in plugin.volumes else True


def test_one_trouble_is_one_line_in_the_log(made, plugin):
    plugin.stop()
    for _ in range(4):
        listed(made)
    assert made.log().count("a plugin is in trouble") == 1
    plugin.start()
    until(lambda: "a plugin answers again" in made.log())


def test_a_plugin_for_something_else_is_left_alone(host, start_plugin, plugin_path):
    other = start_plugin("other")
    other.behave(Activate="null")
    assert listed(host) == ([], None)
    status, answer = host.request("POST", "/volumes/create", {"Name": "db", "Driver": "other"})
    assert (status, answer["message"]) == (404, 'create db: plugin "other" does not implement "VolumeDriver"')
    assert other.calls("List") == []
    other.stop()
    assert listed(host) == ([], None), "a dead socket of somebody else is nobody's trouble"


def test_a_plugin_that_lists_nonsense_is_no_harm(host, plugin):
    plugin.stop()
    volumes = {"": {}, "x" * 5000: {}, "ok": {}, "nul\0": {}}
    full = {name: {"opts": {}, "users": [], "created": "never"} for name in volumes}
    (plugin.directory / "state.json").write_text(json.dumps(full))
    plugin.start()
    until(lambda: names(host) == ["ok"])
    assert os.listdir(host.view) == ["ok"]


@pytest.mark.parametrize("damage", ["gone", "junk"])
def test_a_lost_catalogue_costs_the_volumes_of_plugins_nothing(made, plugin, damage):
    plugin.stop()
    made.create("own2", Labels=LABELS)
    assert made.stop() == 0
    catalogue = made.root / "volumes" / "metadata.mdb"
    catalogue.unlink() if damage == "gone" else catalogue.write_bytes(b"junk" * 5000)
    made.start()
    assert names(made) == ["db", "own", "own2"]
    assert (inspect(made, "db")["Labels"], inspect(made, "db")["Options"]) == (LABELS, {"size": "big"})
    plugin.start()
    until(lambda: state(made, "db") == "ok")
    assert made.request("DELETE", "/volumes/db")[0] == 204
    assert made.stop() == 0
    made.start()
    assert names(made) == ["own", "own2"]


def test_check_says_which_volumes_hang_with_their_plugin(made, plugin, plugin_path):
    plugin.behave(List="hang")
    words = [sys.executable, "-m", "volfs", "check", "--root", made.root, "--plugin-path", plugin_path]
    command = [*map(str, words), "--format", "json"]
    [found] = json.loads(subprocess.run(command, capture_output=True, timeout=120).stdout)
    assert (found["Code"], found["Volume"]) == ("volume-hangs", "db")
    assert "its plugin fake does not answer" in found["Meaning"]
    plugin.behave()
    assert subprocess.run(command, capture_output=True, timeout=120).stdout == b"[]\n"
