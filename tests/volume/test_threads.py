"""Threads for what blocks, with hands that hang until the test lets them go."""

import threading

import pytest
import trio

from volfs.volume.threads import AT_ONCE, OF_ONE, Threads

pytestmark = pytest.mark.anyio


@pytest.fixture
async def threads():
    """Threads that are watched over; what hangs in them is let go at the end."""
    made = Threads()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.watch)
        yield made
        nursery.cancel_scope.cancel()


class Hanging:
    """A hand that hangs. `inside`: how many are in it now."""

    def __init__(self):
        self.inside = 0
        self._lock, self._go = threading.Lock(), threading.Event()

    def __call__(self):
        with self._lock:
            self.inside += 1
        self._go.wait(60)

    def end(self):
        self._go.set()


@pytest.fixture
def hang():
    hanging = Hanging()
    yield hanging
    hanging.end()


async def until(true):
    with trio.fail_after(20):
        while not true():
            await trio.sleep(0.01)


async def test_many_that_hang_keep_nobody_else_from_a_thread(threads, hang):
    async with trio.open_nursery() as nursery:
        for number in range(3 * AT_ONCE):
            nursery.start_soon(lambda number=number: threads.run(hang, of=f"v{number}"))
        await until(lambda: hang.inside == 3 * AT_ONCE)
        with trio.fail_after(20):
            assert await threads.run(lambda: "done", of="other") == "done"
        hang.end()


async def test_a_volume_has_a_few_threads_however_many_ask_for_it(threads, hang):
    async with trio.open_nursery() as nursery:
        for _ in range(5 * OF_ONE):
            nursery.start_soon(lambda: threads.run(hang, of="hung"))
        await until(lambda: hang.inside == OF_ONE)
        with trio.fail_after(20):
            assert await threads.run(lambda: "done", of="other") == "done"
        assert hang.inside == OF_ONE
        hang.end()
    assert hang.inside == 5 * OF_ONE


async def test_of_what_does_not_hang_there_are_only_so_many_threads_at_once(hang):
    """Nobody watches here, so nobody is excused: as in the first moment."""
    alone = Threads()
    async with trio.open_nursery() as nursery:
        for number in range(2 * AT_ONCE):
            nursery.start_soon(lambda number=number: alone.run(hang, of=f"v{number}"))
        await until(lambda: hang.inside == AT_ONCE)
        with trio.move_on_after(0.2) as waited:
            await alone.run(lambda: None)
        assert waited.cancelled_caught
        assert hang.inside == AT_ONCE
        hang.end()


async def test_when_those_that_hung_have_come_back_the_old_bound_holds_again(threads, hang):
    async with trio.open_nursery() as nursery:
        for number in range(2 * AT_ONCE):
            nursery.start_soon(lambda number=number: threads.run(hang, of=f"v{number}"))
        await until(lambda: hang.inside == 2 * AT_ONCE)
        hang.end()
    again = Hanging()
    async with trio.open_nursery() as nursery:
        for number in range(AT_ONCE):
            nursery.start_soon(lambda number=number: threads.run(again, of=f"v{number}"))
        await until(lambda: again.inside == AT_ONCE)
        assert threads._places._limiter.total_tokens == AT_ONCE
        again.end()


async def test_an_error_is_the_callers_and_gives_the_place_back(threads):
    def fail():
        raise OSError("no")

    for _ in range(2 * AT_ONCE):
        with pytest.raises(OSError, match="no"):
            await threads.run(fail, of="db")
    assert threads._own == {}
