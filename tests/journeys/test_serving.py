"""What `volfs serve` says: to the service manager, in its log, and when it cannot serve."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket

import pytest

from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
PROJECT = Path(__file__).resolve().parents[2]
OWN_MOUNTS = "mount --make-rprivate / && "
WITHOUT_FUSE = OWN_MOUNTS + ("mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && ")


@pytest.fixture
def alone(tmp_path):
    """Runs `volfs serve` in a mount namespace of its own, after the shell commands in `first`; code and last words."""

    def run(first, *arguments):
        command = [sys.executable, "-m", "volfs", "serve", "--plugin-socket", "none", "--run-dir", tmp_path / "run"]
        command += ["--root", tmp_path / "root", "--view", tmp_path / "view", *arguments]
        shell = ["unshare", "--mount", "sh", "-c", f'{first}exec "$@"', "sh", *map(str, command)]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        result = subprocess.run(shell, cwd="/", env=environment, capture_output=True, text=True, timeout=60)
        return result.returncode, result.stderr

    return run


def test_the_service_manager_is_told_when_it_is_ready_and_when_it_stops(serve, tmp_path):
    address = tmp_path / "notify"
    with socket(AF_UNIX, SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)
        served = serve(environment={"NOTIFY_SOCKET": str(address)})
        said = manager.recv(4096).decode().splitlines()
        assert said[0] == "READY=1"
        assert f"MAINPID={served.keeper.pid}" in said
        served.kill_daemon()
        served.ready(2)
        assert served.stop() == 0
        assert manager.recv(4096) == b"STOPPING=1", "a daemon that is replaced is no new start"


def test_the_service_manager_is_told_why_it_cannot_serve(alone, tmp_path, monkeypatch):
    (tmp_path / "root").touch()
    with socket(AF_UNIX, SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        code, said = alone(OWN_MOUNTS)
        assert code == 125
        assert f"STATUS={said.removeprefix('volfs: ')}" == manager.recv(4096).decode() + "\n"


def test_the_log_has_one_ready_line_with_the_number_of_volumes_and_the_time_it_took(served):
    served.create("db")
    assert served.stop() == 0
    served.start()
    lines = [line for line in served.log().splitlines() if " ready " in line]
    assert len(lines) == 2
    assert re.search(r" info ready volumes=1 .*\bseconds=\d+\.\d+\b", lines[1])


def test_a_log_in_json_is_one_object_a_line(serve, tmp_path):
    place = tmp_path / "json"
    command = [sys.executable, "-m", "volfs", "serve", "--plugin-socket", "none", "--log-format", "json"]
    for option in ("root", "view", "run-dir"):
        command += [f"--{option}", str(place / option)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as keeper:
        ready = json.loads(keeper.stderr.readline())
        keeper.terminate()
        rest = [json.loads(line) for line in keeper.stderr]
    assert (ready["event"], ready["volumes"]) == ("ready", 0)
    assert rest


def test_a_missing_dev_fuse_is_one_line_that_says_what_to_do(alone):
    code, said = alone(WITHOUT_FUSE)
    assert (code, said.count("\n")) == (125, 1), said
    assert "/dev/fuse" in said
    assert "modprobe fuse" in said or "--device /dev/fuse" in said


def test_a_root_that_cannot_be_written_is_one_line(alone, tmp_path):
    (tmp_path / "root").mkdir()
    code, said = alone(OWN_MOUNTS + f"mount -t tmpfs -o ro tmpfs {tmp_path}/root && ")
    assert (code, said.count("\n")) == (125, 1), said
    assert f"the root {tmp_path}/root cannot be used: Read-only file system" in said


def test_a_root_on_a_full_disk_is_one_line_and_what_is_on_it_stays(alone, tmp_path):
    (tmp_path / "root").mkdir()
    root = tmp_path / "root"
    full = f"mount -t tmpfs -o size=64k tmpfs {root} && (cat /dev/zero > {root}/fill; true) 2>/dev/null; "
    code, said = alone(OWN_MOUNTS + full)
    assert code == 125
    assert "No space left on device" in said
    assert "Traceback" not in said


def test_a_disk_that_fills_up_refuses_what_is_new_and_keeps_what_is_there(serve, tmp_path):
    place = tmp_path / "small"
    (place / "root").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place / "root"], check=True)
    try:
        served = serve(directory=place)
        served.create("db")
        with open(place / "root" / "fill", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
        status, answer = served.request("POST", "/volumes/create", {"Name": "more"})
        assert (status, "No space left on device" in answer["message"]) == (500, True)
        assert os.listdir(served.view) == ["db"]
        served.kill_daemon()
        served.ready(2)
        assert served.request("GET", "/volumes/db")[0] == 200
        (place / "root" / "fill").unlink()
        served.create("more")
        assert sorted(os.listdir(served.view)) == ["db", "more"]
        assert served.stop() == 0
    finally:
        syscalls.detach(str(place / "root"))
