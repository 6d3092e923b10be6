"""What volfs costs: measuring volumes, doing nothing, and a volume more."""

import time
from pathlib import Path

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import Api, alternate, at_once, dockerd, place, run, seconds, volfs

PART = "rest"


def measure(quick: bool) -> list[Line]:
    """Usage of volumes with files, beside du and docker; CPU and wake-ups of a daemon at rest; bytes a volume."""
    volumes, files, rounds = (20, 200, 3) if quick else (200, 1_000, 5)
    with place() as directory, volfs(directory / "volfs") as served, dockerd(directory / "docker") as docker:
        roots = {"volfs": served.root, "dockerd": docker.place / "data"}
        sockets = {"volfs": served.socket, "dockerd": docker.place / "docker.sock"}
        for who, socket in sockets.items():
            at_once(4, socket, lambda api, own: _make(api, own, volumes // 4))
            _fill(roots[who], files)
        acts = {
            who: lambda socket=socket: seconds(lambda: Api(socket)("GET", "/system/df?type=volume"))
            for who, socket in sockets.items()
        }
        acts["du"] = lambda: seconds(lambda: run("du", "-s", served.root / "volumes"))
        lines = [
            Line(PART, f"usage of {volumes} volumes with {files} files", "s", alternate(rounds, acts), "du", "<= 1")
        ]
        catalogue = (served.root / "volumes" / "metadata.mdb").stat().st_size
        lines.append(Line(PART, "catalogue, bytes a volume", "bytes", {"volfs": [catalogue / volumes]}))
        lines += _at_rest(served.keeper.pid, served.daemon, 5 if quick else 30)
    return lines


def _make(api: Api, own: int, count: int) -> None:
    for number in range(count):
        api("POST", "/volumes/create", {"Name": f"used-{own}-{number}"})


def _fill(root: Path, files: int) -> None:
    for data in (root / "volumes").glob("used-*/_data"):
        for number in range(files):
            (data / str(number)).write_bytes(b"x" * 100)


def _at_rest(keeper: int, daemon: int, wait: int) -> list[Line]:
    time.sleep(2)
    before = [_used(pid) for pid in (keeper, daemon)]
    time.sleep(wait)
    after = [_used(pid) for pid in (keeper, daemon)]
    lines = []
    for who, (cpu, switches), (cpu_then, switches_then) in zip(("keeper", "daemon"), after, before, strict=True):
        lines.append(Line(PART, f"{who} at rest, CPU", "% of one", {"volfs": [100 * (cpu - cpu_then) / wait]}))
        woken = sum(count - switches_then.get(thread, 0) for thread, count in switches.items()) / wait
        lines.append(Line(PART, f"{who} at rest, wake-ups", "a second", {"volfs": [woken]}, goal="0"))
    return lines


def _used(pid: int) -> tuple[float, dict[str, int]]:
    """Seconds of CPU, and how often each thread of it went to sleep."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    switches = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        text = status.read_text()
        switches[status.parent.name] = int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return (int(fields[11]) + int(fields[12])) / 100, switches
