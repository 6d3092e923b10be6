"""What the kernel keeps of a file's contents from one open to the next: only what is surely still there."""

import ctypes
import mmap
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.view.passthrough_view import View, libc, serving, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="mounts: needs root and /dev/fuse"
)
PAGES = 20
REST = 0.3  # seconds


@pytest.fixture(scope="module")
def quick() -> Iterator[View]:
    """A view in which a file has rested soon; of a disk, which /tmp may not be."""
    with tempfile.TemporaryDirectory(prefix="volfs-cached-", dir="/var/tmp") as base:
        kind = subprocess.run(["stat", "-f", "-c", "%T", base], check=True, capture_output=True, text=True).stdout
        if kind.strip() not in ("ext2/ext3", "xfs", "btrfs"):
            pytest.skip(f"/var/tmp is {kind.strip()}: contents are kept on ext4, xfs and btrfs only")
        with serving(Path(base), "--rest", str(REST)) as view:
            yield view


def cached(path: Path) -> int:
    """How many of its pages are in memory just after it was opened: mincore(2)."""
    size = PAGES * mmap.PAGESIZE
    with open(path, "rb", buffering=0) as file, mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE) as memory:
        pages = (ctypes.c_ubyte * PAGES)()
        begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        assert libc.mincore(ctypes.c_void_p(begin), ctypes.c_size_t(size), pages) == 0
        return sum(page & 1 for page in pages)


def made(view: View, name: str) -> tuple[Path, Path]:
    real = view.below["a"] / name
    real.write_bytes(b"1" * PAGES * mmap.PAGESIZE)
    return view.a / name, real


def rest_and_read(shown: Path) -> None:
    """Until its contents are kept."""

    def kept() -> bool:
        shown.read_bytes()
        return cached(shown) == PAGES

    until(kept)


def test_a_file_that_rested_stays_cached_from_one_open_to_the_next(quick: View) -> None:
    shown, _ = made(quick, "rested")
    rest_and_read(shown)
    for _ in range(5):
        assert cached(shown) == PAGES


def test_a_file_that_was_changed_just_now_does_not(view: View) -> None:
    shown, _ = made(view, "fresh")
    for _ in range(5):
        assert shown.read_bytes() == b"1" * PAGES * mmap.PAGESIZE
        assert cached(shown) == 0


@pytest.mark.parametrize("how", ["written", "mapped", "written through the view"])
def test_whoever_opens_a_file_sees_what_was_written_to_it_before(quick: View, how: str) -> None:
    shown, real = made(quick, how)
    for number in range(2, 5):
        rest_and_read(shown)
        new = str(number).encode() * PAGES * mmap.PAGESIZE
        before = real.stat()
        with open(shown if "view" in how else real, "r+b", buffering=0) as file:
            if how == "mapped":
                with mmap.mmap(file.fileno(), 0) as memory:
                    memory[:] = new
            else:
                file.write(new)
        os.utime(real, ns=(before.st_atime_ns, before.st_mtime_ns))  # neither size nor mtime tells
        assert shown.read_bytes() == new
