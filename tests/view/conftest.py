"""A view of two volumes' data, and a plain directory beside it."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.view.passthrough_view import View, serving

numbers = itertools.count(1)


@contextlib.contextmanager
def open_to_all() -> Iterator[Path]:
    """A directory that every user can get to. pytest's own are not: whichever pytest starts next closes them."""
    with tempfile.TemporaryDirectory(prefix="volfs-view-", ignore_cleanup_errors=True) as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture(scope="module")
def server() -> Iterator[View]:
    with open_to_all() as base, serving(base) as view:
        yield view


@pytest.fixture
def reachable() -> Iterator[Path]:
    with open_to_all() as base:
        yield base


@pytest.fixture
def view(server: View) -> Iterator[View]:
    """The server, with a new directory in each volume: the kernel remembers names for a while."""
    inside = str(next(numbers))
    below = {name: path / inside for name, path in server.below.items()}
    for path in below.values():
        path.mkdir()
    yield View(server.mount, below, server.process, inside)
    assert server.process.poll() is None, "the daemon died"


@pytest.fixture
def plain(reachable: Path) -> Path:
    path = reachable / "plain"
    path.mkdir()
    return path
