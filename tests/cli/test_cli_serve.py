"""How `volfs serve` reads its options. The keeper is replaced; what it does has tests of its own."""

import json
import os
import sys
import types

import pytest
from click.testing import CliRunner

from volfs.cli.app import app
from volfs.settings import Settings


@pytest.fixture
def serve(monkeypatch):
    """(words, environment) -> (exit code, Settings the keeper was given, output)."""

    def run(*words, **environment):
        given = []
        keeper = types.ModuleType("volfs.keeper")
        keeper.serve = lambda settings: given.append(settings) or 7
        monkeypatch.setitem(sys.modules, "volfs.keeper", keeper)
        monkeypatch.setattr("volfs.keeper", keeper, raising=False)
        done = CliRunner().invoke(app, ["serve", *words], env=environment, standalone_mode=False)
        return done.return_value, given[0] if given else None, str(done.exception)

    return run


def test_without_options_the_places_of_a_system_are_taken(serve):
    code, settings, _ = serve()
    assert code == 7
    assert settings == Settings(
        root="/var/lib/volfs",
        view="/mnt/volfs",
        run_dir="/run/volfs",
        plugin_sockets=("/run/docker/plugins/volfs.sock",),
        plugin_path=("/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins"),
        mode=0o750,
        gid=os.getegid(),
        data_plane="auto",
        idle=300.0,
        log_format="text",
        max_binds=200,
    )


def test_every_option_reaches_the_keeper(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "--root r --view ./v/../w --run-dir run --plugin-socket a --plugin-socket /b"
    words += " --plugin-path p --group daemon --mode 711"
    _, settings, _ = serve(
        *words.split(),
        "--data-plane",
        "fuse",
        "--idle",
        "1.5h",
        "--log-format",
        "json",
        "--until-unmounted",
        "--max-binds",
        "7",
    )
    here = str(tmp_path)
    assert settings == Settings(
        f"{here}/r",
        f"{here}/w",
        f"{here}/run",
        (f"{here}/a", "/b"),
        0o711,
        1,
        "fuse",
        5400.0,
        "json",
        True,
        (f"{here}/p",),
        max_binds=7,
    )


def test_the_environment_has_a_name_for_every_option(serve):
    _, settings, _ = serve(
        VOLFS_ROOT="/r",
        VOLFS_VIEW="/v",
        VOLFS_RUN_DIR="/n",
        VOLFS_PLUGIN_SOCKET="/a /b",
        VOLFS_PLUGIN_PATH="none",
        VOLFS_GROUP="1234",
        VOLFS_MODE="0o755",
        VOLFS_DATA_PLANE="bind",
        VOLFS_IDLE="250ms",
        VOLFS_MAX_BINDS="9",
        VOLFS_LOG_FORMAT="json",
        VOLFS_UNTIL_UNMOUNTED="1",
    )
    assert settings == Settings(
        "/r", "/v", "/n", ("/a", "/b"), 0o755, 1234, "bind", 0.25, "json", True, (), max_binds=9
    )


def test_none_switches_the_plugin_sockets_off(serve):
    assert serve("--plugin-socket", "none")[1].plugin_sockets == ()
    assert serve("--plugin-socket", "none", "--plugin-socket", "/a")[1] is None


@pytest.mark.parametrize(
    "words",
    [
        ["--mode", "0999"],
        ["--mode", "7"],
        ["--mode", "-750"],
        ["--group", "no-such-group"],
        ["--idle", "0"],
        ["--idle", "-5m"],
        ["--idle", "soon"],
        ["--max-binds", "0"],
        ["--max-binds", "many"],
        ["--idle", "1" + "0" * 400],
        ["--root", ""],
        ["--data-plane", "magic"],
        ["--log-format", "xml"],
        ["extra"],
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(serve, words):
    _, settings, message = serve(*words)
    assert settings is None and message


def test_settings_come_back_from_json_as_they_were():
    settings = Settings("/r\udcff", "/v", "/n", ("/a",), 0o750, 3, "auto", 0.5, "text", False, ("/p",))
    assert Settings.from_json(settings.to_json()) == settings
    with pytest.raises((ValueError, KeyError, TypeError)):
        Settings.from_json("{}")


def test_a_daemon_understands_the_settings_of_an_older_and_of_a_newer_keeper():
    settings = Settings("/r", "/v", "/n", ("/a",), 0o750, 3, "auto", 0.5, "text")
    fields = json.loads(settings.to_json())
    del fields["until_unmounted"]
    assert Settings.from_json(json.dumps(fields)) == settings
    assert Settings.from_json(json.dumps({**fields, "until_unmounted": False, "of_tomorrow": 1})) == settings


def test_adopting_is_off_until_it_is_asked_for(serve):
    assert [serve(*words)[1].adopt for words in ([], ["--adopt"])] == [False, True]
    assert serve(VOLFS_ADOPT="1")[1].adopt


def test_observing_needs_no_other_option(serve):
    _, settings, _ = serve("--observe", "/var/lib/docker/")
    assert (settings.observe, settings.view) == ("/var/lib/docker", "/mnt/docker-volumes")
    assert (settings.root, settings.run_dir) == ("/run/volfs/observed", "/run/volfs")
    assert (settings.plugin_sockets, settings.plugin_path) == ((), ())
    assert settings.read_only
    assert Settings.from_json(settings.to_json()) == settings


def test_the_places_of_an_observer_can_be_given(serve):
    _, settings, _ = serve("--observe", "d", "--view", "/v", "--run-dir", "/run/x", "--writable")
    assert (settings.observe, settings.view, settings.root) == (os.path.abspath("d"), "/v", "/run/x/observed")
    assert not settings.read_only
    assert serve(VOLFS_OBSERVE="/d")[1].observe == "/d"


@pytest.mark.parametrize("words", ["--root r", "--plugin-socket s", "--plugin-path p"])
def test_what_a_daemon_with_volumes_of_its_own_needs_does_not_go_with_observing(serve, words):
    _, settings, why = serve("--observe", "/d", *words.split())
    assert settings is None
    assert why == f"{words.split()[0]} does not go with --observe, which only shows what a Docker has"


def test_the_data_of_a_root_is_always_writable(serve):
    _, settings, why = serve("--writable")
    assert settings is None
    assert "--writable goes with --observe" in why
