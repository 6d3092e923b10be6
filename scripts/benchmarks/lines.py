"""What was measured: lines of values by who they are of, and what is said about them. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Line:
    """One row: `values` by competitor, volfs first, in `unit`; `goal` of the ratio volfs / `against`, "" for none.

    `better` is "less" for seconds and bytes, "more" for things a second.
    """

    part: str
    what: str
    unit: str
    values: dict[str, list[float]]
    against: str = ""
    goal: str = ""
    better: str = "less"
    notes: str = ""

    def ratio(self) -> float | None:
        """The median of volfs over that of the one it is compared with."""
        ours, theirs = self.values.get("volfs"), self.values.get(self.against)
        return median(ours) / median(theirs) if ours and theirs and median(theirs) else None

    def cell(self, who: str) -> str:
        """The median and how far the values lie apart: `0.84 ±12%`."""
        values = self.values.get(who)
        if not values:
            return "-"
        middle = median(values)
        spread = (max(values) - min(values)) / 2 / middle if middle else 0
        return f"{significant(middle)} ±{spread:.0%}" if len(values) > 1 else significant(middle)


@dataclass
class Results:
    """All lines of a run and what machine they are from."""

    machine: Mapping[str, str]
    lines: list[Line] = field(default_factory=list)


def significant(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value == 0:
        return "0"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def slower(new: Sequence[Line], old: Sequence[Line], tolerance: float = 1.25) -> list[str]:
    """What of `new` is worse than it was, by ratio where there is one: machines differ more than ratios do."""
    before = {(line.part, line.what): line for line in old}
    told = []
    for line in new:
        then = before.get((line.part, line.what))
        if then is None or not line.values.get("volfs") or not then.values.get("volfs"):
            continue
        now, was = line.ratio(), then.ratio()
        if now is None or was is None:
            now, was = median(line.values["volfs"]), median(then.values["volfs"])
        worse = now / was if line.better == "less" else was / now
        if was and worse > tolerance:
            told.append(f"{line.part}: {line.what}: {worse:.2f} times worse than before")
    return told
