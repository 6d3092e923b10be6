"""Power cuts, unmounts by hand, clients under fire, and what is held after much use, each for some seconds.

The same for longer, and on more file systems: `scripts/torture`.
"""

import os
import time
from random import Random

import pytest

from tests.torture import disk
from tests.torture.clients import Clients
from tests.torture.hands import Hands
from tests.torture.leaks import Leaks
from tests.torture.power import Cuts
from tests.torture.world import TMPFS, Want, World
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "world")
    try:
        yield world
    finally:
        world.close()
    assert world.served.mounts() == []
    assert "Traceback" not in world.served.log()


def test_what_was_answered_before_a_power_cut_is_there_after_it(tmp_path):
    cuts = Cuts(tmp_path / "ext4", "ext4", seed=1)
    try:
        cuts.run(3.0)
        assert cuts.changes > 20
        choose = Random(1)
        for _ in range(5):
            cuts.cut(choose)
    finally:
        cuts.close()


def test_a_disk_loses_only_what_was_not_flushed(tmp_path):
    (tmp_path / "base").write_bytes(bytes(3 * disk.SECTOR))
    history, log = [], b""
    for kind, offset, text in ((disk.WRITE, 0, b"a"), (disk.FLUSH, 0, b""), (disk.WRITE, disk.SECTOR, b"b")):
        log += disk.HEAD.pack(kind, 1.0, offset, len(text) * disk.SECTOR) + text * disk.SECTOR
    (tmp_path / "log").write_bytes(log)
    history = disk.events(tmp_path / "log")
    seen = set()
    for seed in range(20):
        disk.image(tmp_path, history, 3, Random(seed), tmp_path / "image")
        seen.add((tmp_path / "image").read_bytes()[:: disk.SECTOR])
    assert seen == {b"a\0\0", b"ab\0"}


def test_mounts_taken_away_by_hand_and_processes_killed_harm_no_data_and_are_mended(world):
    rough, choose = Hands(world), Random(3)
    for _ in range(3):
        rough.round(choose)
    assert rough.rounds == 3


def test_what_was_unmounted_by_hand_and_is_mounted_again_is_what_the_view_shows(world):
    world.make("aa", Want(None, TMPFS))
    shown, below = world.served.view / "aa" / "_data", world.volumes / "aa" / "_data"
    (shown / "first").touch()
    syscalls.detach(str(below))
    assert os.listdir(shown) == ["first"]  # who is there keeps what he has
    assert world.plug("Mount", Name="aa", ID="c1")[0] == 200
    (below / "second").touch()
    assert os.listdir(shown) == ["second"]
    world.check()
    assert world.plug("Unmount", Name="aa", ID="c1")[0] == 200
    world.check()


def test_clients_notice_nothing_of_daemons_that_are_killed_and_replaced(world):
    clients = Clients(world, seed=1)
    clients.run(12.0)
    assert clients.kills > 3
    assert clients.replaced > 0
    assert set(clients.done) >= {"ls", "stat", "cat", "write", "create", "remove", "plugin mount", "plugin unmount"}


def test_much_use_leaves_nothing_behind(world):
    use = Leaks(world)
    use.run(240, time.monotonic() + 12)
    assert use.cycles > 50
