"""A real Podman with volfs as a volume plugin: every way that it makes, uses and takes away a volume."""

import json
import os
from pathlib import Path

import pytest

from tests.journeys.podman_host import IMAGE
from volfs.mount import syscalls
from volfs.mount.mountinfo import at
from volfs.mount.syscalls import read_mountinfo

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
TMPFS = ("-o", "type=tmpfs", "-o", "device=tmpfs")


@pytest.fixture
def plugin(serve, podman):
    """A daemon on the socket where Podman looks; no container and no volume of Podman's is left afterwards."""
    yield serve("--plugin-socket", str(podman.plugin_socket))
    podman.remove_containers()
    podman("volume", "prune", "-f")


def data(plugin, name):
    return plugin.root / "volumes" / name / "_data"


def mounted(plugin, name):
    return at(read_mountinfo(), str(data(plugin, name))) is not None


def users(plugin, name):
    return plugin.request("GET", f"/volumes/{name}")[1]["UsedBy"]


def names(podman):
    return podman("volume", "ls", "-q", "--filter", "driver=volfs").split()


def run_asleep(podman, container, volume):
    podman.run("-d", "--name", container, "-v", f"{volume}:/data", IMAGE, "sleep", "600")


def test_a_volume_is_made_listed_inspected_and_removed(plugin, podman):
    assert podman("volume", "create", "--driver", "volfs", "--label", "a=1", "plain") == "plain"
    assert names(podman) == os.listdir(plugin.view) == ["plain"]
    [found] = json.loads(podman("volume", "inspect", "plain"))
    assert (found["Driver"], found["Labels"], found["Status"]) == ("volfs", {"a": "1"}, {"State": "ok"})
    assert podman("volume", "rm", "plain") == "plain"
    assert names(podman) == os.listdir(plugin.view) == []


def test_mount_options_reach_the_container_and_the_mount_ends_with_it(plugin, podman):
    podman("volume", "create", "--driver", "volfs", *TMPFS, "-o", "o=size=1m,mode=1770", "scratch")
    told = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=1770"}
    assert plugin.request("GET", "/volumes/scratch")[1]["Options"] == told
    table = podman.run("--rm", "-v", "scratch:/data", IMAGE, "cat", "/proc/self/mountinfo")
    [line] = [line for line in table.splitlines() if line.split()[4] == "/data"]
    assert " - tmpfs " in line
    assert {"size=1024k", "mode=1770"} <= set(line.split()[-1].split(","))
    assert not mounted(plugin, "scratch")
    assert users(plugin, "scratch") == []


def test_the_first_container_to_end_takes_nothing_from_the_second(plugin, podman):
    podman("volume", "create", "--driver", "volfs", *TMPFS, "shared")
    run_asleep(podman, "one", "shared")
    run_asleep(podman, "two", "shared")
    assert len(users(plugin, "shared")) == 1, "Podman counts its containers itself and names one user for all"
    podman("exec", "one", "sh", "-c", "echo said > /data/file")
    podman("rm", "-f", "-t", "0", "one")
    assert podman("exec", "two", "cat", "/data/file") == "said"
    assert mounted(plugin, "shared")
    podman("rm", "-f", "-t", "0", "two")
    assert (mounted(plugin, "shared"), users(plugin, "shared")) == (False, [])


def test_a_volume_in_use_is_refused_by_podman_and_by_volfs(plugin, podman):
    podman("volume", "create", "--driver", "volfs", "busy")
    run_asleep(podman, "one", "busy")
    refused = podman.try_("volume", "rm", "busy")
    assert (refused.returncode, "being used" in refused.stderr) == (2, True)
    status, answer = plugin.request("DELETE", "/volumes/busy")
    assert (status, "volume is in use" in answer["message"]) == (409, True)
    podman("rm", "-f", "-t", "0", "one")
    assert podman("volume", "rm", "busy") == "busy"
    assert plugin.request("GET", "/volumes/busy")[0] == 404


def test_reload_finds_what_volfs_made_and_forgets_what_it_removed(plugin, podman):
    plugin.create("made")
    assert names(podman) == []
    assert podman("volume", "reload").split() == ["Added:", "made"]
    podman.run("--rm", "-v", "made:/data", IMAGE, "sh", "-c", "echo here > /data/file")
    assert (data(plugin, "made") / "file").read_text() == "here\n"
    assert plugin.request("DELETE", "/volumes/made")[0] == 204
    assert podman("volume", "reload").split() == ["Removed:", "made"]
    assert names(podman) == []


def test_a_container_runs_on_while_the_daemon_is_killed_and_the_next_one_knows_it(plugin, podman):
    podman("volume", "create", "--driver", "volfs", *TMPFS, "kept")
    run_asleep(podman, "one", "kept")
    for killed in range(1, 4):
        plugin.kill_daemon()
        podman("exec", "one", "sh", "-c", f"echo {killed} >> /data/file")
        assert podman("volume", "inspect", "kept", "--format", "{{.Name}}") == "kept"
        run_asleep(podman, f"more{killed}", "kept")
        assert podman("exec", f"more{killed}", "cat", "/data/file").split()[-1] == str(killed)
    podman.remove_containers()
    assert (mounted(plugin, "kept"), users(plugin, "kept")) == (False, [])


def test_without_volfs_podman_says_so_and_its_volumes_are_there_again_afterwards(plugin, podman):
    podman("volume", "create", "--driver", "volfs", "kept")
    podman.run("--rm", "-v", "kept:/data", IMAGE, "sh", "-c", "echo x > /data/file")
    assert plugin.stop() == 0
    refused = podman.try_("run", "--rm", "--network", "none", "-v", "kept:/data", IMAGE, "cat", "/data/file")
    assert (refused.returncode != 0, "volfs" in refused.stderr) == (True, True)
    plugin.start()
    assert podman.run("--rm", "-v", "kept:/data", IMAGE, "cat", "/data/file") == "x"
    assert Path(data(plugin, "kept"), "file").exists()
