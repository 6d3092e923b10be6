"""Docker's filters: any text is filters or Invalid, and no pattern costs more than its length."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.errors import Invalid
from volfs.volume.filters import ANONYMOUS, LISTING, PRUNING, Filters, dangling, parse_filters
from volfs.volume.volume import Kind, Reference, Volume

USER = Reference("id", Kind.PLUGIN, "boot", 1)
LOOK = Reference("view", Kind.VIEW, "boot", 1)


def db(name="db", **fields):
    return Volume(name=name, serial=1, created=1, **fields)


def matches(filters, volume, references=(), allowed=LISTING):
    return parse_filters(json.dumps(filters), allowed).match(volume, references)


@pytest.mark.parametrize("text", ["", "{}", '{"label": []}', '{"driver": {}}'])
def test_no_filter_matches_everything(text):
    assert parse_filters(text, LISTING) == Filters()
    assert parse_filters(text, LISTING).match(db(), [USER])


@pytest.mark.parametrize("shape", [lambda one: [one], lambda one: {one: True}, lambda one: {one: False}])
def test_both_shapes_mean_the_same_and_the_key_counts_not_its_value(shape):
    assert matches({"name": shape("db")}, db())
    assert not matches({"name": shape("web")}, db())


@pytest.mark.parametrize(
    ("filters", "yes"),
    [
        ({"driver": ["local"]}, True),
        ({"driver": ["loc"]}, False),
        ({"driver": ["other", "local"]}, True),
        ({"name": ["d"]}, True),
        ({"name": ["^b$", "^d"]}, True),
        ({"name": ["b$"]}, True),
        ({"name": ["web"]}, False),
        ({"label": ["a"]}, True),
        ({"label": ["a=1"]}, True),
        ({"label": ["a=2"]}, False),
        ({"label": ["a=1", "b"]}, True),
        ({"label": ["a", "c"]}, False),
        ({"label": ["b="]}, True),
        ({"label": ["a="]}, False),
        ({"label": ["A"]}, False),
        ({"label": ["x=y"]}, False),
        ({"label": ["e=f=g"]}, True),
        ({"driver": ["local"], "name": ["web"]}, False),
    ],
)
def test_values_of_a_key_and_keys_go_together_as_with_docker(filters, yes):
    assert matches(filters, db(labels={"a": "1", "b": "", "e": "f=g"})) is yes


def test_a_volume_without_labels_has_none():
    assert not matches({"label": ["a"]}, db(labels=None))


def test_a_name_may_hold_what_means_something_in_a_pattern():
    assert matches({"name": ["a.b"]}, db("a.b"))
    assert matches({"name": ["a.b"]}, db("axb"))  # Docker's too: a name that is no name is a pattern


@pytest.mark.parametrize("pattern", ["(", "*", r"(a)\1", "(?=a)", "(?<!a)b", "[", "a{1,100000}"])
def test_a_pattern_that_go_does_not_know_matches_nothing_and_is_no_error(pattern):
    assert not matches({"name": [pattern]}, db("aa"))
    assert matches({"name": [pattern, "aa"]}, db("aa"))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)*$", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_catastrophic_pattern_takes_about_as_long_as_a_harmless_one(pattern):
    """Backtracking takes 2 to the power of 200 steps here: a test that does so never ends."""
    assert seconds(pattern) < 1000 * seconds("b")


def seconds(pattern):
    filters = parse_filters(json.dumps({"name": [pattern]}), LISTING)
    began = time.perf_counter()
    for _ in range(300):
        filters.match(db("a" * 254 + "-"), ())
    return time.perf_counter() - began


def test_dangling_is_what_nobody_uses_but_looks_do_not_count():
    assert dangling(())
    assert dangling([LOOK])
    assert not dangling([LOOK, USER])
    for yes in ("1", "true"):
        assert matches({"dangling": [yes]}, db(), [LOOK])
        assert not matches({"dangling": {yes: False}}, db(), [USER])
    for no in ("0", "false"):
        assert matches({"dangling": [no]}, db(), [USER])
        assert not matches({"dangling": [no]}, db(), ())


def test_label_not_keeps_what_has_any_of_them():
    for label in ("a", "a=1", "b"):
        assert not matches({"label!": [label, "zz"]}, db(labels={"a": "1", "b": ""}), allowed=PRUNING)
    assert matches({"label!": ["a=2", "zz"]}, db(labels={"a": "1"}), allowed=PRUNING)


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_all_is_read_as_go_reads_it(text):
    assert parse_filters(json.dumps({"all": [text]}), PRUNING).all
    assert not parse_filters('{"all": ["F"]}', PRUNING).all


@pytest.mark.parametrize(
    ("text", "allowed", "message"),
    [
        ('{"dangling": ["maybe"]}', LISTING, "invalid filter 'dangling=[maybe]'"),
        ('{"dangling": ["True"]}', LISTING, "invalid filter 'dangling=[True]'"),
        ('{"dangling": ["true", "false"]}', LISTING, "invalid filter 'dangling=[true false]'"),
        ('{"dangling": []}', LISTING, "invalid filter 'dangling=[]'"),
        ('{"FOO": ["a"]}', LISTING, "invalid filter 'FOO'"),
        ('{"FOO": []}', LISTING, "invalid filter 'FOO'"),
        ('{"label!": ["a"]}', LISTING, "invalid filter 'label!'"),
        ('{"all": ["1"]}', LISTING, "invalid filter 'all'"),
        ('{"name": ["a"]}', PRUNING, "invalid filter 'name'"),
        ('{"dangling": ["1"]}', PRUNING, "invalid filter 'dangling'"),
        ('{"all": ["true", "false"]}', PRUNING, "invalid filter 'all=[true false]': only one value is expected"),
        (
            '{"all": ["x"]}',
            PRUNING,
            "invalid filter 'all': strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
        ("{", LISTING, "error reading volume filters: invalid filter"),
        ("[]", LISTING, "error reading volume filters: invalid filter"),
        ('{"name": "a"}', LISTING, "error reading volume filters: invalid filter"),
        ('{"name": [1]}', LISTING, "error reading volume filters: invalid filter"),
        ('{"name": {"a": "b"}}', LISTING, "error reading volume filters: invalid filter"),
        ('{"name": ["\udc80"]}', LISTING, "error reading volume filters: invalid filter"),
    ],
)
def test_wrong_filters_are_refused_in_dockers_words(text, allowed, message):
    with pytest.raises(Invalid) as caught:
        parse_filters(text, allowed)
    assert str(caught.value) == message


VALUES = st.lists(st.text(max_size=8), max_size=3) | st.dictionaries(st.text(max_size=8), st.booleans(), max_size=3)
KEYS = st.sampled_from(["name", "label", "label!", "dangling", "driver", "all"]) | st.text(max_size=4)
ANY = st.text() | st.dictionaries(KEYS, VALUES, max_size=3).map(json.dumps)


@given(ANY, st.sampled_from([LISTING, PRUNING]))
def test_any_text_is_filters_or_invalid(text, allowed):
    try:
        filters = parse_filters(text, allowed)
    except Invalid as error:
        assert str(error)
    else:
        assert filters.match(db(labels={ANONYMOUS: ""}), [LOOK]) in (True, False)
