"""A real dockerd's root, moved: adopted whole, adopted with a volume left behind, and refused while dockerd runs."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import UnixConnection, until
from tests.journeys.docker_daemon import IMAGE, Docker
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
TMPFS = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m"]


class Stopped:
    """What a dockerd left behind: its root, and what it said of its volumes and containers while it ran."""

    def __init__(self, docker):
        self.docker, self.root = docker, docker.place / "data"
        self.begun = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        docker("volume", "create", "-d", "local", "--label", "team=web", "--label", "<a>=&", "db")
        docker("volume", "create", "-d", "local", *TMPFS, "--label", "temporary", "scratch")
        docker("volume", "create", "-d", "local", "alone")
        write = "echo kept > /data/file; echo kept > /anonymous/file"
        asleep = f"{write}; exec sleep 600"
        volumes = ["-v", "db:/data", "-v", "/anonymous"]
        self.runs = docker.run(
            "-d", "--name", "runs", *volumes, "-v", "scratch:/scratch", IMAGE, "/bin/sh", "-c", asleep
        )
        self.borrows = docker.run("-d", "--name", "borrows", "--volumes-from", "runs:ro", IMAGE, "/bin/sleep", "600")
        self.ended = docker.run("--name", "ended", "-d", "-v", "db:/data", IMAGE, "/bin/sh", "-c", "true")
        docker("wait", "ended")
        self.never = docker("create", "--name", "never", "-v", "later:/later", IMAGE, "/bin/true")
        connection = UnixConnection(docker.place / "docker.sock")
        connection.request("GET", "/volumes")
        self.volumes = {one["Name"]: one for one in json.loads(connection.getresponse().read())["Volumes"]}
        connection.close()
        [self.anonymous] = [name for name in self.volumes if len(name) == 64]

    def stop(self):
        """Ends the dockerd; its containers stay, stopped."""
        self.docker.process.terminate()
        self.docker.process.wait(60)

    def copied(self, place, *left_out):
        """A copy of the root as `place/root`, as cp -a makes it."""
        place.mkdir()
        subprocess.run(["cp", "-a", self.root, place / "root"], check=True)
        for name in left_out:
            shutil.move(place / "root" / "volumes" / name, place / name)
        return place

    def told(self, name):
        """When dockerd said that a volume was made: when its directory got its owner, which is a moment later."""
        return datetime.fromisoformat(self.volumes[name]["CreatedAt"]).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def users(self, name):
        ids = {
            "db": (self.runs, self.borrows, self.ended),
            "scratch": (self.runs, self.borrows),
            self.anonymous: (self.runs, self.borrows),
            "later": (self.never,),
        }
        return sorted(ids.get(name, ()))


@pytest.fixture(scope="module")
def running():
    docker = Docker(Path(tempfile.mkdtemp(prefix="volfs-docker-")))
    try:
        docker.wait()
        docker.make_image()
        yield Stopped(docker)
    finally:
        docker.stop()


@pytest.fixture
def stopped(running):
    if running.docker.process.poll() is None:
        running.stop()
    return running


def volfs(*words):
    command = [sys.executable, "-m", "volfs", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def problems(root):
    done = volfs("check", "--root", root, "--format", "json")
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def digest(root):
    """All of Docker's volumes and containers, names, bytes and times."""
    found = hashlib.sha256()
    for place in ("volumes", "containers"):
        for path in sorted((root / place).rglob("*")):
            status = path.lstat()
            found.update(f"{path} {status.st_mode} {status.st_mtime_ns}".encode())
            if path.is_file() and not path.name.endswith(".log"):
                found.update(path.read_bytes())
    return found.hexdigest()


def test_a_live_dockerds_root_is_checked_and_neither_adopted_nor_served_nor_repaired(running, tmp_path):
    before = digest(running.root)
    pid = running.docker.process.pid
    serve = ["serve", "--root", running.root, "--view", tmp_path / "view", "--run-dir", tmp_path / "run"]
    for words in (["adopt", running.root], serve, [*serve, "--adopt"]):
        done = volfs(*words)
        assert done.returncode == 125
        assert done.stderr.count("\n") == 1
        assert f"dockerd (pid {pid})" in done.stderr
        assert f"`volfs serve --observe {running.root}`" in done.stderr
    assert problems(running.root) == []
    (running.root / "volumes" / "alone").chmod(0o755)
    done = volfs("check", "--root", running.root, "--repair")
    assert done.returncode == 125
    assert "mode-wrong" in done.stdout
    assert f"in use by dockerd (pid {pid})" in done.stderr
    (running.root / "volumes" / "alone").chmod(0o701)
    assert digest(running.root) == before
    assert not (running.root / "volfs.lock").exists()


def test_a_whole_root_is_adopted_with_everything_that_docker_knew(stopped, serve, tmp_path):
    place = stopped.copied(tmp_path / "whole")
    assert problems(place / "root") == []
    served = serve("--adopt", directory=place)
    found = {one["Name"]: one for one in served.request("GET", "/volumes")[1]["Volumes"]}
    assert sorted(found) == sorted(stopped.volumes) == sorted(os.listdir(served.view))
    for name, told in stopped.volumes.items():
        for key in ("Driver", "Labels", "Options", "Scope"):
            assert found[name][key] == told[key], (name, key)
        assert stopped.begun <= found[name]["CreatedAt"] <= stopped.told(name)
        assert found[name]["Status"]["State"] == "ok"
        assert [one["Id"] for one in found[name]["UsedBy"]] == stopped.users(name)
        assert {one["Kind"] for one in found[name]["UsedBy"]} <= {"container"}
    meta = json.loads((served.view / "db" / "meta").read_text())
    assert meta["Labels"] == {"<a>": "&", "team": "web"}
    assert (served.view / "db" / "_data" / "file").read_text() == "kept\n"
    assert (served.view / stopped.anonymous / "_data" / "file").read_text() == "kept\n"
    assert served.request("DELETE", "/volumes/db")[0] == 409
    assert served.request("DELETE", "/volumes/alone")[0] == 204
    assert problems(place / "root") == []
    assert served.stop() == 0
    served.start()
    assert "nothing to adopt" in served.log()
    again = {one["Name"]: one for one in served.request("GET", "/volumes")[1]["Volumes"]}
    assert {**again, "alone": found["alone"]} == found


def test_a_volume_that_was_left_behind_is_missing_by_name_and_heals_without_a_restart(stopped, serve, tmp_path):
    place = stopped.copied(tmp_path / "partly", "db")
    root = place / "root"
    [before] = problems(root)
    assert (before["Code"], before["Volume"]) == ("volume-missing", "db")
    served = serve("--adopt", directory=place)
    meta = json.loads((served.view / "db" / "meta").read_text())
    assert meta["Status"]["State"] == "missing"
    assert meta["Labels"] == {"<a>": "&", "team": "web"}
    assert [one["Id"] for one in meta["UsedBy"]] == stopped.users("db")
    assert "volume missing" in served.log()
    [found] = problems(root)
    assert (found["Code"], found["Severity"], found["Volume"]) == ("volume-missing", "error", "db")
    for who, id_ in (("runs", stopped.runs), ("ended", stopped.ended)):
        assert f"{who} ({id_[:12]}) at /data" in found["Meaning"]
    shutil.move(place / "db", root / "volumes" / "db")
    until(lambda: json.loads((served.view / "db" / "meta").read_text())["Status"]["State"] == "ok")
    assert (served.view / "db" / "_data" / "file").read_text() == "kept\n"
    assert json.loads((served.view / "db" / "meta").read_text())["Status"]["State"] == "ok"
    assert stopped.begun <= served.request("GET", "/volumes/db")[1]["CreatedAt"] <= stopped.told("db")
    assert problems(root) == []
    assert json.loads((root / "volumes" / "db" / "meta.json").read_text())["Labels"] == meta["Labels"]


def test_a_dockerd_does_not_start_on_a_root_that_volfs_serves(stopped, serve, tmp_path):
    served = serve("--adopt", directory=stopped.copied(tmp_path / "served"))
    place = tmp_path / "dockerd"
    place.mkdir()
    (place / "none").write_text("{}")
    command = [
        "dockerd",
        "--data-root",
        served.root,
        "--exec-root",
        place / "exec",
        "-H",
        f"unix://{place}/docker.sock",
    ]
    command += ["--pidfile", place / "pid", "--iptables=false", "--bridge=none", "--config-file", place / "none"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "timeout" in done.stderr
    assert served.request("GET", "/volumes/db")[1]["Status"]["State"] == "ok"


def test_dockerd_runs_on_its_root_again_after_it_was_adopted(stopped, tmp_path):
    done = volfs("adopt", stopped.root)
    assert done.returncode == 0, done.stderr
    assert "adopted 5 volumes" in done.stdout
    assert volfs("adopt", stopped.root).stdout.endswith("was adopted already: nothing to do\n")
    again = subprocess.Popen(
        [str(word) for word in stopped.docker.process.args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stopped.docker.process = again
    stopped.docker.wait()
    connection = UnixConnection(stopped.docker.place / "docker.sock")
    connection.request("GET", "/volumes")
    volumes = {one["Name"]: one for one in json.loads(connection.getresponse().read())["Volumes"]}
    connection.close()
    assert {name: one["Labels"] for name, one in volumes.items()} == {
        name: one["Labels"] for name, one in stopped.volumes.items()
    }
