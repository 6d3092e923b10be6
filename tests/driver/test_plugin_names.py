"""Names of plugins' volumes as names of files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.driver.names import file_name, has_file_name, is_volume_name, name_of_file, parse_plugin_name
from volfs.errors import Invalid

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(
    ["..", ".", "a%2Fb", "%", "a/b"]
)


@given(NAMES)
def test_every_name_has_a_file_name_that_leads_back_to_it(name):
    file = file_name(name)
    assert "/" not in file
    assert "\0" not in file
    assert file not in ("", ".", "..")
    assert not file.startswith(".")
    assert file.isprintable() or not name.isprintable()
    assert name_of_file(file) == name


@given(NAMES, NAMES)
def test_two_names_never_share_a_file_name(one, other):
    assert (file_name(one) == file_name(other)) is (one == other)


@given(NAMES)
def test_a_local_name_is_its_own_file_name(name):
    assert not is_volume_name(name) or file_name(name) == name


@given(st.text())
def test_a_text_is_the_file_name_of_one_name_or_of_none(text):
    name = name_of_file(text)
    assert name is None or file_name(name) == text


def test_what_no_directory_can_hold_is_refused():
    assert parse_plugin_name("x" * 255) == "x" * 255
    for name in ("", "a\0b", "x" * 256, "é" * 128, "/" * 86):
        with pytest.raises(Invalid):
            parse_plugin_name(name)
    assert not has_file_name("/" * 86)
