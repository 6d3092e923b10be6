"""Data through `VIEW/v/_data`, bound: fio and small files, beside the same directory without the view."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import alternate, place, run, seconds, volfs

PART = "data"
FIO = [
    (mode, size, direct)
    for mode in ("read", "write", "randread", "randwrite")
    for size in ("4k", "1M")
    for direct in (0, 1)
]
SMALL = 2_000


def measure(quick: bool) -> list[Line]:
    """Everything in a directory of one volume, reached in two ways."""
    rounds, runtime = (2, 1) if quick else (5, 4)
    with place() as directory, volfs(directory / "volfs") as served:
        served.create("vv")
        ways = {"volfs": served.view / "vv" / "_data", "native": served.root / "volumes" / "vv" / "_data"}
        os.stat(ways["volfs"])
        lines = [_fio(ways, *case, rounds, runtime) for case in (FIO[:4] if quick else FIO)]
        lines += [_files(ways, what, act, rounds) for what, act in _SMALL.items()]
    return lines


def _fio(ways: dict[str, Path], mode: str, size: str, direct: int, rounds: int, runtime: int) -> Line:
    def once(path: Path) -> Callable[[], float]:
        command = ["fio", "--name=f", f"--filename={path}/fio", "--size=256M", f"--rw={mode}", f"--bs={size}"]
        command += [
            f"--direct={direct}",
            "--time_based",
            f"--runtime={runtime}",
            "--output-format=json",
            "--ioengine=psync",
        ]

        def measured() -> float:
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            [job] = json.loads(answer)["jobs"]
            return job["read" if "read" in mode else "write"]["bw_bytes"] / 1e6

        return measured

    found = alternate(rounds, {who: once(path) for who, path in ways.items()})
    title = f"{mode} {size} {'direct' if direct else 'buffered'}"
    return Line(PART, title, "MB/s", found, "native", ">= 0.97", "more")


def _files(ways: dict[str, Path], what: str, act: Callable[[Path], object], rounds: int) -> Line:
    def once(path: Path) -> Callable[[], float]:
        def measured() -> float:
            work = path / "work"
            work.mkdir()
            for number in range(SMALL):
                (work / str(number)).write_bytes(b"x" * 100)
            took = seconds(lambda: act(work))
            shutil.rmtree(work)
            shutil.rmtree(path / "copy", ignore_errors=True)
            return took

        return measured

    found = alternate(rounds, {who: once(path) for who, path in ways.items()})
    return Line(PART, what, "s", found, "native", "<= 1.03")


def _create(work: Path) -> None:
    for number in range(SMALL):
        (work / f"new-{number}").touch()


def _stat(work: Path) -> None:
    for number in range(SMALL):
        os.stat(work / str(number))


def _read(work: Path) -> None:
    for number in range(SMALL):
        (work / str(number)).read_bytes()


def _rename(work: Path) -> None:
    for number in range(SMALL):
        os.rename(work / str(number), work / f"moved-{number}")


def _unlink(work: Path) -> None:
    for number in range(SMALL):
        os.unlink(work / str(number))


def _insert(work: Path) -> None:
    with sqlite3.connect(work / "db") as database:
        database.execute("create table t (a integer primary key, b text)")
        for number in range(200):
            database.execute("insert into t values (?, ?)", (number, "x" * 100))
            database.commit()


_SMALL: dict[str, Callable[[Path], object]] = {
    f"{SMALL} creates": _create,
    f"{SMALL} stats": _stat,
    f"{SMALL} open and read": _read,
    f"{SMALL} renames": _rename,
    f"{SMALL} unlinks": _unlink,
    "copy of a tree": lambda work: run("cp", "-a", work, work.with_name("copy")),
    "200 sqlite inserts": _insert,
}
