"""How often binds are looked at where there are too many; that they go is seen in real views (`tests/journeys`)."""

import math
import time

import trio
from trio.testing import MockClock

from volfs.view.expiry import AT_ONCE, Binding, Expiry

MOST = 64


def looks_in_a_minute(bindings: dict[int, Binding]) -> int:
    """At binds that are all in use."""
    looks = 0

    class InUse(Expiry):
        def _take_away(self, nursery: object, some: dict[int, Binding], way: object) -> list[trio.Event]:
            nonlocal looks
            looks += len(some)
            return []

    async def main() -> None:
        with trio.move_on_after(60):
            await InUse(None, bindings, str, math.inf, MOST).run()  # type: ignore[arg-type]

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return looks


def bound(count: int, *, hanging: int = 0) -> dict[int, Binding]:
    """So many binds that were placed long ago, and some that never are."""
    made = {serial: Binding(f"v{serial}", placed=time.monotonic() - 60) for serial in range(count)}
    for one in made.values():
        one.done.set()
    return made | {count + number: Binding(f"hanging{number}") for number in range(hanging)}


def test_no_more_than_wanted_are_never_looked_at():
    assert looks_in_a_minute(bound(MOST)) == 0


def test_binds_in_use_are_looked_at_once_and_then_left_alone_though_others_hang():
    for hanging in (0, MOST):
        assert 0 < looks_in_a_minute(bound(200, hanging=hanging)) <= 2 * AT_ONCE
