"""What was measured: lines of values by who they are of, their goals, and what is said about both. Pure.

A goal is a text: `volfs <= 0.1 dockerd` is about the ratio of two medians, `volfs < 0.02` about one in the line's unit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import ge, gt, le, lt
from statistics import median

_SIGNS = {"<=": le, "<": lt, ">=": ge, ">": gt}
OURS = ("volfs", "fuse")
"""`fuse` is volfs with `--data-plane fuse`."""


@dataclass
class Line:
    """One row: `values` by competitor, one a round, in `unit`.

    `better` is "less" for seconds and bytes, "more" for things a second.
    """

    part: str
    what: str
    unit: str
    values: dict[str, list[float]]
    goals: Sequence[str] = ()
    better: str = "less"
    notes: str = ""

    def ratio(self, who: str, against: str) -> float | None:
        """The median of one over that of another."""
        ours, theirs = self.values.get(who), self.values.get(against)
        return median(ours) / median(theirs) if ours and theirs and median(theirs) else None

    def cell(self, who: str) -> str:
        """The median and how far the values lie apart: `0.84 ±12%`."""
        values = self.values.get(who)
        if not values:
            return ""
        middle = median(values)
        spread = (max(values) - min(values)) / 2 / middle if middle else 0
        return f"{significant(middle)} ±{spread:.0%}" if len(values) > 1 else significant(middle)

    def verdict(self, goal: str) -> str:
        """The goal, the figure it is about, and whether it is met: `0.07 of dockerd, <= 0.1: met`.

        `in the noise`: missed by the medians, while some of the rounds meet it.
        """
        who, sign, bound, *against = goal.split()
        if not self.values.get(who) or not all(self.values.get(name) for name in against):
            return ""
        figure = self.ratio(who, against[0]) if against else median(self.values[who])
        if figure is None:
            return ""
        rounds = self.values[who]
        if against:
            rounds = [ours / theirs for ours, theirs in zip(rounds, self.values[against[0]], strict=False) if theirs]
        met = _SIGNS[sign]
        said = "met" if met(figure, float(bound)) else "missed"
        if said == "missed" and sum(met(value, float(bound)) for value in rounds) * 3 >= len(rounds) > 1:
            said = "in the noise"
        subject = "" if who == "volfs" else f"{who} "
        return f"{subject}{significant(figure)}{f' of {against[0]}' if against else ''}, {sign} {bound}: {said}"


@dataclass
class Results:
    """All lines of a run and what machine they are from."""

    machine: Mapping[str, str]
    lines: list[Line] = field(default_factory=list)


def significant(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value == 0:
        return "0"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def slower(new: Sequence[Line], old: Sequence[Line], tolerance: float = 1.25) -> list[str]:
    """What of `new` is worse than it was, by ratio where there is a peer: machines differ more than ratios do."""
    before = {(line.part, line.what): line for line in old}
    told = []
    for line in new:
        then = before.get((line.part, line.what))
        if then is None or line.better not in ("less", "more"):
            continue
        for who in OURS:
            now, was = _comparable(line, who), _comparable(then, who)
            if not now or not was:
                continue
            worse = now / was if line.better == "less" else was / now
            if worse > tolerance:
                told.append(f"{line.part}: {line.what}: {who} {worse:.2f} times worse than before")
    return told


def _comparable(line: Line, who: str) -> float | None:
    for peer in line.values:
        if peer not in OURS and line.values.get(who):
            return line.ratio(who, peer)
    return median(line.values[who]) if line.values.get(who) else None
