"""One hundred thousand volumes: what they cost, beside what the bare file system costs in the same run.

They are in memory: to make and delete 300,000 files on a disk takes longer than all that is looked at here, and
scripts/bench has the disk.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
PROJECT = Path(__file__).resolve().parents[2]
COUNT = 100_000
GENEROUS = 5  # how much worse than the goal a loaded machine may make it look


@pytest.fixture
def populated(tmp_path):
    """A directory whose root holds COUNT volumes."""
    place = tmp_path / "many"
    (place / "root").mkdir(parents=True)
    syscalls.mount("tmpfs", str(place / "root"), "tmpfs", 0, "nr_inodes=0,size=90%")
    try:
        subprocess.run([sys.executable, PROJECT / "scripts" / "populate", place / "root", str(COUNT)], check=True)
        yield place
    finally:
        syscalls.detach(str(place / "root"))


def _seconds(*command):
    began = time.monotonic()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _ready(log):
    return [(int(count), float(seconds)) for count, seconds in re.findall(r" ready volumes=(\d+) .*seconds=(\S+)", log)]


def _resident(pid):
    """Megabytes, as proc(5) counts them."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1000


def test_a_hundred_thousand_volumes_cost_no_more_than_looking_at_them(populated, serve, capsys):
    scan = _seconds("ls", "-l", populated / "root" / "volumes")
    served = serve(directory=populated)
    listing = _seconds("ls", "-l", served.view)
    again = _seconds("ls", "-l", served.view)
    bare = _seconds("ls", "-l", served.root / "volumes")
    served.kill_daemon()
    began = time.monotonic()
    assert len(os.listdir(served.view)) == COUNT
    waited = time.monotonic() - began
    served.ready(2)
    [(count, seconds), (_, restarted)] = _ready(served.log())
    resident = _resident(served.daemon)
    with capsys.disabled():
        print(
            f"\n{COUNT} volumes: ready in {seconds:.2f} s, after a kill {restarted:.2f} s, resident {resident:.0f} MB"
            f"\nls -l: view {listing:.2f} s, again {again:.2f} s, real directory {scan:.2f} s, again {bare:.2f} s"
            f"\nls over a kill of the daemon: {waited:.2f} s"
        )
    assert count == COUNT
    assert seconds < GENEROUS * max(scan, bare), "ready costs more than looking at every directory"
    assert listing < 2 * GENEROUS * bare
    assert resident < 150
