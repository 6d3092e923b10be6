"""Texts of plugins and servers without the secrets that they were told."""

import json
import logging
import re
import timeit
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.driver.attach import resolved
from volfs.driver.discretion import discreet, secrets_of, shown_to_people, without, without_inside
from volfs.driver.options import MountSource
from volfs.errors import Conflict, HostError
from volfs.logs import JsonFormatter, TextFormatter
from volfs.masking import masked_text

SECRET = "hunter2"
TOLD = {
    "o": f"username=u,password={SECRET},ro",
    "device": f"//u:{SECRET}@host/share",
    "remote": f"sftp://host/x?token={SECRET}",
    "apikey": SECRET,
    "cifsopts": f"vers=3,cred={SECRET}",
}


@pytest.mark.parametrize("key", TOLD)
def test_a_secret_is_found_wherever_an_option_has_it(key):
    assert SECRET in secrets_of({key: TOLD[key]})
    assert SECRET not in json.dumps(shown_to_people({key: TOLD[key]}))


def test_what_is_no_secret_stays():
    options = {"o": "addr=10.0.0.1,rw", "device": ":/export", "size": "big"}
    assert (secrets_of(options), shown_to_people(options)) == (frozenset(), options)


@given(
    st.text(min_size=4), st.sampled_from([str, quote, json.dumps, lambda text: json.dumps(text, ensure_ascii=False)])
)
def test_a_secret_is_taken_out_of_a_text_however_it_writes_it(secret, written):
    mark = f"§{secret}§".replace("%", "")
    assert mark not in without(f"failed with {written(mark)} today", secrets_of({"password": mark}))
    assert written(mark).strip('"') not in without(f"failed with {written(mark)}", secrets_of({"password": mark}))


@given(st.text(st.characters(exclude_characters=",%@/"), min_size=4))
def test_a_comma_in_a_secret_hides_none_of_its_parts(secret):
    told = {"o": f"a=b,password={secret},,{secret}§,c=d"}
    assert f"{secret}§" not in without(f"mount: a=b,password={secret},,{secret}§,c=d", secrets_of(told))
    assert f"{secret}§" not in without(f"mount: <{secret},{secret}§>", secrets_of(told))


def test_a_text_that_was_cut_off_in_a_secret_does_not_tell_its_beginning():
    assert without("it said correct-horse-bat", secrets_of({"password": "correct-horse-battery"})) == "it said ********"


def test_the_half_of_a_password_that_is_taken_for_a_host_is_masked():
    told = {"type": "cifs", "device": "//u:battery/staple@host/share", "o": ""}
    with pytest.raises(HostError) as caught, discreet(told):
        resolved(MountSource(**told))
    assert "lookup u:********" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"o=user=u,passwd={SECRET},ro",
        f'{{"Password": "{SECRET}"}}',
        f'opts {{\\"token\\":\\"{SECRET}\\"}}',
        f"{{'secret': '{SECRET}'}}",
        f"map[password:{SECRET} user:x]",
        f"smb://u:{SECRET}@host",
        f"//u:p@{SECRET}@host",
        f"pass = {SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_masked_by_who_does_not_know_it(text):
    assert SECRET not in masked_text(text)


def test_a_line_without_a_secret_costs_little_more_than_to_be_looked_at():
    """A start may log a hundred thousand of them."""
    text = "volume adopted " * 20

    def times(deed):
        return min(timeit.repeat(deed, number=300, repeat=5))

    assert times(lambda: masked_text(text)) < 20 * times(lambda: re.search("pass|pwd|secret|cred|token|key", text))


@pytest.mark.parametrize("text", ["invalid key: foo", "passed 5 of 7", "unix:///run/token.sock", "a key", "host:80"])
def test_what_does_not_is_left_as_it_is(text):
    assert masked_text(text) == text


def test_an_error_keeps_its_kind_and_number_without_the_secret():
    with pytest.raises(HostError, match=r"^it said \*{8}$") as caught, discreet({"password": SECRET}):
        raise HostError(f"it said {SECRET}", 5)
    assert caught.value.errno == 5
    assert caught.value.__cause__ is None
    with pytest.raises(Conflict, match="nothing of it"), discreet({"password": SECRET}):
        raise Conflict("nothing of it")


def test_a_plugins_status_tells_nothing_of_it():
    told = {"opts": [f"password={SECRET}", {"a": SECRET}], "token": "abc", "n": 5, "pass": None}
    assert without_inside(told, secrets_of({"key": SECRET})) == {
        "opts": ["password=********", {"a": "********"}],
        "token": "********",
        "n": 5,
        "pass": None,
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_log_masks_what_looks_like_one_also_in_a_traceback(formatter):
    try:
        raise ValueError(f"mount failed: o=password={SECRET}")
    except ValueError as error:
        record = logging.makeLogRecord(
            {
                "msg": f"token={SECRET}",
                "why": f'{{"secret": "{SECRET}"}}',
                "exc_info": (type(error), error, error.__traceback__),
            }
        )
    line = formatter.format(record)
    assert SECRET not in line
    assert "ValueError" in line
    if isinstance(formatter, JsonFormatter):
        assert json.loads(line)["event"] == "token=********"
