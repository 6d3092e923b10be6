"""From the start until ready, with many volumes: volfs beside dockerd, its resident memory, and one directory scan."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import Api, Docker, Served, at_once, dockerd, place, populate, seconds, volfs

PART = "start"


def measure(quick: bool) -> list[Line]:
    """Warm, and after the kernel's caches were dropped."""
    sizes = [1_000] if quick else [1_000, 10_000, 100_000]
    return [line for count in sizes for line in _of(count, 1 if quick else 3)] + ([] if quick else _million())


def _of(count: int, rounds: int) -> list[Line]:
    times: dict[str, dict[str, list[float]]] = {"warm": {}, "cold": {}}
    memory: dict[str, list[float]] = {}
    with place() as directory:
        populate(directory / "volfs" / "root", count)
        with dockerd(directory / "docker") as docker:
            at_once(8, docker.place / "docker.sock", lambda api, own: _make(api, own, count // 8))
            keep = directory / "kept"
            docker.process.terminate()
            docker.process.wait()
            shutil.move(directory / "docker" / "data", keep)
        for _ in range(rounds):
            for state in ("warm", "cold"):
                found = {
                    "volfs": _start_volfs(directory / "volfs", state),
                    "dockerd": _start_dockerd(directory, keep, state),
                }
                for who, (took, resident) in found.items():
                    times[state].setdefault(who, []).append(took)
                    memory.setdefault(who, []).append(resident)
                times[state].setdefault("scan", []).append(_scan(directory / "volfs" / "root" / "volumes"))
    goal = "<= 0.1" if count >= 100_000 else ""
    lines = [Line(PART, f"{count} volumes, {state}", "s", found, "dockerd", goal) for state, found in times.items()]
    return [*lines, Line(PART, f"{count} volumes, resident", "MB", memory, "dockerd", "<= 0.2" if goal else "")]


def _million() -> list[Line]:
    with place() as directory:
        populate(directory / "volfs" / "root", 1_000_000)
        found = [_start_volfs(directory / "volfs", "warm") for _ in range(3)]
    return [Line(PART, "1000000 volumes, warm", "s", {"volfs": [took for took, _ in found]}, goal="< 5 s")]


def _make(api: Api, own: int, count: int) -> None:
    for number in range(count):
        api("POST", "/volumes/create", {"Name": f"volume-{own}-{number:06}"})


def _drop(state: str) -> None:
    os.sync()
    if state == "cold":
        Path("/proc/sys/vm/drop_caches").write_text("3")


def _start_volfs(directory: Path, state: str) -> tuple[float, float]:
    """Seconds from the command until the view answers, and megabytes."""
    _drop(state)
    began = time.perf_counter()
    with volfs(directory) as served:
        os.listdir(served.view)[:1]
        took = time.perf_counter() - began
        return took, _resident(served)


def _resident(served: Served) -> float:
    return sum(_megabytes(pid) for pid in (served.keeper.pid, served.daemon))


def _start_dockerd(directory: Path, data: Path, state: str) -> tuple[float, float]:
    place = directory / "docker"
    place.mkdir(exist_ok=True)
    shutil.move(data, place / "data")
    _drop(state)
    began = time.perf_counter()
    docker = Docker(place)
    try:
        docker.wait()
        Api(place / "docker.sock")("GET", "/_ping")
        took = time.perf_counter() - began
        resident = _megabytes(docker.process.pid)
        docker.process.terminate()
        docker.process.wait()
        shutil.move(place / "data", data)
    finally:
        docker.stop()
    return took, resident


def _megabytes(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def _scan(volumes: Path) -> float:
    return seconds(lambda: subprocess.run(["ls", "-f", volumes], stdout=subprocess.DEVNULL, check=True))
