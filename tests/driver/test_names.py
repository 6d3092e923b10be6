"""The names that a volume may have: Docker's rule, and no name that is more than a name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.driver.names import LONGEST, is_volume_name, parse_volume_name, quoted
from volfs.errors import Invalid


@pytest.mark.parametrize("name", ["ab", "0.", "a_b-c.d", "A" * LONGEST, "metadata.db"])
def test_a_name_of_the_rule_is_a_name(name):
    assert is_volume_name(name)
    assert parse_volume_name(name) == name


@pytest.mark.parametrize("name", ["a", "~", "/", "\n"])
def test_one_byte_is_too_short_whatever_it_is(name):
    with pytest.raises(Invalid, match="too short"):
        parse_volume_name(name)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".a", "-a", "_data", "a b", "a\n", "aé", "é", "a\0", "\udcff\udcff"])
def test_anything_else_is_quoted_in_the_refusal(name):
    assert not is_volume_name(name)
    with pytest.raises(Invalid, match="includes invalid characters") as caught:
        parse_volume_name(name)
    assert str(caught.value).startswith(quoted(name))


def test_one_byte_more_than_a_directory_may_have_is_too_long():
    with pytest.raises(Invalid, match="too long"):
        parse_volume_name("a" * (LONGEST + 1))


@given(st.text())
def test_any_text_is_a_name_or_invalid_and_no_name_is_a_path(text):
    try:
        name = parse_volume_name(text)
    except Invalid as refused:
        assert "\n" not in str(refused)
    else:
        assert "/" not in name
        assert not name.startswith(".")
