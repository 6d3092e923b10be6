"""Events: kept for a while, told to everybody who listens, waiting for nobody."""

from itertools import count

import pytest
import trio

from volfs.volume.events import BACKLOG, KEPT, Events


@pytest.fixture
def events():
    """Events that happen at 1, 2, 3, …"""
    return Events(now=count(1).__next__)


def test_the_last_ones_are_kept_and_found_by_their_time(events):
    for number in range(KEPT + 10):
        events.tell("create", f"v{number}", driver="local")
    kept = events.kept(0)
    assert len(kept) == KEPT
    assert (kept[0].volume, kept[-1].volume) == ("v10", f"v{KEPT + 9}")
    assert [one.volume for one in events.kept(20, 21)] == ["v19", "v20"]
    assert kept[0].attributes == {"driver": "local"}


def test_every_listener_hears_everything_from_then_on(events):
    async def listen():
        events.tell("create", "before")
        with events.listen() as one, events.listen() as other:
            events.tell("create", "db")
            events.tell("destroy", "db")
            for listener in (one, other):
                heard = [await listener.receive(), await listener.receive()]
                assert [event.action for event in heard] == ["create", "destroy"]

    trio.run(listen)


def test_who_does_not_keep_up_is_let_go_and_nobody_waits(events):
    async def listen():
        with events.listen() as slow, events.listen() as quick:
            for _ in range(BACKLOG + 1):
                events.tell("create", "db")
                quick.receive_nowait()
            assert len([event async for event in slow]) == BACKLOG
            events.tell("create", "last")
            assert quick.receive_nowait().volume == "last"

    trio.run(listen)


def test_the_end_ends_every_listener_also_one_that_comes_after_it(events):
    async def listen():
        with trio.fail_after(5):
            with events.listen() as one:
                events.close()
                assert [event async for event in one] == []
            with events.listen() as late:
                assert [event async for event in late] == []

    trio.run(listen)
