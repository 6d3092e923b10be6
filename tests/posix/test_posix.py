"""Data through FUSE behaves as the directory below it does: the same calls on both must end alike.

What differs is `DIFFERENT`, with the reason; nothing else may, and what is listed must.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
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
SEEDS = range(3)
STORES = {
    "data": {},  # on the catalogue's disk: read in the event loop
    "memory": {"type": "tmpfs", "device": "tmpfs"},  # what the kernel has in memory is answered in the event loop
    "other": {"type": "ramfs", "device": "ramfs"},  # a file system that the data plane does not know: all in threads
}

DIFFERENT = {
    # pyfuse3 has no words for these three requests, and the kernel does what it does without an answer.
    "punch a hole": (["None"], ["ENOTSUP"]),
    "hole": (["0", "data", "999424"], ["2000000", "data", "0"]),
    "O_TMPFILE": (["None"], ["ENOTSUP"]),
}


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, Path]]:
    """A plain directory, and one of a volume as the view shows it; other users can get to both."""
    base = Path(tempfile.mkdtemp(prefix="volfs-posix-"))
    base.chmod(0o755)
    served = Served(base, "--data-plane", "fuse", "--mode", "0755")
    try:
        for name, options in STORES.items():
            served.create(name, DriverOpts=options)
        (base / "plain").mkdir(mode=0o755)
        yield {"plain": base / "plain", "view": served.view / "data" / "_data", "root": served.root}
        assert [mount for mount in served.mounts() if mount.startswith(f"{served.view}/")] == [], "not all was FUSE"
    finally:
        served.clean_up()
        log = served.log()
        shutil.rmtree(base, ignore_errors=True)
    assert "Traceback" not in log, log


@pytest.fixture(scope="module")
def results(places: dict[str, Path]) -> dict[str, dict[str, list[Any]]]:
    """Of each place, the results of each case: one client runs them all."""
    there = {name: places[name] for name in ("plain", "view")}
    return on_both(there, lambda place: [HERE / "cases.py", place, *CASES])


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
@pytest.mark.parametrize("store", STORES)
def test_two_processes_at_random_do_what_they_would_on_a_plain_directory(
    places: dict[str, Path], store: str, seed: int
) -> None:
    view = places["view"].parents[1] / store / "_data"
    os.stat(view)  # mounts it
    there = {"plain": places["root"] / "volumes" / store / "_data" / f"plain{seed}", "view": view / f"walk{seed}"}
    said = on_both(there, lambda place: [HERE / "walk.py", place, seed, 1200])
    for plain, view in zip(said["plain"], said["view"], strict=True):
        assert view == plain
