"""Data through FUSE behaves as the directory below it does: the same calls on both must end alike.

What differs is `DIFFERENT`, with the reason; nothing else may, and what is listed must.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Served

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="mounts: needs root and /dev/fuse"
)
HERE = Path(__file__).parent
CASES = json.loads(subprocess.run([sys.executable, HERE / "cases.py"], capture_output=True, check=True).stdout)
SEEDS = range(4)

DIFFERENT = {
    # pyfuse3 has no words for these three requests, and the kernel does what it does without an answer.
    "punch a hole": (["None"], ["ENOTSUP"]),
    "hole": (["0", "data", "999424"], ["2000000", "data", "0"]),
    "O_TMPFILE": (["None"], ["ENOTSUP"]),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A plain directory, and one of a volume as the view shows it; other users can get to both."""
    base = tmp_path_factory.mktemp("posix")
    for place in (base, *base.parents[:-1]):
        if place.stat().st_uid == os.geteuid():
            place.chmod(place.stat().st_mode | 0o055)
    served = Served(base, "--data-plane", "fuse", "--mode", "0755")
    try:
        served.create("data")
        (base / "plain").mkdir(mode=0o755)
        yield {"plain": base / "plain", "view": served.view / "data" / "_data"}
        assert [mount for mount in served.mounts() if mount.endswith("/_data")] == [], (
            "all of it was to go through FUSE"
        )
    finally:
        served.clean_up()
    assert "Traceback" not in served.log(), served.log()


@pytest.fixture(scope="module")
def results(places: dict[str, Path]) -> dict[str, dict[str, list[Any]]]:
    """Of each place, the results of each case: one client runs them all."""
    return on_both(places, lambda place: [HERE / "cases.py", place, *CASES])


def on_both(places: dict[str, Path], program: Callable[[Path], list[object]]) -> dict[str, Any]:
    """What a program says, run on each of the places at the same time."""
    running = {
        name: subprocess.Popen([sys.executable, *map(str, program(place))], stdout=subprocess.PIPE)
        for name, place in places.items()
    }
    try:
        return {name: json.loads(process.communicate(timeout=120)[0]) for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.wait()


@pytest.mark.parametrize("name", CASES)
def test_a_case_ends_as_on_a_plain_directory(results: dict[str, dict[str, list[Any]]], name: str) -> None:
    expected, found = results["plain"][name], results["view"][name]
    assert not [step for step in expected if "broke off" in str(step)]
    assert len(found) == len(expected), found[-1]
    for step, (plain, view) in enumerate(zip(expected, found, strict=True)):
        if plain and isinstance(plain, list) and str(plain[0]) in DIFFERENT:
            assert (plain[1:], view[1:]) == DIFFERENT[plain[0]]
        else:
            assert view == plain, f"step {step}"


@pytest.mark.parametrize("seed", SEEDS)
def test_two_processes_at_random_do_what_they_would_on_a_plain_directory(places: dict[str, Path], seed: int) -> None:
    said = on_both(places, lambda place: [HERE / "walk.py", place / f"walk{seed}", seed, 1200])
    for plain, view in zip(said["plain"], said["view"], strict=True):
        assert view == plain
