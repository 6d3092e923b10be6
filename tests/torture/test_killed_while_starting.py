"""Starts, replacements and stops cut off at some of their steps; `scripts/torture --only start` has all of them."""

from random import Random

import pytest

from tests.torture.kills import Killed
from tests.torture.starts import Restores, Starts, ways_of
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")


@pytest.mark.parametrize("lost", [False, True], ids=["catalogue kept", "catalogue lost"])
def test_a_restore_that_is_cut_off_is_finished_by_the_next_one(tmp_path, lost):
    restores = Restores(tmp_path, lost=lost)
    try:
        for at, how in Random(1).sample(list(restores.ways()), 4):
            restores.cut(at, how)
        assert restores.cuts == 4
    finally:
        restores.close()


def test_daemons_and_keepers_that_die_on_their_way_up_or_down_leave_everything_whole(tmp_path):
    killed = Killed(tmp_path)
    try:
        starts = Starts(killed)
        for way in starts.ways:
            names = starts.steps_of(way)
            starts.cut(way, *Random(way).choice(list(ways_of(names[: len(names) // 2 + 1]))))
        assert starts.cuts == len(starts.ways)
    finally:
        killed.close()
