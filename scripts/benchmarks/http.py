"""Volumes through HTTP: volfs' Engine API beside dockerd's, both with their local driver."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import (
    Api,
    Served,
    alternate,
    at_once,
    dockerd,
    make,
    many,
    place,
    seconds,
    socket_of,
    until_swept,
    volfs,
)

PART = "http"
ACTS: dict[str, Callable[[Api, str], object]] = {
    "create": lambda api, name: api.create(name),
    "inspect": lambda api, name: api("GET", f"/volumes/{name}"),
    "remove": lambda api, name: api("DELETE", f"/volumes/{name}"),
}


def measure(quick: bool) -> list[Line]:
    """Create, inspect, remove with one and with 16 clients; a list of many; inspect among 100,000."""
    count, rounds, listed = (100, 2, 2_000) if quick else (400, 4, 10_000)
    lines = []
    with place() as directory, volfs(directory / "volfs") as ours, dockerd(directory / "docker") as theirs:
        sockets = {"volfs": socket_of(ours), "dockerd": socket_of(theirs)}
        for clients, goal in ((1, "volfs <= 1 dockerd"), (16, "volfs <= 0.333 dockerd")):
            lines += _cycle(ours, sockets, clients, count, rounds, goal)
        for socket in sockets.values():
            make(socket, listed, "many")
        listing = alternate(rounds, {who: _list(socket) for who, socket in sockets.items()})
        lines.append(Line(PART, f"list of {listed:,} volumes", "s", listing, ("volfs <= 1 dockerd",)))
    return [*lines, _inspect_among_many(1_000 if quick else 100_000)]


def _list(socket: Path) -> Callable[[], float]:
    return lambda: seconds(lambda: Api(socket)("GET", "/volumes"))


def _cycle(ours: Served, sockets: dict[str, Path], clients: int, count: int, rounds: int, goal: str) -> list[Line]:
    """Milliseconds a volume until all are made, looked at, and removed again; until that is answered, not until the
    trees are deleted: dockerd answers when they are.
    """
    serial, each = itertools.count(), count // clients
    found: dict[str, dict[str, list[float]]] = {what: {who: [] for who in sockets} for what in ACTS}
    for _, (who, socket) in itertools.product(range(rounds), sockets.items()):
        prefix = f"bench-{next(serial)}"
        for what, act in ACTS.items():
            took = at_once(
                clients,
                socket,
                lambda api, own: [act(api, f"{prefix}-{own}-{n}") for n in range(each)],  # noqa: B023
            )
            found[what][who].append(1000 * took / (each * clients))
        until_swept(ours)
    title = "one client" if clients == 1 else f"{clients} clients"
    return [Line(PART, f"{what}, {title}", "ms each", values, (goal,)) for what, values in found.items()]


def _inspect_among_many(count: int) -> Line:
    with volfs(many(count)) as served:
        api, times = Api(served.socket), []
        for number in range(2_000):
            began = time.perf_counter()
            api("GET", f"/volumes/volume-{number * 7919 % count:06}")
            times.append(1000 * (time.perf_counter() - began))
        api.close()
    what = f"inspect among {count:,} volumes, 99th of 100"
    return Line(PART, what, "ms", {"volfs": [quantiles(times, n=100)[98]]}, ("volfs < 2",))
