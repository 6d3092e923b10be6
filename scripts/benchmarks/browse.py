"""Browsing many volumes as a person does, beside the real directory and Docker's client."""

import os

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import Served, alternate, dockerd, make, many, place, run, seconds, socket_of, volfs

PART = "browse"


def measure(quick: bool) -> list[Line]:
    """`ls`, `ls -l` first and again, `find` of all; the texts of many beside `docker volume inspect`."""
    count, rounds, texts = (5_000, 2, 200) if quick else (100_000, 4, 1_000)
    with volfs(many(count)) as served:
        lines = [_first(served, count), *_listings(served, count, rounds)]
    with volfs(many(texts * 10)) as served:
        lines.append(_find(served, texts * 10, rounds))
    with place() as directory, volfs(directory / "few") as served, dockerd(directory / "docker") as docker:
        for who in (served, docker):
            make(socket_of(who), texts, "v")
        names = sorted(os.listdir(served.view))
        acts = {
            "volfs": lambda: seconds(lambda: run("cat", *(served.view / name / "meta" for name in names))),
            "docker": lambda: seconds(lambda: run("docker", "-H", docker.host, "volume", "inspect", *names)),
        }
        what = f"cat */meta of {len(names):,}, docker volume inspect"
        lines.append(Line(PART, what, "s", alternate(rounds, acts), ("volfs < 1 docker",)))
    return lines


def _first(served: Served, count: int) -> Line:
    """`ls -l` when the kernel knows nothing of the view yet, once for each start."""
    values = {
        "volfs": [seconds(lambda: run("ls", "-l", served.view))],
        "directory": [seconds(lambda: run("ls", "-l", served.root / "volumes"))],
    }
    return Line(PART, f"ls -l of {count:,} volumes, first", "s", values, ("volfs <= 1.5 directory",))


def _listings(served: Served, count: int, rounds: int) -> list[Line]:
    lines = []
    for words, goals in ((["ls"], ()), (["ls", "-l"], ("volfs <= 1.5 directory",))):
        places = {"volfs": served.view, "directory": served.root / "volumes"}
        acts = {who: lambda at=at: seconds(lambda: run(*words, at)) for who, at in places.items()}  # noqa: B023
        again = ", again" if len(words) > 1 else ""
        lines.append(Line(PART, f"{' '.join(words)} of {count:,} volumes{again}", "s", alternate(rounds, acts), goals))
    return lines


def _find(served: Served, count: int, rounds: int) -> Line:
    search = ["-maxdepth", "2", "-name", "opts.json"]
    places = {"volfs": served.view, "directory": served.root / "volumes"}
    acts = {who: lambda at=at: seconds(lambda: run("find", at, *search)) for who, at in places.items()}
    return Line(PART, f"find -maxdepth 2 -name opts.json of {count:,}", "s", alternate(rounds, acts))
