"""The ways to one directory, and what goes through all of them: bound, through FUSE, bindfs, the naive way, none.

volfs    VIEW/v/_data, bound                      naive     the naive pyfuse3 passthrough
fuse     the same with `--data-plane fuse`        native    the directory of `volfs` without the view
bindfs   Debian's
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.peers import volfs
from tests.conftest import PROJECT, until
from volfs.mount.syscalls import detach

HERE = Path(__file__).resolve().parent
MOUNTED = {"bindfs": ["bindfs", "-f"], "naive": [sys.executable, str(HERE / "naive.py")]}


@dataclass(frozen=True)
class Way:
    """`seen` is where the directory is measured, `below` where it really is."""

    seen: Path
    below: Path


@contextlib.contextmanager
def all_ways(base: Path) -> Iterator[dict[str, Way]]:
    """All on the same disk; `volfs` and `native` are the same directory."""
    with contextlib.ExitStack() as stack:
        ways = {}
        for name, arguments in (("volfs", ()), ("fuse", ("--data-plane", "fuse"))):
            served = stack.enter_context(volfs(base / name, *arguments))
            served.create("vv")
            ways[name] = Way(served.view / "vv" / "_data", served.root / "volumes" / "vv" / "_data")
            os.stat(ways[name].seen)
        for name, command in MOUNTED.items():
            ways[name] = stack.enter_context(_mounted(base / name, command))
        yield ways | {"native": Way(ways["volfs"].below, ways["volfs"].below)}


@contextlib.contextmanager
def _mounted(base: Path, command: list[str]) -> Iterator[Way]:
    real, seen = base / "real", base / "seen"
    for path in (base, real, seen):
        path.mkdir()
    (real / "there").touch()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, real, seen], cwd=PROJECT, **quiet)
    try:
        until((seen / "there").exists)
        yield Way(seen, real)
    finally:
        process.terminate()
        detach(str(seen))
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
