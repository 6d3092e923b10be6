"""The pure parts: words to values, values to text."""

import contextlib

import click
import pytest
from hypothesis import given
from hypothesis import strategies as some

from volfs.cli import answers, arguments
from volfs.cli.client import BadAnswer
from volfs.cli.output import aligned, human_size, printable

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.sampled_from(["Volumes", "Warnings", "Name", "x"]), inner),
)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_048_576, "1.049MB"), (123_456_789, "123.5MB"), (10**20, "100EB")],
)
def test_sizes_read_as_dockers_do(size, text):
    assert human_size(size) == text


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("30s", 30), ("5m", 300), ("1.5h", 5400), ("200ms", 0.2)])
def test_lengths_of_time(text, value):
    assert arguments.seconds(text) == value


@given(some.text())
def test_any_text_is_a_length_of_time_or_a_usage_error(text):
    with contextlib.suppress(click.UsageError):
        assert arguments.seconds(text) > 0


@given(JSON)
def test_any_answer_is_a_listing_or_a_bad_answer(value):
    for meaning in answers.listing, answers.pruned, answers.volume:
        try:
            found = meaning(value)
        except BadAnswer:
            continue
        if meaning is answers.listing:
            assert all(answers.row(volume).name == volume["Name"] for volume in found[0])


@given(some.text())
def test_printable_text_stays_in_its_line(text):
    assert printable(text).isprintable()


@given(some.lists(some.tuples(some.text(), some.text()), min_size=1))
def test_columns_are_aligned(rows):
    shown = [[printable(cell) for cell in row] for row in rows]
    second = max(len(row[0]) for row in shown) + 3
    for line, row in zip(aligned(shown).split("\n"), shown, strict=True):
        assert line == (row[0].ljust(second) + row[1]).rstrip()
