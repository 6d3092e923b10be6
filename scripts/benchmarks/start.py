"""From the start until ready, with many volumes: volfs beside dockerd, its resident memory, and one directory scan."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import (
    Api,
    Docker,
    flushing_nothing,
    make,
    many,
    resident,
    run,
    seconds,
    volfs,
    wide_directory,
)

PART = "start"
STATES = ("warm", "cold")


def measure(quick: bool) -> list[Line]:
    """Warm, and after the kernel's caches were dropped; with a million volumes volfs alone."""
    rounds, sizes = (2, [1_000]) if quick else (3, [1_000, 10_000, 100_000])
    lines = [line for count in sizes for line in _beside_dockerd(count, rounds)]
    return lines + ([] if quick else _million(rounds, lines[-3]))


def _beside_dockerd(count: int, rounds: int) -> list[Line]:
    times: dict[str, dict[str, list[float]]] = {state: {} for state in STATES}
    memory: dict[str, list[float]] = {}
    ours, theirs = many(count), wide_directory(f"docker-{count}")
    data = _root_of_dockerd(theirs, count)
    for _ in range(rounds):
        for state in STATES:
            for who, (took, megabytes) in {
                "volfs": _start_volfs(ours, state),
                "dockerd": _start_dockerd(theirs, data, state),
            }.items():
                times[state].setdefault(who, []).append(took)
                memory.setdefault(who, []).append(megabytes)
            times[state].setdefault("scan", []).append(_scan(ours, state))
    goal, less = (("volfs <= 0.1 dockerd",), ("volfs <= 0.2 dockerd",)) if count == 100_000 else ((), ())
    lines = [Line(PART, f"{count:,} volumes, {state}", "s", times[state], goal) for state in STATES]
    return [*lines, Line(PART, f"{count:,} volumes, resident", "MB", memory, less)]


def _million(rounds: int, hundred_thousand: Line) -> list[Line]:
    ours = many(1_000_000)
    times: dict[str, dict[str, list[float]]] = {state: {} for state in STATES}
    memory = []
    for _ in range(rounds):
        for state in STATES:
            took, megabytes = _start_volfs(ours, state)
            times[state].setdefault("volfs", []).append(took)
            times[state].setdefault("scan", []).append(_scan(ours, state))
            memory.append(megabytes)
    lines = [Line(PART, f"1,000,000 volumes, {state}", "s", times[state], ("volfs < 5",)) for state in STATES]
    lines.append(Line(PART, "1,000,000 volumes, resident", "MB", {"volfs": memory}))
    before = hundred_thousand.values
    growth = {
        who: [now / then for now, then in zip(times["warm"][who], before[who], strict=True)]
        for who in ("volfs", "scan")
    }
    return [*lines, Line(PART, "growth from 100,000 to 1,000,000", "times", growth, ("volfs <= 1 scan",))]


def _root_of_dockerd(directory: Path, count: int) -> Path:
    """A data root in which dockerd has made `count` volumes."""
    docker = Docker(directory)
    try:
        docker.wait()
        with flushing_nothing():
            make(directory / "docker.sock", count, "volume")
        return _put_aside(docker)
    finally:
        docker.stop()


def _put_aside(docker: Docker) -> Path:
    """Ends it and saves its data from being taken away with it."""
    docker.process.terminate()
    docker.process.wait()
    aside = docker.place.with_name(docker.place.name + "-data")
    shutil.move(docker.place / "data", aside)
    return aside


def _drop(state: str) -> None:
    os.sync()
    if state == "cold":
        Path("/proc/sys/vm/drop_caches").write_text("3")


def _start_volfs(directory: Path, state: str) -> tuple[float, float]:
    """Seconds from the command until the view answers, and megabytes."""
    _drop(state)
    began = time.perf_counter()
    with volfs(directory) as served:
        os.stat(served.view)
        took = time.perf_counter() - began
        return took, resident(served.keeper.pid, served.daemon)


def _start_dockerd(directory: Path, data: Path, state: str) -> tuple[float, float]:
    directory.mkdir(exist_ok=True)
    shutil.move(data, directory / "data")
    _drop(state)
    began = time.perf_counter()
    docker = Docker(directory)
    try:
        _answers(docker)
        took = time.perf_counter() - began
        megabytes = resident(docker.process.pid)
        _put_aside(docker)
    finally:
        docker.stop()
    return took, megabytes


def _answers(docker: Docker) -> None:
    """Returns when it does, asked as often as volfs is."""
    while docker.process.poll() is None:
        with contextlib.suppress(OSError):
            Api(docker.place / "docker.sock")("GET", "/_ping")
            return
        time.sleep(0.01)
    raise RuntimeError((docker.place / "log").read_text()[-2000:])


def _scan(directory: Path, state: str) -> float:
    _drop(state)
    return seconds(lambda: run("ls", "-f", directory / "root" / "volumes"))
