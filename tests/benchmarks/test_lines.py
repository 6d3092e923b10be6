"""What the benchmarks say of their goals, and of results that got worse."""

import re

import pytest

from scripts.benchmarks.lines import Line, significant, slower
from scripts.benchmarks.plot import pictures


def _line(ours, theirs=None, goals=(), better="less", what="stat"):
    values = {"volfs": ours} | ({"native": theirs} if theirs else {})
    return Line("part", what, "s", values, goals, better)


@pytest.mark.parametrize(
    ("ours", "theirs", "goal", "said"),
    [
        ([1, 2, 3], [4, 4, 4], "volfs <= 0.5 native", "0.500 of native, <= 0.5: met"),
        ([3, 3, 3], [4, 4, 4], "volfs <= 0.5 native", "0.750 of native, <= 0.5: missed"),
        ([1, 3, 3], [4, 4, 4], "volfs <= 0.5 native", "0.750 of native, <= 0.5: in the noise"),
        ([1, 3, 3, 3], [4, 4, 4, 4], "volfs <= 0.5 native", "0.750 of native, <= 0.5: missed"),
        ([0.01], None, "volfs < 0.02", "0.0100, < 0.02: met"),
        ([0.02], None, "volfs < 0.02", "0.0200, < 0.02: missed"),
        ([95], [100], "volfs >= 0.97 native", "0.950 of native, >= 0.97: missed"),
        ([1], None, "volfs <= 1 native", ""),
        ([1], None, "fuse <= 1", ""),
    ],
)
def test_a_goal_is_met_by_the_medians_or_missed_or_in_the_noise(ours, theirs, goal, said):
    assert _line(ours, theirs).verdict(goal) == said


def test_what_got_worse_beside_its_peer_is_told_however_fast_the_machine_is():
    old = [_line([1], [2]), _line([5], what="alone"), _line([10], [10], better="more", what="rate")]
    same = [_line([10], [20]), _line([5.5], what="alone"), _line([1], [1], better="more", what="rate")]
    worse = [_line([10], [10]), _line([10], what="alone"), _line([5], [10], better="more", what="rate")]
    assert slower(same, old) == []
    assert slower(worse, old) == [
        "part: stat: volfs 2.00 times worse than before",
        "part: alone: volfs 2.00 times worse than before",
        "part: rate: volfs 2.00 times worse than before",
    ]
    assert slower(worse, []) == []


def test_three_digits_count():
    assert [significant(value) for value in (0, 0.012345, 1.2345, 123456)] == ["0", "0.0123", "1.23", "123,456"]


def test_a_picture_names_everybody_and_is_readable_on_light_and_dark():
    drawn = pictures([_line([1, 2, 3], [4, 5, 6], what="a < b"), _line([1], what="without a peer")])
    assert list(drawn) == ["part"]
    assert "a &lt; b" in drawn["part"] and "without a peer" not in drawn["part"]
    assert "prefers-color-scheme:dark" in drawn["part"]
    widths = [float(width) for width in re.findall(r'<rect class="\w+" [^>]*width="([\d.]+)"', drawn["part"])]
    assert widths == [100, 250], "as 2 is to 5"
