"""Starts, replacements and stops cut off at some of their steps; `scripts/torture --only start` has all of them."""

from random import Random

import pytest

from tests.torture.kills import Killed
from tests.torture.restores import Crashed, OfDocker, Restores, ways_of
from tests.torture.starts import Starts
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")


TROUBLES = [Crashed(lost=False), Crashed(lost=True), OfDocker(serving=False), OfDocker(serving=True)]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda one: one.name)
def test_a_restore_or_an_adoption_that_is_cut_off_is_finished_by_the_next_one(tmp_path, trouble):
    restores = Restores(tmp_path, trouble)
    try:
        for at, how in Random(1).sample(list(restores.ways()), 3):
            restores.cut(at, how)
        assert restores.cuts == 3
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
