"""Roots of both kinds to be checked, and the command that does it."""

import json
import os
import subprocess
import sys

import pytest

from tests.adopt.conftest import DockerRoot
from volfs.driver.local import LocalDriver
from volfs.driver.record import Description
from volfs.mount.mountinfo import under
from volfs.mount.syscalls import detach, read_mountinfo
from volfs.volume.recovery import recover
from volfs.volume.store import Store

TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}


class Checked:
    """A root and what `volfs check` says of it: exit code, problems, and what went to standard error."""

    def __init__(self, path):
        self.path, self.volumes = path, path / "volumes"

    def run(self, *words):
        command = [sys.executable, "-m", "volfs", "check", "--root", self.path, "--plugin-path", self.path / "none"]
        done = subprocess.run(
            [str(word) for word in (*command, *words)],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def check(self, *words):
        done = self.run("--format", "json", *words)
        assert done.returncode in (0, 1), done.stderr
        found = json.loads(done.stdout)
        assert done.returncode == bool(found)
        return found

    def codes(self):
        """What is wrong: (code, volume) of each problem."""
        return [(one["Code"], one["Volume"]) for one in self.check()]

    def only(self, code):
        """The one problem there is, which must be this."""
        [found] = self.check()
        assert found["Code"] == code, found
        assert found["Meaning"]
        assert found["Remedy"]
        return found

    def repair(self):
        """The steps of a repair, which must leave nothing; a second one has nothing to do."""
        done = self.run("--repair")
        assert (done.returncode, done.stderr) == (0, ""), (done.stdout, done.stderr)
        *steps, last = done.stdout.splitlines()
        assert last == f"nothing is wrong with {self.path}"
        again = self.run("--repair")
        assert (again.returncode, again.stdout) == (0, last + "\n")
        return steps


class VolfsRoot(Checked):
    """A root of volfs' that no daemon runs on."""

    def __init__(self, path):
        super().__init__(path)
        path.mkdir()
        self.driver = LocalDriver(path)
        self.driver.prepare()
        self.restore()

    def create(self, name, **fields):
        self.driver.create(name, Description(1_700_000_000, **fields))
        self.restore()
        return self.volumes / name

    def restore(self):
        store, _ = recover(self.driver, "/nowhere")
        store.close()

    def commit(self, *changes):
        store = Store(self.volumes / "metadata.mdb")
        store.commit(changes)
        store.close()

    def get(self, name):
        store = Store(self.volumes / "metadata.mdb")
        try:
            return store.get(name)
        finally:
            store.close()


@pytest.fixture
def checked(tmp_path):
    """Takes a path, gives its Checked."""
    return Checked


@pytest.fixture
def root(tmp_path):
    """A root of volfs' with one volume in it and nothing wrong."""
    root = VolfsRoot(tmp_path / "root")
    root.create("db", labels={"team": "web"})
    yield root
    for mount in reversed(under(read_mountinfo(), str(tmp_path))):
        detach(mount.mountpoint)


@pytest.fixture
def docker_root(tmp_path):
    """A Docker data root with one volume in it and nothing wrong."""
    root = DockerRoot(tmp_path / "docker")
    root.volume("db", labels={"team": "web"})
    yield root
    for mount in reversed(under(read_mountinfo(), str(tmp_path))):
        detach(mount.mountpoint)


@pytest.fixture
def needs_root():
    if os.geteuid():
        pytest.fail("these tests mount, which takes root")
