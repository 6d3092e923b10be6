"""The story that volfs began with: the containers of a Docker host are moved to another place, and started there.

dockerd makes containers that write into volumes of every kind, and stops. Its data root is copied elsewhere, and there
is no dockerd any more: volfs serves the copy, sets the containers' mounts up, and runc runs them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.journeys.docker_daemon import IMAGE, Docker
from tests.plugins.conftest import TestPlugin
from volfs.cli.serve import serve as serve_command
from volfs.mount import syscalls
from volfs.mount.syscalls import is_mount_root

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
ADOPT = ["--adopt"] if any("--adopt" in option.opts for option in serve_command.params) else []
PLUGINS = Path("/run/docker/plugins")
WRITE = """
echo kept > /var/lib/data/file && echo anonymous > /anonymous/file && echo gone > /quick/file && cat /config/app.conf
"""
LOOK = """
cat /var/lib/data/file /anonymous/file /config/app.conf /etc/resolv.conf /etc/hostname
ls /quick /scratch; echo new > /quick/file && echo new > /scratch/file && echo new > /var/lib/data/new
echo no > /config/new || echo read only
while read -r _ _ _ _ at rest; do
    case $at in /quick | /scratch) echo $at ${rest##* - };; esac
done < /proc/self/mountinfo
"""


class Host:
    """A Docker host that was: its root, the tree of its image, the ids of its containers, and its plugin."""

    def __init__(self, place):
        self.root, self.tree, self.conf = place / "kept", place / "tree", place / "conf"
        self.name = f"volfs-test-{os.getpid()}"
        PLUGINS.mkdir(parents=True, exist_ok=True)
        self.socket = PLUGINS / f"{self.name}.sock"
        self.plugin, self.docker = None, None

    def live(self, place):
        """Makes containers that write, stops dockerd and keeps its root."""
        self.plugin = TestPlugin(place / "plugin", f"unix:{self.socket}")
        self.conf.mkdir()
        (self.conf / "app.conf").write_text("colour = blue\n")
        (place / "docker").mkdir()
        docker = self.docker = Docker(place / "docker")
        docker.wait()
        docker.make_image()
        docker("volume", "create", "--label", "team=shop", "web-data")
        docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=2m", "quick")
        docker("volume", "create", "-d", self.name, "remote")
        web = ["--name", "web", "--hostname", "shop", "--dns", "10.9.8.7", "--tmpfs", "/scratch:size=1m"]
        web += [
            "-v",
            "web-data:/var/lib/data",
            "-v",
            "/anonymous",
            "-v",
            "quick:/quick",
            "-v",
            f"{self.conf}:/config:ro",
        ]
        assert docker.run(*web, IMAGE, "/bin/sh", "-c", WRITE) == "colour = blue"
        docker.run("--name", "sidecar", "--volumes-from", "web:ro", IMAGE, "/bin/cat", "/var/lib/data/file")
        docker.run("--name", "alone", "-v", "/data", IMAGE, "/bin/sh", "-c", "echo alone > /data/file")
        docker.run("--name", "far", "-v", "remote:/far", IMAGE, "/bin/sh", "-c", "echo far > /far/file")
        self.ids = {name: docker("inspect", "-f", "{{.Id}}", name) for name in ("web", "sidecar", "alone", "far")}
        docker.process.terminate()
        docker.process.wait(60)
        shutil.copytree(place / "docker" / "image", self.tree, symlinks=True)
        copy(place / "docker" / "data", self.root)

    def end(self):
        """Takes away what is left of it but the kept root."""
        if self.docker is not None:
            self.docker.stop()
        if self.plugin is not None and self.plugin.process.poll() is None:
            self.plugin.stop()
        self.socket.unlink(missing_ok=True)


def copy(root, target, without=""):
    """A Docker data root as `cp -a` copies it, but for one volume."""
    subprocess.run(["cp", "-a", root, target], check=True)
    if without:
        shutil.rmtree(target / "volumes" / without)


@pytest.fixture(scope="module")
def host():
    place = Path(tempfile.mkdtemp(prefix="volfs-moved-"))
    found = Host(place)
    try:
        found.live(place)
        assert not (place / "docker" / "data" / "containers").samefile(found.root / "containers")
        found.docker.stop()
        yield found
    finally:
        found.end()
        shutil.rmtree(place, ignore_errors=True)


class NewHost:
    """Where the root was copied to: volfs with its command, and runc."""

    def __init__(self, served, host, place):
        self.served, self._host, self._place = served, host, place
        self._bundles = []

    def volfs(self, *words):
        """A command of volfs: exit code, output, complaints."""
        command = [sys.executable, "-m", "volfs", "--host", str(self.served.socket), *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        return result.returncode, result.stdout, result.stderr

    def bundle(self, name, script):
        """A bundle with the image's tree that is to run `script`, as `runc spec` makes one."""
        bundle = self._place / name
        shutil.copytree(self._host.tree, bundle / "rootfs", symlinks=True)
        subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
        spec = json.loads((bundle / "config.json").read_text())
        spec["process"] |= {"terminal": False, "args": ["/bin/sh", "-c", script]}
        (bundle / "config.json").write_text(json.dumps(spec))
        return bundle

    def start(self, name, script):
        """Has the mounts of a container written into a bundle and runs it; what it says."""
        bundle = self.bundle(name, script)
        code, said, complaints = self.volfs("container", "mounts", self._host.ids[name][:12], "--bundle", bundle)
        assert (code, complaints) == (0, ""), complaints
        assert f"of container {name}" in said
        return self.run(bundle, name)

    def run(self, bundle, name):
        """Runs a bundle to its end; what it says."""
        self._bundles.append(name)
        command = ["runc", "--root", self._place / "runc", "run", "--bundle", bundle, name]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    def data(self, name):
        return self.served.root / "volumes" / name / "_data"

    def meta(self, name):
        return json.loads((self.served.view / name / "meta").read_text())

    def end(self):
        for name in self._bundles:
            command = ["runc", "--root", self._place / "runc", "delete", "--force", name]
            subprocess.run(command, capture_output=True)


@pytest.fixture
def move(serve, host, tmp_path):
    """Copies the root, without one volume where it is named, and serves the copy."""
    moved = []

    def to(*arguments, without=""):
        place = tmp_path / "new"
        place.mkdir()
        copy(host.root, place / "root", without if ADOPT else "")
        served = serve(*ADOPT, *arguments, directory=place)
        if without and not ADOPT:  # it has to be known before it can be missing
            served.stop()
            shutil.rmtree(served.root / "volumes" / without)
            served.start()
        moved.append(NewHost(served, host, tmp_path))
        return moved[-1]

    yield to
    for one in moved:
        one.end()


def test_the_containers_of_a_moved_host_start_with_their_data(move, host):
    new = move()
    said = new.start("web", LOOK)
    assert said == [
        "kept",
        "anonymous",
        "colour = blue",
        "nameserver 10.9.8.7",
        "shop",
        "/quick:",
        "",
        "/scratch:",
        "read only",
        "/quick tmpfs tmpfs rw,size=2048k",
        "/scratch tmpfs tmpfs rw,size=1024k",
    ]
    assert (new.data("web-data") / "new").read_text() == "new\n"
    assert is_mount_root(str(new.data("quick")))
    assert not (host.conf / "new").exists()

    said = new.start("sidecar", "cat /var/lib/data/new /quick/file; echo no > /var/lib/data/new || echo read only")
    assert said == ["new", "new", "read only"]
    used_by = {one["Id"] for one in new.meta("web-data")["UsedBy"]}
    assert used_by == {host.ids["web"], host.ids["sidecar"]}
    assert new.volfs("rm", "web-data")[0] == 2, "it is in use"
    if ADOPT:
        assert new.meta("web-data")["Labels"] == {"team": "shop"}

    for name in ("web", "sidecar"):
        code, released, _ = new.volfs("container", "release", host.ids[name])
        assert (code, {"web-data", "quick"} <= set(released.split())) == (0, True)
    assert not is_mount_root(str(new.data("quick")))


def test_a_daemon_that_dies_between_the_mounts_and_the_start_is_not_missed(move, host):
    new = move()
    bundle = new.bundle("web", "cat /var/lib/data/file; ls /quick")
    assert new.volfs("container", "mounts", host.ids["web"], "--bundle", bundle)[0] == 0
    new.served.kill_daemon()
    assert new.run(bundle, "web") == ["kept"]
    new.served.ready(2)
    assert {one["Id"] for one in new.meta("quick")["UsedBy"]} >= {host.ids["web"]}
    assert new.volfs("container", "release", host.ids["web"])[0] == 0


def test_a_volume_that_was_left_behind_is_told_and_healed_by_bringing_it(move, host):
    new = move(without="web-data")
    bundle = new.bundle("web", "cat /var/lib/data/file")
    before = (bundle / "config.json").read_text()
    code, said, complaint = new.volfs("container", "mounts", host.ids["web"], "--bundle", bundle)
    assert (code, said) == (125, "")
    directory = new.data("web-data").parent
    assert complaint.startswith(
        f"volfs: volume web-data of container web (at /var/lib/data) is missing: put its directory {directory} back"
    )
    assert (bundle / "config.json").read_text() == before
    assert not is_mount_root(str(new.data("quick"))), "nothing is left mounted"
    assert new.meta("web-data")["Status"]["State"] == "missing"
    assert new.start("alone", "cat /data/file") == ["alone"], "no other container notices"

    subprocess.run(["cp", "-a", host.root / "volumes" / "web-data", directory], check=True)
    code, _, complaint = new.volfs("container", "mounts", host.ids["web"], "--bundle", bundle)
    assert (code, complaint) == (0, "")
    assert new.meta("web-data")["Status"]["State"] == "ok"
    assert new.run(bundle, "web") == ["kept"]


def test_a_container_with_a_plugins_volume_starts_where_the_plugin_is(move, host):
    new = move("--plugin-path", str(PLUGINS))
    assert host.plugin.users("remote") == []
    assert new.start("far", "cat /far/file") == ["far"]
    assert host.plugin.users("remote") == [host.ids["far"]]
    code, said, _ = new.volfs("container", "release", host.ids["far"])
    assert (code, said, host.plugin.users("remote")) == (0, "remote\n", [])
