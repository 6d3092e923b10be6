"""A list on the command line, as whole processes: what a person waits for."""

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import VOLFS, alternate, dockerd, make, place, run, seconds, socket_of, volfs

PART = "cli"


def measure(quick: bool) -> list[Line]:
    """`volfs ls` and `docker volume ls` of 100 volumes, each with its own daemon."""
    with place() as directory, volfs(directory / "volfs") as ours, dockerd(directory / "docker") as theirs:
        for who in (ours, theirs):
            make(socket_of(who), 104, "v")
        acts = {
            "volfs": lambda: seconds(lambda: run(VOLFS, "--host", ours.socket, "ls")),
            "docker": lambda: seconds(lambda: run("docker", "-H", theirs.host, "volume", "ls")),
        }
        alternate(1, acts)
        found = alternate(5 if quick else 20, acts)
    return [Line(PART, "volfs ls, docker volume ls of 100 volumes", "s", found, ("volfs < 0.15",))]
