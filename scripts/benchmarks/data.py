"""Data in all ways to it: fio, small files, a tree, a database. `volfs` is bound, `fuse` is the fallback."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from scripts.benchmarks.lines import Line
from scripts.benchmarks.load import BIG, CACHED, PARTS, UNITS
from scripts.benchmarks.peers import alternate, place
from scripts.benchmarks.ways import HERE, Way, all_ways

PART = "data"
FIO = [
    (mode, size, direct)
    for mode in ("read", "write", "randread", "randwrite")
    for size in ("4k", "1M")
    for direct in (0, 1)
]
QUICK = ("stat_first", "stat_again", "read_again", "create", "list_long", "sqlite_insert")
NATIVE = ("volfs", "native")  # so quick that they get more to do
BOUND = "volfs >= 0.97 native"


def measure(quick: bool) -> list[Line]:
    """Everything in all five ways, in turn; a rate, so more is better."""
    rounds, runtime, size = (2, 250, 200) if quick else (4, 400, 1_000)
    cases = [case for case in FIO if case[:2] in (("read", "1M"), ("randwrite", "4k"))] if quick else FIO
    with place() as base, all_ways(base) as ways:
        lines = [_fio(ways, *case, rounds, runtime) for case in cases]
        lines += [_load(ways, what, rounds, size) for what in (QUICK if quick else PARTS)]
    return lines


def _fio(ways: dict[str, Way], mode: str, size: str, direct: int, rounds: int, runtime: int) -> Line:
    def once(way: Way) -> Callable[[], float]:
        command = ["fio", "--name=f", f"--filename={way.seen}/fio", "--size=128M", f"--rw={mode}", f"--bs={size}"]
        command += [f"--direct={direct}", "--time_based", f"--runtime={runtime}ms", "--ioengine=psync"]

        def measured() -> float:
            answer = subprocess.run([*command, "--output-format=json"], check=True, capture_output=True, text=True)
            [job] = json.loads(answer.stdout[answer.stdout.index("{") :])["jobs"]
            return job["read" if "read" in mode else "write"]["bw_bytes"] / 1e6

        return measured

    _lay_out(ways)
    found = alternate(rounds, {who: once(way) for who, way in ways.items()})
    title = f"{mode} {size} {'direct' if direct else 'buffered'}"
    return Line(PART, title, "MB/s", found, (BOUND, "fuse >= 1 naive", "fuse >= 0.5 bindfs"), "more")


def _lay_out(ways: dict[str, Way]) -> None:
    """The file, written whole and in the kernel's cache, so that nobody measures how it comes to be."""
    for way in ways.values():
        if not (way.below / "fio").exists():
            with (way.below / "fio").open("wb") as file:
                for _ in range(128):
                    file.write(os.urandom(1 << 20))
                os.fsync(file.fileno())


def _load(ways: dict[str, Way], what: str, rounds: int, size: int) -> Line:
    """Each run of it in a process of its own, in a new directory."""
    serial = itertools.count()

    def once(who: str, way: Way) -> Callable[[], float]:
        more = str(size * 4 if who in NATIVE and what not in BIG else size)

        def measured() -> float:
            name = f"{what}-{next(serial)}"  # a cache may still know that the last one is gone
            seen, below = way.seen / name, way.below / name
            below.mkdir()
            command = [sys.executable, "-P", HERE / "load.py", what, seen, below, more]
            try:
                result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
                if result.returncode:
                    raise RuntimeError(f"{what} in {seen}: {result.stderr}")
            finally:
                shutil.rmtree(below)
            return float(json.loads(result.stdout)["rate"])

        return measured

    found = alternate(rounds, {who: once(who, way) for who, way in ways.items()})
    goals = [BOUND, f"fuse >= {2 if what in CACHED else 1} naive", "fuse >= 0.5 bindfs"]
    if what == "stat_again":
        goals.append("fuse >= 0.97 native")
    return Line(PART, what.replace("_", " "), UNITS.get(what, "a second"), found, goals, "more")
