"""The long campaign against a daemon's faces: any bytes on its sockets, any call on its view.

Every round takes the next seeds for each part in turn. The last line says what was done; a finding ends it with exit
code 1, names its seed, and is repeated with --seed.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import PROJECT, Served, until
from tests.torture import http_fuzz

AT_ONCE = 25  # seeds of each part in a round
CALLS = 400
FUZZ = """
import sys
from tests.torture.view_fuzz import attack
print(sorted(attack(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
"""


class Finding(Exception):
    """Something that must not be."""


def need(true: object, what: str) -> None:
    """Raises Finding."""
    if not true:
        raise Finding(what)


@contextmanager
def daemon(place: Path, *arguments: str) -> Iterator[Served]:
    """A daemon that must be the same one, without a traceback, at the end."""
    place.mkdir()
    served = Served(place, "--plugin-socket", str(place / "plugin.sock"), *arguments)
    try:
        served.create("db")
        yield served
    finally:
        served.clean_up()


def http(served: Served, seed: int) -> str:
    """One client at both sockets."""
    before = served.daemon
    for path in (served.socket, served.socket.parent.parent / "plugin.sock"):
        try:
            answer = http_fuzz.talk(path, http_fuzz.attack(seed))
        except TimeoutError:
            raise Finding(f"http seed {seed}: no end at {path.name}") from None
        need(http_fuzz.is_answer(answer), f"http seed {seed}: {answer[:40]!r}")
        need(b"its log says why" not in answer, f"http seed {seed}: failed")
    need(served.daemon == before, f"http seed {seed}: the daemon ended")
    return "answered"


def view(served: Served, seed: int) -> str:
    """Calls at a view."""
    before = served.daemon
    command = [sys.executable, "-c", FUZZ, served.view, str(seed), str(CALLS)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    need((ran.returncode, ran.stdout) == (0, "[]\n"), f"view seed {seed}: {ran.stdout}{ran.stderr[-500:]}")
    need(served.daemon == before, f"view seed {seed}: the daemon ended")
    return "answered"


def campaign(minutes: float, first: int, place: Path) -> Counter[str]:
    """Round after round until the time is over; what was done, by part and outcome."""
    done: Counter[str] = Counter()
    deadline = time.monotonic() + minutes * 60
    with (
        daemon(place / "bind") as bound,
        daemon(place / "fuse", "--data-plane", "fuse") as through,
    ):
        parts: dict[str, Callable[[int], str]] = {
            "http": lambda seed: http(bound, seed),
            "view": lambda seed: view(bound, seed),
            "view through fuse": lambda seed: view(through, seed),
        }
        seed = first
        while time.monotonic() < deadline:
            for part, act in parts.items():
                for one in range(seed, seed + (AT_ONCE if "view" not in part else 2)):
                    outcome = act(one)
                    done[f"{part}: {outcome}"] += 1
            seed += AT_ONCE
            for served in (bound, through):
                need("Traceback" not in served.log(), f"a traceback before seed {seed}: {served.log()[-2000:]}")
        for served in (bound, through):
            os.kill(served.keeper.pid, signal.SIGTERM)
            need(served.keeper.wait(30) == 0, "the keeper did not end well")
            until(lambda served=served: not served.mounts())
    return done
