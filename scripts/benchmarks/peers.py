"""Who is measured, and on what: volfs and dockerd of the benchmark's own, a place on the disk; gone afterwards."""

import contextlib
import fcntl
import functools
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import PROJECT, Served, UnixConnection, until
from tests.journeys.docker_daemon import IMAGE, Docker
from volfs.mount.syscalls import detach

__all__ = ["IMAGE", "Docker", "Served"]

VOLFS = Path(sys.executable).with_name("volfs")
PATIENCE = 300.0  # seconds: with a million volumes and cold caches a busy machine takes its time
MANY_FILES = 12_000_000  # inodes of the file system for many volumes
_EXT4_SHUTDOWN, _WITHOUT_A_WORD = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
kept = contextlib.ExitStack()
"""What parts of one run share; closed at its end."""


@contextlib.contextmanager
def place(within: Path | None = None) -> Iterator[Path]:
    """A directory on the file system that is measured, which all parts share."""
    directory = Path(tempfile.mkdtemp(prefix="volfs-bench-", dir=within or _wide()))
    try:
        yield directory
    finally:
        subprocess.run(["rm", "-rf", directory], check=False)


@contextlib.contextmanager
def wide_place() -> Iterator[Path]:
    """An ext4 of its own in a sparse file on the disk that is measured: $TMPDIR, or /var/tmp, seldom in memory.

    With a journal, as nearly every host has it: without one, ext4 passes over each inode that was deleted in the last
    minutes when it makes another, so what is measured first makes slow what is measured next. And removing a million
    directories one by one would take minutes.
    """
    disk = Path(os.environ.get("TMPDIR", "/var/tmp"))
    with place(disk) as directory, contextlib.ExitStack() as undo:
        image, inside = directory / "ext4", directory / "in"
        inside.mkdir()
        with image.open("wb") as file:
            file.truncate(60 << 30)
        later = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
        run("mkfs.ext4", "-q", "-m", "0", "-N", MANY_FILES, "-E", later, image)
        show = ["losetup", "--direct-io=on", "--find", "--show", image]
        loop = subprocess.run(show, check=True, capture_output=True, text=True).stdout.strip()
        undo.callback(run, "losetup", "--detach", loop)  # or with its last user
        run("mount", "-o", "noinit_itable", loop, inside)
        undo.callback(detach, str(inside))
        undo.callback(_give_up, inside)
        yield inside


def _give_up(mounted: Path) -> None:
    """What is not on the disk yet need not get there."""
    descriptor = os.open(mounted, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _EXT4_SHUTDOWN, struct.pack("I", _WITHOUT_A_WORD))
    finally:
        os.close(descriptor)


@functools.cache
def _wide() -> Path:
    return kept.enter_context(wide_place())


@functools.cache
def many(count: int) -> Path:
    """A directory whose `root` has `count` volumes called volume-000000 and so on; all parts of a run share it."""
    directory = _wide() / str(count)
    directory.mkdir()
    populate(directory / "root", count)
    os.sync()
    return directory


def wide_directory(name: str) -> Path:
    """A new directory beside those of `many`."""
    directory = _wide() / name
    directory.mkdir()
    return directory


@contextlib.contextmanager
def flushing_nothing() -> Iterator[None]:
    """While dockerd fills its root: it syncs every volume, which is not what is measured."""
    run("mount", "-o", "remount,barrier=0", _wide())
    try:
        yield
    finally:
        os.sync()
        run("mount", "-o", "remount,barrier=1", _wide())


@contextlib.contextmanager
def volfs(directory: Path, *arguments: str) -> Iterator[Served]:
    """A running volfs with its root in `directory`."""
    directory.mkdir(exist_ok=True)
    served = Served.__new__(Served)
    served.patience = PATIENCE
    try:
        served.__init__(directory, *arguments)
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


def until_swept(served: Served) -> None:
    """Returns when volfs has deleted what it has removed: not at the cost of who is measured next."""
    until(lambda: not list((served.root / "volumes").glob(".removing-*")), PATIENCE)


def populate(root: Path, count: int) -> None:
    """`count` volumes called volume-000000 and so on, in a root that no volfs serves."""
    subprocess.run([sys.executable, PROJECT / "scripts" / "populate", root, str(count)], check=True)


def socket_of(who: Served | Docker) -> Path:
    """Where its Engine API is."""
    return who.socket if isinstance(who, Served) else who.place / "docker.sock"


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

    def create(self, name: str) -> None:
        """A volume of the local driver."""
        self("POST", "/volumes/create", {"Name": name})

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


def make(socket: Path, count: int, prefix: str) -> None:
    """`count` volumes called PREFIX-0-000000 and so on, by eight clients."""
    at_once(8, socket, lambda api, own: [api.create(f"{prefix}-{own}-{number:06}") for number in range(count // 8)])


def resident(*pids: int) -> float:
    """Megabytes of memory that these processes hold together."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
