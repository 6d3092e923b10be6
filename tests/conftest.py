"""A real `volfs serve` on a root and a view of its own, taken away whatever the test did."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, settings

from volfs.mount.mountinfo import under
from volfs.mount.syscalls import detach, read_mountinfo

# A shell's background job ignores SIGINT, and so would all that tests start in it.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Whoever ends a run that takes too long sends SIGTERM, which would leave every mount and daemon of the test behind.
signal.signal(signal.SIGTERM, signal.default_int_handler)
# How long an example takes says something of the machine, and nothing of the promise.
settings.register_profile("volfs", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("volfs")
PROJECT = Path(__file__).resolve().parent.parent


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits for something to become true; fails when it does not."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.01)


class UnixConnection(HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: Path, timeout: float = 60) -> None:
        super().__init__("volfs", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket(AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Served:
    """A running `volfs serve`. `arguments` are added to the command; everything it says is in `log`.

    `user` runs it as somebody else, with a `python` and a `project` that this user can reach. `patience`: seconds that
    it may take to get ready.
    """

    patience = 20.0

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        user: int | None = None,
        python: Path | str = sys.executable,
        project: Path = PROJECT,
    ) -> None:
        self.root, self.view, self.run_dir = directory / "root", directory / "view", directory / "run"
        self.socket, self._log = self.run_dir / "volfs.sock", directory / "log"
        self._arguments, self._environment = arguments, environment or {}
        self._user, self._python, self._project = user, str(python), str(project)
        self.start()

    def start(self) -> None:
        """Starts the keeper (again) and waits until it is ready."""
        begun = len(self.log())
        self.keeper = self.spawn()
        until(lambda: " ready " in self.log()[begun:] or self.keeper.poll() is not None, self.patience)
        assert self.keeper.poll() is None, self.log()[begun:]

    def spawn(self) -> "subprocess.Popen[bytes]":
        """The keeper's process, which may not get ready at all."""
        command = [self._python, "-m", "volfs", "serve", "--root", str(self.root), "--view", str(self.view)]
        command += ["--run-dir", str(self.run_dir), *self._arguments]
        for option in ("--plugin-socket", "--plugin-path"):
            command += [] if option in self._arguments else [option, "none"]
        with self._log.open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": self._project, **self._environment}
            who = {} if self._user is None else {"user": self._user, "group": self._user, "extra_groups": []}
            return subprocess.Popen(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **who
            )

    def log(self) -> str:
        """What the keeper and its daemons have said so far."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def daemon(self) -> int:
        """The pid of the daemon that runs now."""
        children = Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children")
        until(lambda: children.read_text().split())
        return int(children.read_text().split()[0])

    def kill_daemon(self) -> None:
        """SIGKILL for the daemon; returns when it is gone, which may be before the next one is ready."""
        pid = self.daemon
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists())

    def ready(self, times: int) -> None:
        """Waits until a daemon was ready so many times since the first start."""
        until(lambda: self.log().count(" ready ") >= times, self.patience)

    def request(self, method: str, path: str, body: object = None, timeout: float = 60) -> tuple[int, object]:
        """One request of the Engine API: status and decoded answer."""
        connection = UnixConnection(self.socket, timeout)
        with contextlib.closing(connection):
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content[:1] in b"{[" and content else content.decode()

    def create(self, name: str, **fields: object) -> dict[str, object]:
        """Makes a volume."""
        status, answer = self.request("POST", "/volumes/create", {"Name": name, **fields})
        assert status == 201, answer
        assert isinstance(answer, dict)
        return answer

    def stop(self) -> int:
        """SIGTERM for the keeper; its exit code."""
        self.keeper.terminate()
        return self.keeper.wait(30)

    def mounts(self) -> list[str]:
        """Everything mounted at the view and below the root."""
        table = read_mountinfo()
        return [mount.mountpoint for place in (self.view, self.root) for mount in under(table, str(place))]

    def clean_up(self) -> None:
        """Ends what runs and takes away what is mounted, in whatever state the test left it."""
        if self.keeper.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
        detach(str(self.view))
        if self.keeper.poll() is None:
            self.keeper.kill()
            self.keeper.wait()
        for mountpoint in reversed(self.mounts()):
            detach(mountpoint)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts daemons; after the test none is left, no mount is left, and none has logged a traceback."""
    started: list[Served] = []

    def start(*arguments: str, directory: Path | None = None, **options: Any) -> Served:
        place = directory or tmp_path / f"served{len(started)}"
        place.mkdir(exist_ok=True)
        served = Served.__new__(Served)
        started.append(served)
        served.__init__(place, *arguments, **options)
        return served

    yield start
    logs = []
    for served in started:
        served.clean_up()
        logs.append(served.log())
    assert not [mount for served in started for mount in served.mounts()]
    for log in logs:
        assert "Traceback" not in log, log


class Common:
    """A daemon for one test after another, as long as each leaves it as it was: half of a short test is its start.

    Law: who gets it sees no difference to a new one, but for numbers, which are never used again.
    """

    def __init__(self, places: pytest.TempPathFactory) -> None:
        self._places = places
        self._served: Served | None = None

    def take(self) -> Served:
        """With nothing in its root, and nothing said but that it is ready."""
        if self._served is None:
            self._served = Served(self._places.mktemp("served"))
            self._daemon, self._said = self._served.daemon, len(self._served.log())
            self._there = self._files(self._served)
        return self._served

    def give_back(self) -> None:
        """Ends it where it is not as it was."""
        served = self._served
        assert served is not None
        assert "Traceback" not in served.log(), served.log()
        try:
            as_before = self._is_as_before(served)
        except (AssertionError, OSError, HTTPException):
            as_before = False
        if as_before:
            os.truncate(served._log, self._said)
        else:
            self.end()

    def end(self) -> None:
        """Ends it."""
        if (served := self._served) is not None:
            self._served = None
            served.clean_up()
            assert not served.mounts()
            assert "Traceback" not in served.log(), served.log()

    def _is_as_before(self, served: Served) -> bool:
        if served.keeper.poll() is not None or served.daemon != self._daemon:
            return False
        listed = served.request("GET", "/volumes", timeout=5)[1]
        assert isinstance(listed, dict)
        for user in {
            one["Id"] for volume in listed["Volumes"] for one in volume["UsedBy"] if one["Kind"] == "container"
        }:
            served.request("DELETE", f"/volfs/containers/{user}", timeout=5)
        for one in listed["Volumes"]:
            assert served.request("DELETE", f"/volumes/{quote(one['Name'])}", timeout=5)[0] == 204
        until(lambda: self._files(served) == self._there and served.mounts() == [str(served.view)], 0.5)
        return os.listdir(served.view) == []

    @staticmethod
    def _files(served: Served) -> list[str]:
        """What is there, without the empty directories that are made when they are needed first."""
        lasting = [path for path in served.root.rglob("*") if path.is_symlink() or not path.is_dir()]
        return sorted(str(path) for path in [*lasting, *(served.root / "volumes").iterdir()])


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Common]:
    """The daemon that tests have in common."""
    common = Common(tmp_path_factory)
    yield common
    common.end()


@pytest.fixture
def served(common: Common) -> Iterator[Served]:
    """A running daemon with nothing in its root."""
    yield common.take()
    common.give_back()
