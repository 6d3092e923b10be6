"""Trips to threads: quick ones come straight back, slow ones through the loop, hung ones hold up nobody else."""

import os
import threading
import time

import pytest
import trio
import trio.testing

from volfs.view import passthrough_held
from volfs.view import passthrough_trips as trips


async def make(own: trips.Trips, work):
    return await own.make(work, asks_back=False)


def test_a_trip_returns_what_the_work_returns_and_raises_what_it_raises() -> None:
    def fails() -> None:
        raise FileNotFoundError("it")

    async def main() -> None:
        own = trips.Trips(2)
        for number in range(200):
            assert await make(own, lambda: number * 2) == number * 2  # noqa: B023  awaited
        with pytest.raises(FileNotFoundError, match="it"):
            await make(own, fails)
        assert await make(own, lambda: time.sleep(0.02) or "late") == "late"
        with pytest.raises(FileNotFoundError, match="it"):
            await make(own, fails)
        assert trips.none_under_way()

    trio.run(main)


def test_every_result_reaches_its_own_request_however_the_trips_overtake_each_other() -> None:
    async def main() -> None:
        own = [trips.Trips(3), trips.Trips(3)]
        seen = set()

        async def ask(number: int) -> None:
            def work() -> int:
                time.sleep((number * 7919 % 40) / 10_000)  # from at once to four moments
                return number

            assert await make(own[number % 2], work) == number
            seen.add(number)

        async with trio.open_nursery() as nursery:
            for number in range(400):
                nursery.start_soon(ask, number)
        assert seen == set(range(400))
        assert trips.none_under_way()

    trio.run(main)


def test_a_hung_store_fills_its_own_places_and_costs_nobody_else_more_than_a_moment() -> None:
    thaw = threading.Event()
    most = 0
    inside = 0
    lock = threading.Lock()

    def hangs() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        thaw.wait()
        with lock:
            inside -= 1

    async def main() -> None:
        hung, fine = trips.Trips(4), trips.Trips(4)
        ended = 0

        async def ask() -> None:
            nonlocal ended
            await make(hung, hangs)
            ended += 1

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask)
            try:
                await trio.testing.wait_all_tasks_blocked()
                for number in range(50):
                    assert await make(fine, lambda: number) == number  # noqa: B023  awaited
                assert ended == 0
                assert not trips.none_under_way()
            finally:
                thaw.set()
        assert ended == 50

    trio.run(main)
    assert most == 4


def test_threads_end_when_there_are_more_than_the_next_trips_need() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(make, trips.Trips(1), lambda: time.sleep(0.05))

    trio.run(main)
    deadline = time.monotonic() + 10
    while sum(one.name == "volfs trip" for one in threading.enumerate()) > trips._MOST_IDLE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_only_a_near_store_that_was_not_slow_lately_is_waited_for_in_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passthrough_held, "_SPARED", 0.2)
    here = threading.get_ident()

    async def main() -> None:
        tree = passthrough_held.Tree(3, 0, lambda _: os.open("/", os.O_PATH), -1, 2)
        tree.root.descriptor()
        assert await passthrough_held.promptly(tree, threading.get_ident) != here
        tree.near = True
        assert await passthrough_held.promptly(tree, threading.get_ident) == here
        with pytest.raises(FileNotFoundError):
            await passthrough_held.promptly(tree, lambda: slow_and_failing(passthrough_held._SLOW))
        assert await passthrough_held.promptly(tree, threading.get_ident) != here
        assert await passthrough_held.in_thread(tree, threading.get_ident) != here
        while time.monotonic() < tree.slow_until:
            await trio.sleep(0.01)
        assert await passthrough_held.promptly(tree, threading.get_ident) == here
        os.close(tree.root.take())

    trio.run(main)


def slow_and_failing(seconds: float) -> None:
    time.sleep(seconds)
    raise FileNotFoundError("late")
