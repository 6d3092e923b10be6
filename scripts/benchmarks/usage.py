"""How much is in volumes: asked for the first time and again, beside `du` and Docker."""

from pathlib import Path

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import VOLFS, Api, alternate, dockerd, make, place, run, seconds, socket_of, volfs

PART = "usage"


def measure(quick: bool) -> list[Line]:
    """`system df` of the Engine API, which is what `docker system df -v` and `volfs df` wait for."""
    volumes, files, rounds = (40, 250, 2) if quick else (200, 1_000, 5)
    with place() as directory, volfs(directory / "volfs") as ours, dockerd(directory / "docker") as theirs:
        for who, root in ((ours, ours.root), (theirs, theirs.place / "data")):
            make(socket_of(who), volumes, "used")
            _fill(root, files)
        ask = "/system/df?type=volume"
        engines = {
            "volfs": lambda: seconds(lambda: Api(ours.socket)("GET", ask)),
            "dockerd": lambda: seconds(lambda: Api(socket_of(theirs))("GET", ask)),
            "du": lambda: seconds(lambda: run("du", "-s", ours.root / "volumes")),
        }
        commands = {
            "volfs": lambda: seconds(lambda: run(VOLFS, "--host", ours.socket, "df")),
            "docker": lambda: seconds(lambda: run("docker", "-H", theirs.host, "system", "df", "-v")),
        }
        found = alternate(rounds, engines)
        whole = alternate(rounds, commands)
        again = [seconds(lambda: Api(ours.socket)("GET", "/volfs/usage?cached=1")) for _ in range(rounds)]
    what = f"{volumes} volumes with {files:,} files each"
    return [
        Line(PART, f"df of {what}", "s", found, ("volfs <= 1 du", "volfs <= 1 dockerd")),
        Line(PART, "the same asked again", "s", {"volfs": again}, ("volfs < 0.05",)),
        Line(PART, "volfs df, docker system df -v", "s", whole, ("volfs <= 1 docker",)),
    ]


def _fill(root: Path, files: int) -> None:
    for data in (root / "volumes").glob("used-*/_data"):
        for number in range(files):
            (data / str(number)).write_bytes(b"x" * 100)
