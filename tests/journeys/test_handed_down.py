"""Sockets that systemd opens and hands down, sd_listen_fds(3): a socket unit is there before volfs, and after it."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, UnixConnection
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")

# What systemd does between fork and exec: the sockets become descriptors 3, 4, ... and the pid is the program's own.
AS_SYSTEMD = """
import os, sys
count = int(sys.argv[1])
os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=sys.argv[2] or str(os.getpid()), LISTEN_FDNAMES="a:b")
os.execv(sys.executable, [sys.executable, "-m", "volfs", *sys.argv[3:]])
"""


class Activated:
    """`volfs serve` with sockets handed down. `listening` are sockets, `pid` the one that they are said to be for."""

    def __init__(self, place, listening, *arguments, pid=""):
        self.place, self.log = place, place / "log"
        command = [sys.executable, "-c", AS_SYSTEMD, str(len(listening)), pid, "serve", *arguments]
        command += [f"--root={place}/root", f"--view={place}/view", f"--run-dir={place}/run"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd="/",
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=range(3, 3 + len(listening)),
                preexec_fn=lambda: _place(listening),
            )

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)


def _place(listening):
    copies = [os.dup2(one.fileno(), 100 + number) for number, one in enumerate(listening)]
    for number, copy in enumerate(copies):
        os.dup2(copy, 3 + number)
        os.close(copy)


def listen(path, kind=socket.SOCK_STREAM):
    path.parent.mkdir(exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(str(path))
    if kind == socket.SOCK_STREAM:
        listener.listen()
    return listener


def answer(path, method="GET", target="/_ping"):
    """The first answer on a socket, which may wait until somebody serves it."""
    connection = UnixConnection(path)
    connection.request(method, target)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


@pytest.fixture
def activate(tmp_path):
    started = []

    def start(listening, *arguments, **options):
        started.append(Activated(tmp_path, listening, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()
        assert "Traceback" not in one.log.read_text()
    syscalls.detach(str(tmp_path / "view"))


def test_who_connected_before_volfs_was_started_is_answered_and_the_sockets_outlive_it(activate, tmp_path):
    api, plugin = tmp_path / "run" / "volfs.sock", tmp_path / "plugins" / "volfs.sock"
    with listen(plugin) as first, listen(api) as second:  # in an order of their own
        early = UnixConnection(api)
        early.request("GET", "/_ping")
        served = activate([first, second], f"--plugin-socket={plugin}")
        assert early.getresponse().read() == b"OK"
        early.close()
        assert "VolumeDriver" in answer(plugin, "POST", "/Plugin.Activate")
        served.process.send_signal(1)
        assert answer(api) == "OK"
        assert served.stop() == 0
        assert api.exists()
        assert plugin.exists()
        waiting = UnixConnection(api)  # accepted by nobody until the next start
        waiting.request("GET", "/_ping")
        again = activate([first, second], f"--plugin-socket={plugin}")
        assert waiting.getresponse().read() == b"OK"
        waiting.close()
        assert again.stop() == 0


def test_a_socket_that_is_not_handed_down_is_opened_and_goes_at_the_end(activate, tmp_path):
    api, plugin = tmp_path / "run" / "volfs.sock", tmp_path / "plugins" / "volfs.sock"
    with listen(plugin) as given:
        served = activate([given], f"--plugin-socket={plugin}")
        assert "VolumeDriver" in answer(plugin, "POST", "/Plugin.Activate")
        assert answer(api) == "OK"
        assert served.stop() == 0
        assert plugin.exists()
        assert not api.exists()


def test_sockets_that_were_meant_for_another_process_are_left_alone(activate, tmp_path, eventually):
    with listen(tmp_path / "elsewhere" / "volfs.sock") as given:
        served = activate([given], "--plugin-socket=none", pid="1")
        eventually(lambda: " ready " in served.log.read_text())
        assert served.stop() == 0


def test_a_socket_that_no_option_names_is_refused_with_one_line(activate, tmp_path):
    with listen(tmp_path / "elsewhere.sock") as given:
        served = activate([given], "--plugin-socket=none")
        assert served.process.wait(30) == 125
    said = served.log.read_text()
    assert said.startswith(
        f"volfs: the service manager handed down a socket at {tmp_path}/elsewhere.sock, which no option"
    )
    assert said.count("\n") == 1
    assert (tmp_path / "elsewhere.sock").exists()


@pytest.mark.parametrize("kind", ["datagram", "file"])
def test_what_is_no_listening_socket_is_refused_with_one_line(activate, tmp_path, kind):
    path = tmp_path / "other"
    with listen(path, socket.SOCK_DGRAM) if kind == "datagram" else path.open("wb") as given:
        served = activate([given], "--plugin-socket=none")
        assert served.process.wait(30) == 125
    said = served.log.read_text()
    assert said.startswith("volfs: the service manager handed down what is no listening Unix socket")
    assert said.count("\n") == 1


def test_systemds_own_program_starts_volfs_with_the_first_connection(tmp_path, eventually):
    program = shutil.which("systemd-socket-activate")
    assert program, "the package systemd brings it: scripts/setup --test"
    api = tmp_path / "run" / "volfs.sock"
    api.parent.mkdir()
    log = tmp_path / "log"
    command = [program, f"--listen={api}", f"--setenv=PYTHONPATH={PROJECT}", sys.executable, "-m", "volfs", "serve"]
    command += ["--plugin-socket=none", f"--root={tmp_path}/root", f"--view={tmp_path}/view", f"--run-dir={api.parent}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        eventually(lambda: "Listening on" in log.read_text())
        assert not (tmp_path / "root").exists()
        assert answer(api) == "OK"
        assert Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[2:4] == [b"volfs", b"serve"]
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
    assert api.exists()
