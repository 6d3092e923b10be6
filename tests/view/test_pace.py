"""Requests one after another, and everybody else's turn among them."""

import os
import select
import time
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from volfs.view import pace


class Turns(trio.abc.Instrument):
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


def serve_for(streaks: int, wait: pace._Wait, somebody_else: Callable[[], Awaitable[object]] | None) -> tuple[int, int]:
    """How many requests were waited for in so many streaks, and how many turns the loop made."""
    turns, requests = Turns(), 0

    async def requested() -> None:
        nonlocal requests
        reading, writing = os.pipe()
        os.write(writing, b"request")
        end = time.monotonic() + streaks * pace.STREAK
        while time.monotonic() < end:
            await wait(reading)
            requests += 1
        os.close(reading)
        os.close(writing)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            if somebody_else is not None:
                nursery.start_soon(somebody_else)
            async with trio.open_nursery() as inner:
                inner.start_soon(requested, name="pyfuse-01")
            nursery.cancel_scope.cancel()

    trio.run(main, instruments=[turns])
    return requests, turns.count


def test_requests_that_are_there_take_no_turn_of_the_loop_but_never_all_of_them() -> None:
    requests, turns = serve_for(20, pace._Wait(None), None)
    assert 2 < turns < requests / 2


def test_who_is_doing_something_in_the_loop_has_a_turn_after_each_request() -> None:
    async def busy() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    requests, turns = serve_for(5, pace._Wait(None), busy)
    assert 2 < requests <= turns + 2


class Impatient:
    """A poll that notes how long it was to wait, and finds nothing."""

    def __init__(self) -> None:
        self.patience: list[int] = []

    def register(self, *_: object) -> None: ...

    def poll(self, patience: int) -> list[object]:
        self.patience.append(patience)
        return []


def test_nobody_sleeps_outside_of_the_loop_while_the_result_of_a_thread_is_to_come() -> None:
    for nothing_to_come in (True, False):
        wait, poll = pace._Wait(None, lambda: nothing_to_come), Impatient()  # noqa: B023  called at once
        wait._poll = poll  # type: ignore[assignment]
        serve_for(2, wait, None)
        assert set(poll.patience) <= {pace.PATIENCE, 0}
        assert (pace.PATIENCE in poll.patience) == nothing_to_come


def test_where_it_was_in_vain_to_stay_awake_the_next_waits_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "AWAKE", 0.1)
    wait, poll = pace._Wait(None), Impatient()
    wait._poll, wait._cores = poll, 2  # type: ignore[assignment]
    for _ in range(2):
        assert not wait._is_there(time.monotonic())
        assert poll.patience.count(0) > 1
        del poll.patience[:]
        for _ in range(pace.IN_VAIN):
            assert not wait._is_there(time.monotonic())
        assert poll.patience == [pace.PATIENCE] * pace.IN_VAIN
        del poll.patience[:]


def test_where_there_is_one_core_nobody_is_waited_for_awake() -> None:
    wait, poll = pace._Wait(None), Impatient()
    wait._poll = poll  # type: ignore[assignment]
    wait._cores = 1
    assert not wait._is_there(time.monotonic())
    assert poll.patience == [pace.PATIENCE]


def test_the_turn_is_one_tasks_at_a_time_and_a_cancelled_one_is_passed_over() -> None:
    inside: list[int] = []
    order: list[int] = []

    async def take(turn: pace._Turn, number: int) -> None:
        async with turn:
            inside.append(number)
            assert inside == [number]
            await trio.lowlevel.checkpoint()
            inside.remove(number)
            order.append(number)

    async def main() -> None:
        turn = pace._Turn()
        async with trio.open_nursery() as nursery, turn:
            given_up = trio.CancelScope()

            async def give_up() -> None:
                with given_up:
                    await take(turn, 0)

            nursery.start_soon(give_up)
            await trio.testing.wait_all_tasks_blocked()
            for number in range(1, 20):
                nursery.start_soon(take, turn, number)
            await trio.testing.wait_all_tasks_blocked()
            given_up.cancel()
        assert sorted(order) == list(range(1, 20))

    trio.run(main)


def test_the_hand_over_is_called_until_it_is_done() -> None:
    answers = [False, True]
    calls = []

    def before() -> bool:
        calls.append(answers[len(calls)])
        return calls[-1]

    async def main() -> None:
        reading, writing = os.pipe()
        os.write(writing, b"request")
        wait = pace._Wait(before)
        for _ in range(5):
            await wait(reading)
        os.close(reading)
        os.close(writing)

    trio.run(main)
    assert calls == [False, True]


def test_who_was_just_given_something_to_do_is_not_kept_from_it_by_a_wait_for_the_next_request() -> None:
    wait, order = pace._Wait(None), []

    class Poll:
        """The real one, which says when it waits."""

        def __init__(self, real: select.poll) -> None:
            self.register, self._real = real.register, real

        def poll(self, patience: int) -> list[tuple[int, int]]:
            order.append("wait")
            return self._real.poll(patience)

    async def work() -> None:
        order.append("work")
        os.write(writing, b"request")

    async def requested() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):  # until nobody else is seen to do anything
                os.write(writing, b"request")
                await wait(reading)
                os.read(reading, 100)
                await trio.sleep(0)
            del order[:]
            os.write(writing, b"request")
            await wait(reading)
            assert order == ["wait"], "nobody else was there, and the loop was asked"
            os.read(reading, 100)
            del order[:]
            nursery.start_soon(work)
            await wait(reading)
            assert order == ["work"]

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(requested, name="pyfuse-01")

    reading, writing = os.pipe()
    wait._poll = Poll(wait._poll)  # type: ignore[assignment]
    trio.run(main)
    os.close(reading)
    os.close(writing)
