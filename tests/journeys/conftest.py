"""What the journeys share: places that every user can reach, ordinary users, and programs that use a view."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Served
from tests.journeys.docker_daemon import Docker
from tests.journeys.podman_host import Podman

ORDINARY = 65534  # a user without rights, known to every Linux


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits for something to become true; fails when it does not."""

    def wait(true: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"still not so after {seconds} s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user can enter, with a path short enough for sockets in it."""
    place = Path(tempfile.mkdtemp(prefix="volfs-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def as_ordinary_user() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a command as a user without rights and without groups."""

    def run(*command: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(word) for word in command],
            user=ORDINARY,
            group=ORDINARY,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


class Client:
    """A Python program in a process of its own; it says a line when it is set up, and ends when its input does."""

    def __init__(self, text: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", text, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout

    def line(self) -> str:
        """The next line that it says."""
        return self._output.readline().strip()

    def say(self, text: str) -> str:
        """Gives it a line and returns its answer."""
        self._input.write(text + "\n")
        self._input.flush()
        return self.line()

    def finish(self) -> str:
        """Ends its input; what it says until it has ended."""
        self._input.close()
        rest = self._output.read()
        assert self.process.wait(60) == 0, rest
        return rest

    def close(self) -> None:
        """Ends it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self._input, self._output):
            if not pipe.closed:
                pipe.close()


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """Starts programs; none is left after the test."""
    started: list[Client] = []

    def start(text: str, *arguments: object) -> Client:
        started.append(Client(text, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One daemon for a module whose tests leave each other in peace."""
    served = Served(tmp_path_factory.mktemp("shared"))
    try:
        yield served
    finally:
        served.clean_up()
    assert not served.mounts()
    assert "Traceback" not in served.log()


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    """A running dockerd with an image to make containers of."""
    docker = Docker(Path(tempfile.mkdtemp(prefix="volfs-docker-")))
    try:
        docker.wait()
        docker.make_image()
        yield docker
    finally:
        docker.stop()


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """A Podman with an image to make containers of."""
    podman = Podman(Path(tempfile.mkdtemp(prefix="volfs-podman-")))
    try:
        podman.make_image()
        yield podman
    finally:
        podman.stop()
