"""Plugins that run, can be told to behave badly, and are ended after the test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SERVER = Path(__file__).with_name("server.py")


class TestPlugin:
    """A plugin and its directory. `where` is `unix:PATH` or `tcp:0`; `address` is where it listens then."""

    __test__ = False

    def __init__(self, directory, where, *certificate):
        self.directory, self._where, self._certificate = directory, where, certificate
        directory.mkdir(exist_ok=True)
        self.start()

    def start(self):
        command = [sys.executable, SERVER, self.directory, self._where, *self._certificate]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        assert self.address, "it does not start"

    def stop(self):
        """Ends it; its socket stays, dead, as after a crash."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def behave(self, **methods):
        """`behave(List="hang")`; without arguments it is good again."""
        new = self.directory / "behaviour.new"
        new.write_text(json.dumps(methods))
        new.rename(self.directory / "behaviour")

    @property
    def volumes(self):
        """What it has: name -> opts, users, created."""
        state = self.directory / "state.json"
        return json.loads(state.read_text()) if state.exists() else {}

    def users(self, name):
        return self.volumes[name]["users"]

    def calls(self, *methods):
        """The calls so far, of these methods or of all: (method, body)."""
        calls = self.directory / "calls"
        found = [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
        return [(method, body) for method, body in found if not methods or method in methods]

    def data(self, name):
        return self.directory / "data" / name.encode().hex()


@pytest.fixture
def plugin_path(tmp_path):
    """Where plugins are looked for."""
    path = tmp_path / "plugins"
    path.mkdir()
    return path


@pytest.fixture
def start_plugin(tmp_path, plugin_path):
    """Starts plugins by name, on a socket in the plugin path where nothing else is said."""
    started = []

    def start(name="fake", where=None, *certificate):
        plugin = TestPlugin(tmp_path / f"of-{name}", where or f"unix:{plugin_path}/{name}.sock", *certificate)
        started.append(plugin)
        return plugin

    yield start
    for plugin in started:
        if plugin.process.poll() is None:
            plugin.stop()


@pytest.fixture
def plugin(start_plugin):
    """A plugin called `fake`."""
    return start_plugin()


@pytest.fixture
def host(serve, plugin_path):
    """A daemon that finds the plugins of the test."""
    return serve("--plugin-path", str(plugin_path))
