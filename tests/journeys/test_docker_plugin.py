"""A real dockerd with volfs as its volume plugin: a volume is mounted exactly while a container uses it.

The volumes have a tmpfs as their mount options wherever being mounted is the question: it shows in the mount table.
"""

import json
import os
import signal
import subprocess
import time

import pytest

from tests.journeys.docker_daemon import IMAGE
from volfs.mount import syscalls
from volfs.mount.mountinfo import at
from volfs.mount.syscalls import read_mountinfo

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
TMPFS = ("-o", "type=tmpfs", "-o", "device=tmpfs")
SLEEP = (IMAGE, "/bin/sleep", "600")


@pytest.fixture
def plugin(serve, docker):
    """A daemon that dockerd finds as a volume plugin; `driver` is its name. No container is left afterwards."""
    name = f"volfs-test-{os.getpid()}"
    served = serve("--plugin-socket", f"/run/docker/plugins/{name}.sock")
    served.driver = name
    yield served
    containers = docker("ps", "-aq").split()
    if containers:
        docker("rm", "-f", "-v", *containers)
    volumes = docker("volume", "ls", "-q", "--filter", f"driver={name}").split()
    if volumes:
        docker("volume", "rm", *volumes)


def data(plugin, name):
    return plugin.root / "volumes" / name / "_data"


def mounted(plugin, name):
    return at(read_mountinfo(), str(data(plugin, name))) is not None


def users(plugin, name):
    return plugin.request("GET", f"/volumes/{name}")[1]["UsedBy"]


def unused(plugin, name):
    return (mounted(plugin, name), users(plugin, name)) == (False, [])


def mount_line(table, place="/data"):
    """The line of a container's mount table that is about `place`, as words."""
    [line] = [line.split() for line in table.splitlines() if line.split()[4] == place]
    return line


def run_asleep(docker, plugin, container, volume, *options):
    words = ("--name", container, "-v", f"{volume}:/data", "--volume-driver", plugin.driver, *options)
    docker.run("-d", "--stop-timeout", "1", *words, *SLEEP)


def test_mount_options_reach_the_container_and_the_mount_ends_with_it(plugin, docker):
    docker("volume", "create", "-d", plugin.driver, *TMPFS, "-o", "o=size=10m,ro,noexec", "plugged")
    table = docker.run("--rm", "-v", "plugged:/data", IMAGE, "/bin/cat", "/proc/self/mountinfo")
    words = mount_line(table)
    assert words[-3] == "tmpfs"
    assert {"ro", "size=10240k"} <= set(words[-1].split(","))
    assert unused(plugin, "plugged")


def test_two_containers_share_a_volume_that_is_mounted_until_the_last_one_ends(plugin, docker):
    docker("volume", "create", "-d", plugin.driver, *TMPFS, "shared")
    run_asleep(docker, plugin, "one", "shared")
    run_asleep(docker, plugin, "two", "shared")
    docker("exec", "one", "/bin/sh", "-c", "echo said > /data/file")
    plugin.kill_daemon()
    assert docker("exec", "two", "/bin/cat", "/data/file") == "said"
    assert (plugin.view / "shared" / "_data" / "file").read_text() == "said\n"
    assert len([one for one in users(plugin, "shared") if one["Kind"] == "plugin"]) == 2
    docker("rm", "-f", "one")
    assert mounted(plugin, "shared")
    refused = subprocess.run(["docker", "-H", docker.host, "volume", "rm", "shared"], capture_output=True, text=True)
    assert (refused.returncode, "volume is in use" in refused.stderr) == (1, True)
    assert plugin.request("DELETE", "/volumes/shared")[0] == 409
    docker("rm", "-f", "two")
    assert docker("volume", "rm", "shared") == "shared"
    assert os.listdir(plugin.view) == []


def test_a_file_system_in_a_file_is_a_volume_with_its_options(plugin, docker, tmp_path):
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    loop = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
    try:
        options = ("-o", "type=ext4", "-o", f"device={loop}")
        docker("volume", "create", "-d", plugin.driver, *options, "-o", "o=noatime,errors=remount-ro", "disk")
        docker("volume", "create", "-d", plugin.driver, *options, "-o", "o=ro,noload", "readonly")
        docker.run("--rm", "-v", "disk:/data", IMAGE, "/bin/sh", "-c", "echo kept > /data/file")
        words = mount_line(docker.run("--rm", "-v", "disk:/data", IMAGE, "/bin/cat", "/proc/self/mountinfo"))
        assert words[-3:-1] == ["ext4", loop]
        assert "errors=remount-ro" in words[-1]
        assert "noatime" in words[5]
        assert docker.run("--rm", "-v", "readonly:/data", IMAGE, "/bin/cat", "/data/file") == "kept"
        words = ("run", "--rm", "--network", "none", "-v", "readonly:/data", IMAGE)
        refused = ["docker", "-H", docker.host, *words, "/bin/sh", "-c", "echo x > /data/other"]
        assert "Read-only file system" in subprocess.run(refused, capture_output=True, text=True).stderr
        assert unused(plugin, "disk")
        assert os.listdir(data(plugin, "disk")) == []
    finally:
        subprocess.run(["umount", "-q", data(plugin, "disk"), data(plugin, "readonly")], check=False)
        subprocess.run(["losetup", "-d", loop], check=True)


def test_named_and_anonymous_volumes_as_compose_makes_them(plugin, docker):
    words = ("-v", "project_db:/a", "-v", "/b", "--volume-driver", plugin.driver)
    docker.run("-d", "--name", "web", *words, *SLEEP)
    docker("exec", "web", "/bin/sh", "-c", "echo a > /a/file; echo b > /b/file")
    named, anonymous = sorted(os.listdir(plugin.view), key=len)
    assert (named, len(anonymous)) == ("project_db", 64)
    assert (data(plugin, anonymous) / "file").read_text() == "b\n"
    docker("rm", "-f", "-v", "web")
    assert os.listdir(plugin.view) == ["project_db"], "an anonymous volume goes with its container"
    docker.run("--rm", *words, IMAGE, "/bin/cat", "/a/file")
    assert os.listdir(plugin.view) == ["project_db"]


def test_a_prune_of_volfs_takes_what_no_container_has_and_one_of_docker_is_about_its_own_driver(plugin, docker):
    run_asleep(docker, plugin, "one", "used")
    docker("volume", "create", "-d", plugin.driver, "free")
    docker("volume", "prune", "-f")
    assert sorted(os.listdir(plugin.view)) == ["free", "used"]
    answer = plugin.request("POST", "/v1.41/volumes/prune")
    assert answer == (200, {"VolumesDeleted": ["free"], "SpaceReclaimed": 0})
    assert docker("volume", "ls", "-q", "--filter", f"driver={plugin.driver}") == "used"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_containers_that_outlive_dockerd_keep_their_volume(plugin, docker, end):
    docker("volume", "create", "-d", plugin.driver, *TMPFS, "kept")
    docker.restart(**{"live-restore": True})
    run_asleep(docker, plugin, "one", "kept")
    docker("exec", "one", "/bin/sh", "-c", "echo said > /data/file")
    [user] = users(plugin, "kept")
    docker.restart(end, **{"live-restore": True})
    assert users(plugin, "kept") == [user]
    assert docker("exec", "one", "/bin/cat", "/data/file") == "said"
    docker("rm", "-f", "one")
    assert unused(plugin, "kept")


def test_containers_that_end_with_dockerd_leave_their_volume_until_they_are_started_again(plugin, docker):
    docker("volume", "create", "-d", plugin.driver, *TMPFS, "kept")
    docker.restart()
    run_asleep(docker, plugin, "one", "kept")
    assert mounted(plugin, "kept")
    docker.restart()
    assert docker("inspect", "-f", "{{.State.Running}}", "one") == "false"
    assert unused(plugin, "kept")
    docker("start", "one")
    assert (mounted(plugin, "kept"), len(users(plugin, "kept"))) == (True, 1)
    docker("rm", "-f", "one")
    assert unused(plugin, "kept")


def test_containers_of_a_dockerd_that_was_killed_are_one_user_still(plugin, docker):
    docker("volume", "create", "-d", plugin.driver, *TMPFS, "kept")
    docker.restart()
    run_asleep(docker, plugin, "one", "kept")
    [user] = users(plugin, "kept")
    docker.restart(signal.SIGKILL)  # it ends the container, and gives the volume back only with the next stop
    assert docker("inspect", "-f", "{{.State.Running}}", "one") == "false"
    docker("start", "one")
    assert (mounted(plugin, "kept"), users(plugin, "kept")) == (True, [user])
    docker("stop", "one")
    assert unused(plugin, "kept")


def test_a_run_that_a_kill_of_the_daemon_meets_works_or_says_why_and_works_again(plugin, docker, eventually):
    docker("volume", "create", "-d", plugin.driver, *TMPFS, "kept")
    command = ["docker", "-H", docker.host, "run", "--rm", "--network", "none", "-v", "kept:/data", IMAGE]
    command += ["/bin/sh", "-c", "echo x > /data/file; cat /data/file"]
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.monotonic() - began
    for moment in range(10):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            time.sleep(whole * moment / 10)  # the kill meets every part of a run
            plugin.kill_daemon()
            said, complaint = running.communicate(timeout=60)
        assert (running.returncode, said) == (0, "x\n") or "volume" in complaint, complaint
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "x\n"
    eventually(lambda: unused(plugin, "kept"), 240)  # an Unmount that a kill swallowed is found out


def test_a_compose_like_project_comes_back_after_everything_was_stopped(plugin, docker):
    run_asleep(docker, plugin, "web", "project_db")
    docker("exec", "web", "/bin/sh", "-c", "echo kept > /data/file")
    docker("stop", "web")
    assert plugin.stop() == 0
    plugin.start()
    docker.restart()
    docker("start", "web")
    assert docker("exec", "web", "/bin/cat", "/data/file") == "kept"
    [found] = json.loads(docker("volume", "inspect", "project_db"))
    assert (found["Driver"], found["Status"]) == (plugin.driver, {"State": "ok"})
