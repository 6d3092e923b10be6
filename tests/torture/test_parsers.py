"""Any bytes are a value or a refusal, for every parser that there is; the same table is fuzzed by `scripts/torture`."""

import importlib
import inspect
import pkgutil
import re
import sys
from contextlib import suppress
from types import FunctionType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import volfs
from tests.torture.parsers import PARSERS

PIECES = [
    b"\0",
    b"\xff",
    b'"',
    b"\\u",
    b"{",
    b"[",
    b",",
    b"=",
    b"/",
    b"..",
    b"%",
    b"\n",
    b"-1",
    b"null",
    b"9" * 25,
    b"\xed\xa0\x80",
]
EDITS = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.integers(0, 9), st.binary(max_size=4) | st.sampled_from(PIECES)), max_size=4
)


def edited(seed, edits):
    """A text after some accidents: at a place, so many bytes become these."""
    text = seed
    for position, lost, new in edits:
        at = position % (len(text) + 1)
        text = text[:at] + new + text[at + lost :]
    return text


@pytest.mark.parametrize("name", PARSERS)
def test_any_bytes_are_a_value_or_a_refusal(name):
    parser = PARSERS[name]

    @settings(max_examples=60)
    @given(st.binary(max_size=400) | st.builds(edited, st.sampled_from(parser.seeds), EDITS))
    def read(data):
        parser.try_on(data)

    read()


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_nested_deeply_or_very_long_is_a_value_or_a_refusal(name):
    parser = PARSERS[name]
    for piece in (
        b"[",
        b'{"a":',
        b'{"Volumes":[',
        b'{"Owner":[',
        b"\0",
        b",",
        b"a=",
        b"9",
        b"/a",
        b"(",
        b'"',
        b"%41",
        b"\\",
    ):
        for begin in (b"", b'{"x":', *parser.seeds[:1]):
            with suppress(*parser.refusals):
                parser.read(begin + piece * 5_000)


@pytest.mark.parametrize("name", PARSERS)
def test_some_text_to_begin_from_is_a_value(name):
    """Else its parser would be tried on what it refuses at its first byte."""
    parser = PARSERS[name]

    def is_value(seed):
        with suppress(*parser.refusals):
            parser.read(seed)
            return True
        return False

    assert any(map(is_value, parser.seeds))


def test_every_function_that_parses_is_reached_from_the_table():
    wanted = {
        function.__code__: name
        for name, function in functions()
        if re.match(r"_?(parse|decode|from)", function.__name__)
    }
    assert len(wanted) > 25
    reached = set()
    sys.setprofile(lambda frame, event, _: reached.add(frame.f_code) if event == "call" else None)
    try:
        for parser in PARSERS.values():
            for seed in parser.seeds:
                with suppress(*parser.refusals):
                    parser.read(seed)
    finally:
        sys.setprofile(None)
    assert sorted(name for code, name in wanted.items() if code not in reached) == []


def functions():
    """Every function of volfs, those of classes too, by its full name."""
    for found in pkgutil.walk_packages(volfs.__path__, "volfs."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for owner in (
            module,
            *(one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == found.name),
        ):
            for name, value in vars(owner).items():
                function = getattr(value, "__func__", value)
                if isinstance(function, FunctionType) and function.__module__ == found.name:
                    yield f"{found.name}.{name}", function
