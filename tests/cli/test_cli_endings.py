"""Every way in which a command can end other than well: one line, the right code, never a traceback."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest

from tests.cli.fake_api import environment, one
from volfs.cli import client


def ends_with_a_line(done, code):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_without_a_daemon_the_line_names_the_socket_and_the_command(volfs, tmp_path):
    missing = str(tmp_path / "none.sock")
    line = ends_with_a_line(volfs("ls", "--host", missing), 125)
    assert missing in line and "volfs serve" in line


def test_a_socket_that_nobody_listens_on_is_no_daemon(volfs, tmp_path):
    dead = str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(dead)
    assert "no daemon" in ends_with_a_line(volfs("ls", "--host", dead), 125)


@pytest.mark.parametrize("kind", ["file", "directory", "long"])
def test_what_is_not_a_socket_is_said_in_a_line(volfs, tmp_path, kind):
    path = tmp_path / ("x" * 120 if kind == "long" else "thing")
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        path.write_text("")
    assert str(path) in ends_with_a_line(volfs("ls", "--host", str(path)), 125)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_socket_of_somebody_else_is_said_to_be_so(api, tmp_path):
    assert stat.S_ISSOCK(os.stat(api.socket).st_mode)
    os.chmod(api.socket, 0o600)
    code = (
        "import os, sys; os.setgroups([]); os.setgid(65534)\n"
        "from volfs.__main__ import main; from volfs.cli import app, client, answers\n"
        "os.setuid(65534); sys.argv[1:] = ['ls']; sys.exit(main())"
    )
    fd = os.open(tmp_path, os.O_PATH)  # the directories above are root's; the socket is reached through a descriptor
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            pass_fds=[fd],
            env=environment(VOLFS_HOST=f"/proc/self/fd/{fd}/volfs.sock"),
        )
    finally:
        os.close(fd)
    assert "not allowed" in ends_with_a_line(done, 125)


@pytest.mark.parametrize(
    "garbage", [b"{", b"[]", b"7", b"\xff", b'{"Volumes":5}', b'{"Volumes":[7]}', b'{"Volumes":[{}]}', b"[" * 100_000]
)
def test_garbage_from_the_socket_is_a_line(api, volfs, garbage):
    api.answers["GET", "/volumes"] = 200, garbage
    ends_with_a_line(volfs("ls"), 125)


@pytest.mark.parametrize("garbage", [b"<html>", b"[]", b'{"message":7}', b""])
def test_an_error_without_a_message_still_has_a_line(api, volfs, garbage):
    api.answers["GET", "/volumes"] = 500, garbage
    ends_with_a_line(volfs("ls"), 125)


def test_an_answer_that_is_cut_off_anywhere_is_asked_for_again(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "PAUSE", 0)
    answer = b"HTTP/1.1 200 \r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n" + b'{"Volumes":[]}'
    path = str(tmp_path / "volfs.sock")

    def serve(listening):
        for cut in range(len(answer)):
            for text in (answer[:cut], answer):
                with listening.accept()[0] as connection:
                    connection.recv(4096)
                    connection.sendall(text)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        server = threading.Thread(target=serve, args=(listening,))
        server.start()
        answers = [client.Client(path).request("GET", "/volumes") for _ in answer]
        server.join()
    assert answers == [{"Volumes": []}] * len(answer)


def test_something_that_does_not_speak_http_is_a_line(volfs, tmp_path):
    path = str(tmp_path / "ssh.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        command = [sys.executable, "-m", "volfs", "ls"]
        asking = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(VOLFS_HOST=path))
        with listening.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.shutdown(socket.SHUT_WR)
            _, errors = asking.communicate(timeout=30)
    assert asking.returncode == 125
    assert "does not speak" in errors and "Traceback" not in errors


def test_a_daemon_that_is_replaced_in_the_middle_of_a_read_is_asked_again(api, volfs):
    api.drop = 2
    api.answers["GET", "/volumes"] = 200, {"Volumes": [one("still")]}
    assert volfs("ls", "-q").stdout == "still\n"


def test_a_change_is_never_sent_twice(api, volfs):
    api.drop = 1
    api.answers["DELETE", "/volumes/x1"] = 204, b""
    assert "ended before it answered" in ends_with_a_line(volfs("rm", "x1"), 125)
    assert api.asked == []


@pytest.mark.parametrize(
    "words",
    [
        ["create", "x", "-o", "type"],
        ["create", "x", "-o", "=tmpfs"],
        ["create", "x", "-l", "=v"],
        ["create", "x", "y"],
        ["ls", "-f", "dangling"],
        ["ls", "--format", "xml"],
        ["ls", "--host", "tcp://1.2.3.4:5"],
        ["ls", "--host", ""],
        ["inspect"],
        ["rm"],
        ["frobnicate"],
        [],
    ],
)
def test_wrong_usage_exits_with_125_and_asks_nothing(api, volfs, words):
    done = volfs(*words)
    assert (done.returncode, done.stdout, api.asked) == (125, "", [])
    assert done.stderr and "Traceback" not in done.stderr


def test_host_is_taken_before_and_after_the_command_and_from_the_environment(api, volfs):
    api.answers["GET", "/volumes"] = 200, {"Volumes": []}
    url = "unix://" + api.socket
    assert volfs("--host", url, "ls", VOLFS_HOST="/nowhere").returncode == 0
    assert volfs("ls", "--host", api.socket, VOLFS_HOST="tcp://nowhere").returncode == 0
    assert volfs("--host", "/nowhere", "ls", "--host", url).returncode == 0
    assert volfs("ls", VOLFS_HOST=url).returncode == 0
    assert len(api.asked) == 4


def test_help_and_version_go_to_standard_output(volfs):
    version = volfs("--version")
    assert (version.returncode, version.stdout) == (0, "volfs 0.1.0\n")
    for words in (["--help"], ["ls", "-h"], ["serve", "--help"]):
        done = volfs(*words)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("Usage: volfs")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_ends_the_command_quietly(api, unbuffered):
    api.answers["GET", "/volumes"] = 200, {"Volumes": [one(f"v{number:06}") for number in range(5000)]}
    shell = f"{sys.executable} -m volfs ls | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(VOLFS_HOST=api.socket, PYTHONUNBUFFERED=unbuffered),
    )
    assert done.stdout.splitlines()[0].startswith("NAME")
    assert (done.stdout.splitlines()[1], done.stderr) == ("141", "")


def test_a_closed_standard_output_is_no_traceback(api):
    api.answers["GET", "/volumes"] = 200, {"Volumes": [one("x1")]}
    shell = f"{sys.executable} -m volfs ls >&-"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=environment(VOLFS_HOST=api.socket))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_under_the_output_is_a_line(api):
    api.answers["GET", "/volumes"] = 200, {"Volumes": [one("x1")]}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "volfs", "ls"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment(VOLFS_HOST=api.socket)
        )
    assert "No space left" in ends_with_a_line(done, 125)


def test_a_lost_standard_error_is_no_reason_to_crash():
    shell = f"{sys.executable} -m volfs ls --nonsense 2>&1 >/dev/null | :; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", "trap '' PIPE; " + shell], capture_output=True, text=True, env=environment())
    assert done.stdout.strip() in {"125", "141"} and done.stderr == ""


def test_ctrl_c_exits_with_130(tmp_path):
    path = str(tmp_path / "slow.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        command = [sys.executable, "-m", "volfs", "ls"]
        asking = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(VOLFS_HOST=path))
        with listening.accept()[0] as connection:
            connection.recv(4096)
            asking.send_signal(signal.SIGINT)
            _, errors = asking.communicate(timeout=30)
    assert (asking.returncode, errors.strip()) == (130, "")


def imported(*words, env):
    command = [sys.executable, "-X", "importtime", "-m", "volfs", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("words", [["ls"], ["serve", "--help"]])
def test_nothing_heavy_is_imported(api, words):
    api.answers["GET", "/volumes"] = 200, {"Volumes": [one("x1")]}
    modules = imported(*words, env=environment(VOLFS_HOST=api.socket))
    assert "click" in modules
    heavy = {"rich", "msgspec", "trio", "httpx", "lmdb", "pyfuse3", "httptools", "re2", "volfs.keeper"}
    assert not heavy & modules
