"""Who was on the way to data when its bind was placed is sent back, once, by whichever daemon they meet."""

import math
import time

from volfs.view import dataplane
from volfs.view.expiry import Binding
from volfs.view.inodes import NodeKind, inode

DATA = inode(7, NodeKind.DATA)


def plane(placed, *, binds=True):
    made = dataplane.DataPlane(None, "/view", binds=binds, idle=60.0, most=10)
    made._bindings[7] = Binding("db", placed=placed)
    return made


def test_each_thread_is_sent_back_once_for_a_bind_that_was_placed_or_found_just_now():
    """Also one that this daemon never saw walking: it asked the daemon before."""
    made = plane(time.monotonic())
    assert [made.overtakes(DATA, thread) for thread in (1, 2, 1, 2)] == [True, True, False, False]
    assert not made.overtakes(inode(8, NodeKind.DATA), 1)


def test_nobody_is_sent_back_where_nothing_is_bound_or_long_ago():
    assert not plane(time.monotonic() - dataplane.SETTLING).overtakes(DATA, 1)
    assert not plane(-math.inf).overtakes(DATA, 1)
    assert not plane(time.monotonic(), binds=False).overtakes(DATA, 1)


def test_who_looked_data_up_after_its_bind_was_there_and_opens_here_does_not_see_it():
    """Such as who came back because a daemon did not know the number of an earlier one."""
    made = plane(time.monotonic())
    made.looked_up(7, 1)
    made.looked_up(8, 2)
    assert [made.overtakes(DATA, thread) for thread in (1, 2)] == [False, True]
