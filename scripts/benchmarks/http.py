"""Volumes through HTTP: volfs' Engine API beside dockerd's, both with their local driver."""

import itertools
import time
from collections.abc import Callable
from statistics import quantiles

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import Api, alternate, at_once, dockerd, place, populate, volfs

PART = "http"


def measure(quick: bool) -> list[Line]:
    """Create, inspect, remove with one and with 16 clients; a list of many; inspect among 100,000."""
    count, rounds, many = (100, 3, 2_000) if quick else (500, 5, 10_000)
    lines = []
    with place() as directory, volfs(directory / "volfs") as ours, dockerd(directory / "docker") as theirs:
        sockets = {"volfs": ours.socket, "dockerd": theirs.place / "docker.sock"}
        for clients, goal in ((1, "<= 1"), (16, "<= 0.33")):
            lines += _cycle(sockets, clients, count, rounds, goal)
        for socket in sockets.values():
            at_once(8, socket, lambda api, own: [_create(api, f"many-{own}-{n}") for n in range(many // 8)])
        listing = alternate(rounds, {who: _timed(socket, "/volumes") for who, socket in sockets.items()})
        lines.append(Line(PART, f"list of {many} volumes", "s", listing, "dockerd", "<= 1"))
    return [*lines, _inspect_among_many(10_000 if quick else 100_000)]


def _create(api: Api, name: str) -> None:
    api("POST", "/volumes/create", {"Name": name})


def _timed(socket: object, path: str) -> Callable[[], float]:
    def once() -> float:
        api = Api(socket)  # type: ignore[arg-type]
        began = time.perf_counter()
        api("GET", path)
        api.close()
        return time.perf_counter() - began

    return once


def _cycle(sockets: dict[str, object], clients: int, count: int, rounds: int, goal: str) -> list[Line]:
    """Milliseconds a volume until all are made, looked at, and removed again."""
    serial = itertools.count()
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for who, socket in sockets.items():
            prefix, each = f"bench-{next(serial)}", count // clients
            acts = {
                "create": lambda api, own: [_create(api, f"{prefix}-{own}-{n}") for n in range(each)],  # noqa: B023
                "inspect": lambda api, own: [api("GET", f"/volumes/{prefix}-{own}-{n}") for n in range(each)],  # noqa: B023
                "remove": lambda api, own: [api("DELETE", f"/volumes/{prefix}-{own}-{n}") for n in range(each)],  # noqa: B023
            }
            for what, act in acts.items():
                took = at_once(clients, socket, act)  # type: ignore[arg-type]
                found.setdefault(what, {}).setdefault(who, []).append(1000 * took / (each * clients))
    title = "one client" if clients == 1 else f"{clients} clients"
    return [Line(PART, f"{what}, {title}", "ms each", values, "dockerd", goal) for what, values in found.items()]


def _inspect_among_many(count: int) -> Line:
    with place() as directory:
        populate(directory / "volfs" / "root", count)
        with volfs(directory / "volfs") as served:
            api, times = Api(served.socket), []
            for number in range(2_000):
                began = time.perf_counter()
                api("GET", f"/volumes/volume-{number * 7919 % count:06}")
                times.append(1000 * (time.perf_counter() - began))
            api.close()
    return Line(
        PART,
        f"inspect among {count} volumes, 99th of 100",
        "ms",
        {"volfs": [quantiles(times, n=100)[98]]},
        goal="< 2 ms",
    )
