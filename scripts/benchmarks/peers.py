"""Who is measured: a volfs of the benchmark's own, and a dockerd; taken away whatever happens."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import PROJECT, Served, UnixConnection
from tests.journeys.docker_daemon import IMAGE, Docker

__all__ = ["IMAGE", "Docker", "Served"]


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A directory on the disk that is measured: $TMPDIR, or /var/tmp, which is seldom in memory."""
    directory = Path(tempfile.mkdtemp(prefix="volfs-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    try:
        yield directory
    finally:
        subprocess.run(["rm", "-rf", directory], check=False)


@contextlib.contextmanager
def volfs(directory: Path, *arguments: str) -> Iterator[Served]:
    """A running volfs with its root in `directory`."""
    directory.mkdir(exist_ok=True)
    served = Served(directory, *arguments)
    try:
        yield served
    finally:
        served.clean_up()


@contextlib.contextmanager
def dockerd(directory: Path, *, image: bool = False) -> Iterator[Docker]:
    """A running dockerd with its data in `directory`."""
    directory.mkdir(exist_ok=True)
    docker = Docker(directory)
    try:
        docker.wait()
        if image:
            docker.make_image()
        yield docker
    finally:
        docker.stop()


def populate(root: Path, count: int) -> None:
    """`count` volumes called volume-000000 and so on, in a root that no volfs serves."""
    subprocess.run([sys.executable, PROJECT / "scripts" / "populate", root, str(count)], check=True)


def seconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def run(*command: object) -> None:
    """A command whose output nobody reads."""
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def alternate(rounds: int, acts: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Every act once a round, in turn, so that what the machine does meanwhile meets them all."""
    values: dict[str, list[float]] = {who: [] for who in acts}
    for number in range(rounds):
        for who in list(acts)[:: 1 if number % 2 else -1]:
            values[who].append(acts[who]())
    return values


class Api:
    """The Engine API on a socket, over one connection that is kept."""

    def __init__(self, socket: Path | str) -> None:
        self._socket = socket
        self._connection = UnixConnection(Path(socket))

    def __call__(self, method: str, path: str, body: object = None) -> bytes:
        """One request; raises where it is refused."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return content

    def close(self) -> None:
        self._connection.close()


def at_once(clients: int, socket: Path | str, act: Callable[[Api, int], object]) -> float:
    """Seconds until `clients` threads, each with a connection, have all done `act` (given a number of their own)."""

    def one(number: int) -> None:
        api = Api(socket)
        act(api, number)
        api.close()

    with ThreadPoolExecutor(clients) as threads:
        return seconds(lambda: list(threads.map(one, range(clients))))
