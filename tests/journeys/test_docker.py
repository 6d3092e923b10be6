"""A real dockerd beside a real volfs: containers write into volumes of the view while its daemon is killed."""

import json
import os
import subprocess
import time

import pytest

from tests.journeys.docker_daemon import IMAGE
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
WRITE_UNTIL_STOPPED = """
i=0
while [ ! -e /data/stop ]; do echo $i >> /data/log || exit 1; i=$((i + 1)); done
echo $i > /data/count
"""


def data(served, name="xx"):
    return served.root / "volumes" / name / "_data"


def test_a_container_that_writes_all_the_time_loses_nothing_to_three_kills(served, docker, eventually):
    served.create("xx")
    docker.run(
        "-d", "--name", "writer", "-v", f"{served.view}/xx/_data:/data", IMAGE, "/bin/sh", "-c", WRITE_UNTIL_STOPPED
    )
    log = data(served) / "log"
    eventually(log.exists)
    for killed in range(1, 4):
        size = log.stat().st_size
        eventually(lambda size=size: log.stat().st_size > size + 500)
        served.kill_daemon()
        served.ready(killed + 1)
    (data(served) / "stop").touch()
    assert docker("wait", "writer") == "0", docker("logs", "writer")
    written = (data(served) / "log").read_text().split()
    count = int((data(served) / "count").read_text())
    assert written == [str(number) for number in range(count)]
    assert count > 100
    assert (served.view / "xx" / "_data" / "log").read_text().split() == written


def test_a_volume_that_nobody_has_touched_is_bound_for_the_container(served, docker):
    served.create("xx")
    table = docker.run("--rm", "-v", f"{served.view}/xx/_data:/data", IMAGE, "/bin/cat", "/proc/self/mountinfo")
    [line] = [line for line in table.splitlines() if line.split()[4] == "/data"]
    assert line.split()[3].endswith("/xx/_data"), "not the real directory"
    assert " fuse" not in line


def test_a_container_keeps_its_volume_when_volfs_is_stopped(served, docker):
    served.create("xx")
    docker.run("-d", "--name", "keeper", "-v", f"{served.view}/xx/_data:/data", IMAGE, "/bin/sleep", "600")
    assert served.stop() == 0
    assert served.mounts() == []
    docker("exec", "keeper", "/bin/sh", "-c", "echo still > /data/file")
    assert (data(served) / "file").read_text() == "still\n"
    served.start()
    assert docker("exec", "keeper", "/bin/cat", "/data/file") == "still"
    docker("rm", "-f", "keeper")


def test_a_volume_with_options_is_mounted_in_the_container(served, docker):
    served.create("xx", DriverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})
    table = docker.run("--rm", "-v", f"{served.view}/xx/_data:/data", IMAGE, "/bin/cat", "/proc/self/mountinfo")
    [line] = [line for line in table.splitlines() if line.split()[4] == "/data"]
    assert " - tmpfs " in line
    assert "size=1024k" in line


def test_a_container_that_is_given_the_whole_view_sees_every_volume(served, docker):
    served.create("xx", Labels={"a": "1"})
    served.create("yy")
    script = "ls /view; cat /view/xx/meta; echo; echo new > /view/yy/_data/file; cat /view/yy/_data/file"
    docker.run("-d", "--name", "whole", "-v", f"{served.view}:/view", IMAGE, "/bin/sleep", "600")
    for killed in range(2):
        said = docker("exec", "whole", "/bin/sh", "-c", script)
        assert said.splitlines()[:2] == ["xx", "yy"]
        assert '"a": "1"' in said
        assert said.endswith("new")
        assert (data(served, "yy") / "file").read_text() == "new\n"
        served.kill_daemon()
        served.ready(killed + 2)
    docker("rm", "-f", "whole")


def test_dockers_own_client_drives_the_engine_api(served, docker):
    host = f"unix://{served.socket}"
    assert docker("volume", "create", "--label", "a=1", "db", host=host) == "db"
    assert docker("volume", "ls", "-q", "--filter", "label=a", host=host) == "db"
    assert json.loads(docker("volume", "inspect", "db", host=host))[0]["Mountpoint"] == str(data(served, "db"))
    assert sorted(os.listdir(served.view)) == ["db"]
    refused = subprocess.run(["docker", "-H", host, "volume", "rm", "other"], capture_output=True, text=True)
    assert (refused.returncode, "no such volume" in refused.stderr) == (1, True)
    docker("volume", "create", host=host)
    assert docker("volume", "prune", "-f", host=host).startswith("Deleted Volumes:")
    assert docker("volume", "rm", "db", host=host) == "db"
    assert os.listdir(served.view) == []


def test_dockers_own_client_follows_the_events(served, docker):
    host = f"unix://{served.socket}"
    began = f"{time.time():.9f}"  # what others made just before is none of ours
    command = ["docker", "-H", host, "events", "--since", began, "--filter", "event=create", "--format", "{{json .}}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        for name in ("aa", "bb"):
            served.create(name)
            event = json.loads(following.stdout.readline())
            assert (event["Type"], event["Action"], event["Actor"]["ID"]) == ("volume", "create", name)
            assert event["Actor"]["Attributes"] == {"driver": "local"}
            served.request("DELETE", f"/volumes/{name}")
        assert served.stop() == 0, "a listener does not hold the daemon up"
        following.wait(20)
    served.start()
    assert "Server Version:" in docker("info", host=host)


def test_dockers_own_client_shows_how_much_is_in_the_volumes(served, docker):
    served.create("db")
    served.create("elsewhere", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    (data(served, "db") / "file").write_bytes(bytes(2_000_000))
    os.link(data(served, "db") / "file", data(served, "db") / "again")
    said = docker("system", "df", "-v", host=f"unix://{served.socket}")
    [line] = [line.split() for line in said.splitlines() if line.startswith("db ")]
    assert line == ["db", "0", "2MB"]
    assert json.loads(docker("volume", "inspect", "db", host=f"unix://{served.socket}"))[0]["Name"] == "db"
