"""Requests one after another, and everybody else's turn among them."""

import os
import time

import trio
import trio.testing

from volfs.view import pace


def test_requests_that_are_there_take_no_turn_of_the_loop_but_never_all_of_them() -> None:
    turns = without = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async def many() -> None:
        nonlocal without
        reading, writing = os.pipe()
        os.write(writing, b"request")
        wait = pace._Wait(None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(somebody_else)
            await trio.lowlevel.checkpoint()
            end = time.monotonic() + 20 * pace.STREAK
            while time.monotonic() < end:
                before = turns
                await wait(reading)
                without += turns == before
            nursery.cancel_scope.cancel()
        os.close(reading)
        os.close(writing)

    trio.run(many)
    assert turns > 1
    assert without > turns


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
