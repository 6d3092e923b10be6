"""The data plane through FUSE beside its peers: fuse_plane.py [--rounds N] [--size N] [--json FILE] [PART...]

    volfs    VIEW/data/_data of `volfs serve --data-plane fuse`      naive    the naive pyfuse3 passthrough
    bindfs   Debian's, where it is installed                      native   the directory itself

One run, one disk, alternating: each round does each part on each of them, in a new directory. Prints medians with
their spread and volfs's ratio to each peer. Needs root and /dev/fuse.
"""

import argparse
import contextlib
import ctypes
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
sys.path.insert(0, str(HERE))
from load import PARTS  # noqa: E402  beside this program, wherever it is called from

UNITS = {"write_big": "MB/s", "read_big": "MB/s", "list_long": "files/s"}
libc = ctypes.CDLL(None, use_errno=True)
Place = tuple[Path, Path]
"""Where the directory is measured, and where it really is."""


def wait(true: Callable[[], object], process: "subprocess.Popen[bytes]", seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args!r} did not come up")
        time.sleep(0.02)


@contextlib.contextmanager
def running(command: list[str], mountpoint: Path, ready: Callable[[], object]) -> Iterator[None]:
    """A server of a file system; afterwards it is gone and nothing is mounted."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(command, cwd="/", env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait(ready, process)
        yield
    finally:
        process.terminate()
        libc.umount2(os.fsencode(mountpoint), 2)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Unix(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("volfs")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def answers(path: Path) -> bool:
    with contextlib.suppress(OSError):
        connection = Unix(path)
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    return False


@contextlib.contextmanager
def volfs(base: Path) -> Iterator[Place]:
    root, view, run = base / "root", base / "view", base / "run"
    command = [sys.executable, "-m", "volfs", "serve", "--data-plane", "fuse", "--root", str(root), "--view", str(view)]
    command += ["--run-dir", str(run), "--plugin-socket", "none", "--plugin-path", "none"]
    with running(command, view, lambda: answers(run / "volfs.sock")):
        connection = Unix(run / "volfs.sock")
        connection.request("POST", "/volumes/create", '{"Name": "data"}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 201:
            raise SystemExit(f"no volume: {answer.read()!r}")
        yield view / "data" / "_data", root / "volumes" / "data" / "_data"


@contextlib.contextmanager
def mounted(base: Path, *command: str) -> Iterator[Place]:
    real, seen = base / "real", base / "seen"
    for path in (real, seen):
        path.mkdir()
    (real / "there").touch()
    with running([*command, str(real), str(seen)], seen, (seen / "there").exists):
        yield seen, real


@contextlib.contextmanager
def native(base: Path) -> Iterator[Place]:
    (base / "real").mkdir()
    yield base / "real", base / "real"


def measure(place: Place, part: str, size: int, number: int) -> float:
    """Operations a second of one part in a new directory of `place`."""
    here, below = place[0] / f"{part}-{number}", place[1] / f"{part}-{number}"
    below.mkdir()
    command = [sys.executable, str(HERE / "load.py"), part, str(here), str(below), str(size)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{part} on {here}: {error.stderr}") from None
    finally:
        shutil.rmtree(below)
    return float(json.loads(result.stdout)["rate"])


def campaign(places: dict[str, Place], parts: list[str], rounds: int, size: int) -> dict[str, dict[str, list[float]]]:
    """Rates of each part on each place, in the order of the rounds."""
    rates: dict[str, dict[str, list[float]]] = {part: {name: [] for name in places} for part in parts}
    for number in range(rounds):
        for part in parts:
            for name in (*places,) if number % 2 == 0 else reversed((*places,)):
                rates[part][name].append(measure(places[name], part, size, number))
    return rates


def table(rates: dict[str, dict[str, list[float]]]) -> Iterator[str]:
    names = list(next(iter(rates.values())))
    peers = [name for name in names if name != "volfs"]
    yield f"{'a second':<14}" + "".join(f"{name:>22}" for name in names) + "".join(f"{'/ ' + p:>10}" for p in peers)
    for part, found in rates.items():
        middle = {name: statistics.median(found[name]) for name in names}
        cells = [f"{middle[name]:,.0f} ({min(found[name]):,.0f}-{max(found[name]):,.0f})" for name in names]
        ratios = "".join(f"{middle['volfs'] / middle[name]:>10.2f}" for name in peers)
        yield f"{part:<14}" + "".join(f"{cell:>22}" for cell in cells) + ratios + f"  {UNITS.get(part, '')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1000, help="operations of a part, about")
    parser.add_argument("--json", type=Path, help="where the rates go")
    given = parser.parse_args()
    if wrong := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(wrong)}")
    with contextlib.ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="volfs-bench-"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        for name in ("volfs", "naive", "bindfs", "native"):
            (base / name).mkdir()
        places = {"volfs": stack.enter_context(volfs(base / "volfs"))}
        naive = (sys.executable, str(HERE / "naive.py"))
        places["naive"] = stack.enter_context(mounted(base / "naive", *naive))
        if shutil.which("bindfs"):
            places["bindfs"] = stack.enter_context(mounted(base / "bindfs", "bindfs", "-f"))
        places["native"] = stack.enter_context(native(base / "native"))
        rates = campaign(places, given.parts or list(PARTS), given.rounds, given.size)
    print("\n".join(table(rates)))
    if given.json:
        given.json.write_text(json.dumps({"rounds": given.rounds, "size": given.size, "rates": rates}, indent=1))


if __name__ == "__main__":
    main()
