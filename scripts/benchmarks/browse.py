"""Browsing many volumes as a person does, beside the real directory and Docker's client."""

import os
import subprocess

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import Served, alternate, at_once, dockerd, place, populate, run, seconds, volfs

PART = "browse"


def measure(quick: bool) -> list[Line]:
    """`ls`, `ls -l`, and texts of many; then the longest wait over a kill."""
    count, rounds, docker_count = (5_000, 3, 500) if quick else (100_000, 5, 1_000)
    with place() as directory:
        populate(directory / "volfs" / "root", count)
        with volfs(directory / "volfs") as served:
            lines = _listings(served, count, rounds)
            lines.append(_downtime(served, count, rounds))
        with volfs(directory / "few") as served, dockerd(directory / "docker") as docker:
            for socket in (served.socket, docker.place / "docker.sock"):
                at_once(8, socket, lambda api, own: [_make(api, f"v{own}-{n}") for n in range(docker_count // 8)])
            names = sorted(os.listdir(served.view))
            lines.append(_texts(served, docker.host, names, rounds))
            lines.append(_command(served, docker.host, len(names), rounds))
    return lines


def _make(api: object, name: str) -> None:
    api("POST", "/volumes/create", {"Name": name})  # type: ignore[operator]


def _listings(served: Served, count: int, rounds: int) -> list[Line]:
    real = served.root / "volumes"
    lines = []
    for words, goal in (("ls", ""), ("ls -l", "<= 1.5")):
        acts = {
            "volfs": lambda: seconds(lambda: run(*words.split(), served.view)),  # noqa: B023
            "directory": lambda: seconds(lambda: run(*words.split(), real)),  # noqa: B023
        }
        lines.append(Line(PART, f"{words} of {count} volumes", "s", alternate(rounds, acts), "directory", goal))
    find = ["find", served.view, "-maxdepth", "2", "-name", "opts.json", "-path", "*/volume-00*"]
    values = {"volfs": [seconds(lambda: run(*find)) for _ in range(rounds)]}
    lines.append(Line(PART, "find -maxdepth 2 -name opts.json", "s", values))
    return lines


def _downtime(served: Served, count: int, rounds: int) -> Line:
    def once() -> float:
        times = served.log().count(" ready ")
        served.kill_daemon()
        waited = seconds(lambda: os.stat(served.view / "volume-000001" / "meta"))
        served.ready(times + 1)
        return waited

    values = {"volfs": [once() for _ in range(rounds)]}
    return Line(PART, f"wait of a stat when the daemon is killed, {count} volumes", "s", values, goal="< 0.5 s")


def _texts(served: Served, host: str, names: list[str], rounds: int) -> Line:
    acts = {
        "volfs": lambda: seconds(lambda: run("cat", *(served.view / name / "meta" for name in names))),
        "docker": lambda: seconds(lambda: run("docker", "-H", host, "volume", "inspect", *names)),
    }
    return Line(PART, f"{len(names)} metas / docker volume inspect", "s", alternate(rounds, acts), "docker", "< 1")


def _command(served: Served, host: str, count: int, rounds: int) -> Line:
    volfs_ls = [os.path.join(os.path.dirname(os.sys.executable), "volfs"), "--host", served.socket, "ls"]  # type: ignore[attr-defined]
    acts = {
        "volfs": lambda: seconds(lambda: run(*volfs_ls)),
        "docker": lambda: seconds(lambda: run("docker", "-H", host, "volume", "ls")),
    }
    subprocess.run([str(word) for word in volfs_ls], check=True, stdout=subprocess.DEVNULL)
    return Line(
        PART, f"volfs ls / docker volume ls, {count} volumes", "s", alternate(rounds, acts), "docker", "< 0.15 s"
    )
