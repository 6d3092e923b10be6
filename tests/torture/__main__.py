"""The campaign: `scripts/torture --minutes N --seed S [--only PART]…`, every part for its share of the time.

Prints what each part did, and exits with 1 where a promise was broken: each with the seed and the step to see it again.
To add a part: a function that works until its deadline and yields what was broken, and a line in `PARTS`.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from tests.torture import fuzz, hostile
from tests.torture.clients import Clients
from tests.torture.damage import fine, restoring
from tests.torture.hands import Hands
from tests.torture.imports import IMPORTS, Importers
from tests.torture.kills import Killed
from tests.torture.leaks import Leaks
from tests.torture.operations import EXPIRY, OPERATIONS
from tests.torture.power import FILE_SYSTEMS, Cuts
from tests.torture.records import Records, variants
from tests.torture.restores import Crashed, OfDocker, Restores, Trouble, ways_of
from tests.torture.starts import Starts
from tests.torture.steps import How
from tests.torture.world import World

LOAD = 20.0  # seconds of load before the power is cut
CYCLES = 100_000
TWICE = 0.3  # of the kills are followed by one of the next daemon
STEPS_OF_A_START = 50


@dataclass
class Turn:
    """A part's turn: where, until when (monotonic), and what came of it."""

    directory: Path
    seed: int
    deadline: float
    figures: str = ""
    broken: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.deadline

    def share(self, part: float) -> float:
        """The end of a part of the time that is left (monotonic)."""
        return time.monotonic() + (self.deadline - time.monotonic()) * part

    def try_all(self, act: Callable[..., None], places: list[Any], until: float) -> int:
        """Tries as many of the places as the time (monotonic) allows, in any order; how many there are."""
        waiting = list(places)
        Random(self.seed).shuffle(waiting)
        while waiting and time.monotonic() < until:
            place = waiting.pop()
            self.try_to(lambda place=place: act(*place))  # type: ignore[misc]
        return len(places)

    def try_to(self, act: Callable[[], None]) -> None:
        """Notes a broken promise, and goes on."""
        try:
            act()
        except (AssertionError, OSError) as error:
            self.broken.append(f"{error}" or repr(error))
            print(f"BROKEN, seed {self.seed}: {self.broken[-1]}", flush=True)


def kill(turn: Turn) -> None:
    """Each operation cut off at each of its steps; importers and adoptions at theirs."""
    shares = {1: 0.75, 2: 0.5, 3: 0.5, 4: 1.0}  # of the time that is left
    cuts = total = 0
    longest = 0.0
    for number, (operations, arguments) in enumerate(((OPERATIONS + IMPORTS, ()), (EXPIRY, ("--idle", "1s"))), 1):
        killed = Killed(turn.directory / f"kill{number}", *arguments)
        try:
            waiting = [cut for operation in operations for cut in killed.cuts_of(operation)]
            total += len(waiting)
            choose = Random(turn.seed)
            choose.shuffle(waiting)
            share = turn.share(shares[number])
            while waiting and time.monotonic() < share:
                cut = waiting.pop()
                if cut.how is not How.WITH_PARENT and choose.random() < TWICE:
                    cut = replace(cut, again=choose.randrange(1, STEPS_OF_A_START))
                turn.try_to(lambda killed=killed, cut=cut: killed.cut(cut))  # type: ignore[misc]
            cuts, longest = cuts + killed.cuts, max(longest, killed.longest)
        finally:
            killed.close()
    killed = Killed(turn.directory / "importers")
    try:
        importers = Importers(killed)
        total += turn.try_all(importers.cut, list(ways_of(importers.steps_of())), turn.share(shares[3]))
    finally:
        killed.close()
    adopted, places = _restores(turn, [OfDocker(serving=False), OfDocker(serving=True)], shares[4])
    cuts, total = cuts + importers.cuts + adopted, total + places
    turn.figures = f"{cuts} kills at {total} places, longest until whole again {longest:.1f} s"


def start(turn: Turn) -> None:
    """Restores, daemons and keepers cut off while they start, replace and stop."""
    cuts, _ = _restores(turn, [Crashed(lost=False), Crashed(lost=True)], 0.6)
    killed = Killed(turn.directory / "start")
    try:
        starts = Starts(killed)
        places = [(way, *place) for way in starts.ways for place in ways_of(starts.steps_of(way))]
        turn.try_all(starts.cut, places, turn.deadline)
        turn.figures = f"{cuts} restores and {starts.cuts} starts and stops cut off"
    finally:
        killed.close()


def _restores(turn: Turn, troubles: list[Trouble], share: float) -> tuple[int, int]:
    """Each kind of trouble brought in order and cut off, in a share of the time that is left; kills and places."""
    cuts = places = 0
    began, end = time.monotonic(), turn.share(share)
    for number, trouble in enumerate(troubles, 1):
        restores = Restores(turn.directory / f"trouble-{trouble.name.replace(' ', '-')}", trouble)
        try:
            places += turn.try_all(restores.cut, list(restores.ways()), began + (end - began) * number / len(troubles))
        finally:
            restores.close()
        cuts += restores.cuts
    return cuts, places


def hands(turn: Turn) -> None:
    """Mounts taken away by hand, processes killed, in any order."""
    choose = Random(turn.seed)
    rounds = worlds = 0
    while not turn.over:  # a world in which something broke is not used again
        worlds += 1
        world = World(turn.directory / f"world{worlds}")
        try:
            rough, broken = Hands(world), len(turn.broken)
            while not turn.over and len(turn.broken) == broken:
                turn.try_to(lambda rough=rough: rough.round(choose))  # type: ignore[misc]
        finally:
            world.close()
        rounds += rough.rounds
    turn.figures = f"{rounds} rounds"


def power(turn: Turn) -> None:
    """Power cuts on every file system that there is."""
    kinds = [kind for kind, (make, _, _) in FILE_SYSTEMS.items() if shutil.which(make[0])]
    figures = []
    for number, kind in enumerate(kinds):
        share = time.monotonic() + (turn.deadline - time.monotonic()) / (len(kinds) - number)
        cuts = Cuts(turn.directory / kind, kind, turn.seed)
        choose = Random(turn.seed)
        try:
            cuts.run(min(LOAD, (share - time.monotonic()) / 3))
            while time.monotonic() < share:
                turn.try_to(lambda cuts=cuts, choose=choose: cuts.cut(choose))  # type: ignore[misc]
        finally:
            cuts.close()
        of = f"{cuts.changes} changes and {cuts.flushes} flushes, {cuts.redone} done again"
        figures.append(f"{kind}: {cuts.count} images ({cuts.twice} cut twice) of {of}")
    turn.figures = "; ".join(figures)


def clients(turn: Turn) -> None:
    """Clients while daemons are killed and replaced."""
    world = World(turn.directory / "world")
    under_fire = Clients(world, turn.seed)
    try:
        turn.try_to(lambda: under_fire.run(turn.deadline - time.monotonic()))
    finally:
        world.close()
    waits = max(under_fire.longest.values(), default=0.0)
    turn.figures = (
        f"{under_fire.kills} kills, {under_fire.replaced} replaced, {sum(under_fire.done.values())} operations, "
        f"{sum(under_fire.repeated.values())} asked again, longest wait {waits:.1f} s"
    )


def leaks(turn: Turn) -> None:
    """A hundred thousand creates and removes, a million lookups."""
    world = World(turn.directory / "world")
    use = Leaks(world)
    try:
        turn.try_to(lambda: use.run(CYCLES, turn.deadline))
    finally:
        world.close()
    turn.figures = f"{use.cycles} creates and removes, {use.lookups} lookups; " + ", then ".join(map(str, use.held))


def parsers(turn: Turn) -> None:
    """Every parser under atheris."""
    if not fuzz.is_possible():
        turn.figures = f"not done: {fuzz.MISSING}"
        return
    done = fuzz.campaign(turn.directory, turn.seed, turn.deadline)
    for one in done.found:
        turn.broken.append(one)
        print(f"BROKEN, seed {turn.seed}: {one}", flush=True)
    turn.figures = str(done)


def damaged(turn: Turn) -> None:
    """Every byte of what a volume says of itself as every other, then accidents to the catalogue by seed."""
    done: Counter[str] = Counter()
    for kind, place in ((kind, turn.directory / kind) for kind in ("opts", "meta")):
        place.mkdir()
        records = Records(place)
        judge = records.with_opts if kind == "opts" else records.with_meta
        for text in variants(getattr(records, kind), every=True):
            turn.try_to(lambda text=text, judge=judge: done.update([f"records: {judge(text)}"]))  # type: ignore[misc]
        records.close()
    with restoring(turn.directory) as case:
        for seed in count(turn.seed * 1_000_000):
            if turn.over:
                break
            turn.try_to(lambda seed=seed: done.update([f"catalogues: {fine(case(seed), seed)}"]))  # type: ignore[misc]
    assert "Traceback" not in (turn.directory / "log").read_text(), "a traceback of a restore"
    turn.figures = ", ".join(f"{many} {what}" for what, many in sorted(done.items()))


def strangers(turn: Turn) -> None:
    """Any bytes on the sockets, any call on the view."""
    try:
        done = hostile.campaign((turn.deadline - time.monotonic()) / 60, turn.seed, turn.directory)
    except hostile.Finding as finding:
        raise AssertionError(str(finding)) from finding
    turn.figures = ", ".join(f"{count} {what}" for what, count in sorted(done.items()))


PARTS: dict[str, Callable[[Turn], None]] = {
    "kill": kill,
    "start": start,
    "hands": hands,
    "power": power,
    "clients": clients,
    "leaks": leaks,
    "fuzz": parsers,
    "damage": damaged,
    "hostile": strangers,
}


def turns(parts: list[str], minutes: float, seed: int) -> Iterator[tuple[str, Turn, float]]:
    """Each part in a directory of its own, which is gone afterwards; and the seconds that it took."""
    for part in parts:
        began = time.monotonic()
        directory = Path(tempfile.mkdtemp(prefix=f"volfs-{part}-"))
        turn = Turn(directory, seed, began + minutes * 60 / len(parts))
        try:
            turn.try_to(lambda part=part, turn=turn: PARTS[part](turn))  # type: ignore[misc]
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        yield part, turn, time.monotonic() - began


def main() -> int:
    """Runs the campaign; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long, all parts together")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same choices")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone; several are allowed")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    broken = 0
    for part, turn, seconds in turns(asked.only or list(PARTS), asked.minutes, asked.seed):
        broken += len(turn.broken)
        print(f"{part:8} {len(turn.broken)} broken  {seconds:5.0f} s  {turn.figures}", flush=True)
    if broken:
        print(f"{broken} promises broken; again with: --seed {asked.seed} --only PART", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
