"""The removal of a volume with very many files: when it is answered, and what others wait meanwhile."""

import threading
import time
from pathlib import Path

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import Api, dockerd, place, seconds, socket_of, until_swept, volfs

PART = "remove"
BEHIND = 2.0  # seconds: volfs deletes behind its answer, and what that costs others belongs to it


def measure(quick: bool) -> list[Line]:
    """volfs, then dockerd, on the same disk, and so on: one longest wait tells of chance alone."""
    files, rounds = (5_000, 1) if quick else (300_000, 3)
    answered: dict[str, list[float]] = {"volfs": [], "dockerd": []}
    delayed: dict[str, list[float]] = {"volfs": [], "dockerd": []}
    with place() as directory, volfs(directory / "volfs") as ours, dockerd(directory / "docker") as theirs:
        places = {"volfs": (socket_of(ours), ours.root), "dockerd": (socket_of(theirs), theirs.place / "data")}
        for who, (socket, root) in list(places.items()) * rounds:
            for name in ("big", "other"):
                Api(socket).create(name)
            _fill(root / "volumes" / "big" / "_data", files)
            took, longest = _remove(socket)
            answered[who].append(took)
            delayed[who].append(longest)
            until_swept(ours)
    what = f"removal of {files:,} files"
    return [
        Line(PART, f"{what}, answered after", "s", answered, ("volfs < 0.02",)),
        Line(PART, f"{what}, longest wait of an inspect", "s", delayed, ("volfs < 0.02",)),
    ]


def _fill(data: Path, files: int) -> None:
    for start in range(0, files, 1000):
        directory = data / str(start)
        directory.mkdir()
        for number in range(start, min(start + 1000, files)):
            (directory / str(number)).touch()


def _remove(socket: Path) -> tuple[float, float]:
    stop, waits = threading.Event(), []

    def look() -> None:
        api = Api(socket)
        while not stop.is_set():
            waits.append(seconds(lambda: api("GET", "/volumes/other")))
            time.sleep(0.001)

    looking = threading.Thread(target=look)
    looking.start()
    api = Api(socket)
    api("GET", "/volumes/big")
    try:
        took = seconds(lambda: api("DELETE", "/volumes/big"))
        time.sleep(BEHIND)
    finally:
        stop.set()
        looking.join()
    return took, max(waits)
