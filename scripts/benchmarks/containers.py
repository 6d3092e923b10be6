"""What people wait for with Docker: starting a container with a volume, and the removal of a big one."""

import os
import threading
import time
from pathlib import Path

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import IMAGE, Api, Docker, Served, alternate, dockerd, place, seconds, volfs

PART = "containers"


def measure(quick: bool) -> list[Line]:
    """`docker run` with the local driver and with volfs; a removal of many files and what others wait meanwhile."""
    rounds, files = (3, 20_000) if quick else (10, 300_000)
    name = f"volfs-bench-{os.getpid()}"
    socket = f"/run/docker/plugins/{name}.sock"
    with (
        place() as directory,
        volfs(directory / "volfs", "--plugin-socket", socket) as served,
        dockerd(directory / "docker", image=True) as docker,
    ):
        lines = [_runs(docker, name, rounds), _runs_beside_binds(docker, served, rounds, quick)]
        lines += _removals(served, docker, files)
    return lines


def _run_once(docker: Docker, volume: str) -> float:
    return seconds(lambda: docker.run("--rm", "-v", f"{volume}:/d", IMAGE, "/bin/sh", "-c", "echo x > /d/x"))


def _runs(docker: Docker, driver: str, rounds: int) -> Line:
    docker("volume", "create", "-d", driver, "ours")
    docker("volume", "create", "theirs")
    acts = {"volfs": lambda: _run_once(docker, "ours"), "local": lambda: _run_once(docker, "theirs")}
    return Line(PART, "docker run --rm -v v:/d", "s", alternate(rounds, acts), "local", "<= 1.05")


def _runs_beside_binds(docker: Docker, served: Served, rounds: int, quick: bool) -> Line:
    """The same after so many volumes were touched in the view that all of them could be bound."""
    count = 200 if quick else 10_000
    api = Api(served.socket)
    for number in range(count):
        api("POST", "/volumes/create", {"Name": f"touched-{number}"})
        os.stat(served.view / f"touched-{number}" / "_data")
    api.close()
    binds = len(served.mounts())
    acts = {"volfs": lambda: _run_once(docker, "ours"), "local": lambda: _run_once(docker, "theirs")}
    found = alternate(rounds, acts)
    return Line(
        PART, f"docker run after touching {count} volumes", "s", found, "local", "<= 1.05", notes=f"{binds} binds"
    )


def _removals(served: Served, docker: Docker, files: int) -> list[Line]:
    answered, delayed = {}, {}
    for who, socket, root in (
        ("volfs", served.socket, served.root),
        ("dockerd", docker.place / "docker.sock", docker.place / "data"),
    ):
        Api(socket)("POST", "/volumes/create", {"Name": "big"})
        _fill(root / "volumes" / "big" / "_data", files)
        answered[who], delayed[who] = _remove(socket)
    what = f"removal of {files} files"
    return [
        Line(PART, f"{what}, answered after", "s", answered, "dockerd", "< 0.02 s"),
        Line(PART, f"{what}, longest wait of an inspect", "s", delayed, "dockerd", "< 0.02 s"),
    ]


def _fill(data: Path, files: int) -> None:
    for number in range(files):
        if number % 1000 == 0:
            directory = data / str(number)
            directory.mkdir()
        (directory / str(number)).touch()


def _remove(socket: Path) -> tuple[list[float], list[float]]:
    Api(socket)("POST", "/volumes/create", {"Name": "other"})
    stop, waits = threading.Event(), []

    def look() -> None:
        api = Api(socket)
        while not stop.is_set():
            waits.append(seconds(lambda: api("GET", "/volumes/other")))
            time.sleep(0.001)

    looking = threading.Thread(target=look)
    looking.start()
    api = Api(socket)
    took = seconds(lambda: api("DELETE", "/volumes/big"))
    time.sleep(1)  # volfs deletes behind its answer: what that costs others belongs to it
    stop.set()
    looking.join()
    return [took], [max(waits)]
