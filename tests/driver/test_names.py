"""The names that a volume may have: Docker's rule, and no name that is more than a name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.driver.names import LONGEST, is_volume_name, parse_volume_name, quoted, volume_names
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


ANY = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=LONGEST + 1)  # of a directory's entry
OFTEN = st.text("ab0.-_", min_size=1, max_size=4)


@given(st.lists(OFTEN | ANY), st.integers(0, 3))
def test_the_names_of_a_directory_are_told_apart_in_batches_as_one_by_one(found, batches):
    found = found * 1000 * batches + found
    kept, others = volume_names(found)
    assert kept == [name for name in found if is_volume_name(name)]
    assert others == [name for name in found if not is_volume_name(name)]


@given(st.text())
def test_any_text_is_a_name_or_invalid_and_no_name_is_a_path(text):
    try:
        name = parse_volume_name(text)
    except Invalid as refused:
        assert "\n" not in str(refused)
    else:
        assert "/" not in name
        assert not name.startswith(".")
