"""Starting a container with a volume, and the same beside a mount table after very many volumes were touched."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import IMAGE, Docker, Served, alternate, dockerd, many, place, seconds, volfs
from volfs.mount.syscalls import detach
from volfs.settings import MAX_BINDS

PART = "run"
SETTLED = 1.0  # seconds in which the work on the mount table itself is over


def measure(quick: bool) -> list[Line]:
    """`docker run` with volfs and with the local driver, in turn; then with binds and, after them, without."""
    rounds, touched, most = (3, 1_000, 100) if quick else (10, 10_000, MAX_BINDS)
    with place() as directory, dockerd(directory / "docker", image=True) as docker:
        with _plugin(docker, directory / "volfs") as (_, driver):
            docker("volume", "create", "-d", driver, "ours")
            docker("volume", "create", "theirs")
            runs = {"volfs": lambda: _once(docker, "ours"), "local": lambda: _once(docker, "theirs")}
            alternate(1, runs)
            found = alternate(rounds, runs)
        with _plugin(docker, many(touched), "--max-binds", str(most)) as (served, _):
            table = _beside_binds(docker, served, touched, most, rounds)
    return [Line(PART, "docker run --rm -v v:/d", "s", found, ("volfs <= 1.05 local",)), *table]


@contextmanager
def _plugin(docker: Docker, directory: Path, *arguments: str) -> Iterator[tuple[Served, str]]:
    """volfs as a plugin of a name of its own, so that nobody else's Docker meets it by chance."""
    driver = f"volfs-bench-{os.getpid()}-{directory.name}"
    with volfs(directory, "--plugin-socket", f"/run/docker/plugins/{driver}.sock", *arguments) as served:
        yield served, driver
        docker("volume", "prune", "-af", check=False)


def _once(docker: Docker, volume: str) -> float:
    return seconds(lambda: docker.run("--rm", "-v", f"{volume}:/d", IMAGE, "/bin/sh", "-c", "echo x > /d/x"))


def _beside_binds(docker: Docker, served: Served, touched: int, most: int, rounds: int) -> list[Line]:
    """A volume of the local driver in both cases, so that only the mount table differs."""
    docker("volume", "create", "theirs")
    took = _touch(served, range(touched))
    binds = len(served.mounts()) - 1

    def beside() -> float:
        _touch(served, range(touched - most, touched))
        time.sleep(SETTLED)
        return _once(docker, "theirs")

    def alone() -> float:
        for mountpoint in served.mounts()[1:]:
            detach(mountpoint)
        time.sleep(SETTLED)
        return _once(docker, "theirs")

    runs = alternate(rounds, {"volfs": beside, "no-binds": alone})
    counted = Line(
        PART, f"binds after touching {touched:,} volumes", "", {"volfs": [binds]}, (f"volfs <= {most * 5 // 4}",)
    )
    return [
        counted,
        Line(PART, "a touch that binds", "ms", {"volfs": [1000 * took / touched]}),
        Line(PART, f"docker run beside {most:,} binds", "s", runs, ("volfs <= 1.05 no-binds",)),
    ]


def _touch(served: Served, numbers: range) -> float:
    return seconds(lambda: [os.stat(served.view / f"volume-{number:06}" / "_data") for number in numbers])
