"""`GET /events`: what the query means, and what is sent."""

import contextlib
import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import UnixConnection
from volfs.api.events import parse_wanted, shown_event
from volfs.errors import Invalid
from volfs.volume.events import Event

EVENT = Event("create", "database", 1_700_000_000_123_456_789, {"driver": "local"})


def test_an_event_is_shown_as_docker_does():
    assert shown_event(EVENT) == {
        "Type": "volume",
        "Action": "create",
        "Actor": {"ID": "database", "Attributes": {"driver": "local"}},
        "scope": "local",
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_123_456_789,
    }


def test_times_are_seconds_with_nanoseconds():
    wanted = parse_wanted("1700000000.000000001", "1700000001.5", "")
    assert (wanted.since, wanted.until) == (1_700_000_000_000_000_001, 1_700_000_001_500_000_000)
    assert parse_wanted("", "", "") == parse_wanted("", "", "{}")
    assert (parse_wanted("", "", "").since, parse_wanted("", "", "").until) == (None, math.inf)


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        ("", True),
        ('{"type":["volume"]}', True),
        ('{"type":{"container":true}}', False),
        ('{"type":["container","volume"]}', True),
        ('{"event":{"create":true,"destroy":true}}', True),
        ('{"event":["destroy"]}', False),
        ('{"volume":["data"]}', True),
        ('{"volume":["base"]}', False),
        ('{"volume":["data"],"event":["mount"]}', False),
        ('{"label":["driver"]}', True),
        ('{"label":["driver=local"]}', True),
        ('{"label":["driver=other"]}', False),
        ('{"scope":["local"]}', True),
        ('{"container":["c0ffee"]}', False),
        ('{"volume":[]}', True),
        ('{"volume":{"x":false}}', False),
        ("null", True),
    ],
)
def test_a_filter_matches_as_dockers_do(filters, matches):
    assert parse_wanted("", "", filters).match(EVENT) is matches


@pytest.mark.parametrize("query", [("x", "", ""), ("", "1m", ""), ("2", "1", ""), ("", "", "["), ("", "", '{"a":1}')])
def test_what_cannot_be_read_is_refused(query):
    with pytest.raises(Invalid):
        parse_wanted(*query)


@given(st.text(), st.text(), st.text())
def test_any_query_is_understood_or_refused(since, until, filters):
    with contextlib.suppress(Invalid):
        parse_wanted(since, until, filters).match(EVENT)


def events(served, query):
    """The events until `until`, which a request must name."""
    connection = UnixConnection(served.socket)
    with contextlib.closing(connection):
        connection.request("GET", f"/v1.44/events?{query}")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        return [json.loads(line) for line in answer.read().splitlines()]


def test_what_happened_is_told_to_who_asks_later_and_until_then(served):
    began = time.time() - 1
    served.create("db")
    served.create("db")
    served.create("other")
    served.request("DELETE", "/volumes/db")
    served.request("POST", "/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D")
    found = events(served, f"since={began:.6f}&until={time.time():.6f}")
    assert [(one["Action"], one["Actor"]["ID"]) for one in found] == [
        ("create", "db"),
        ("create", "other"),
        ("destroy", "db"),
        ("destroy", "other"),
        ("prune", ""),
    ], "creating what is there already is no event"
    assert found[-1]["Actor"]["Attributes"] == {"reclaimed": "0"}
    assert events(served, f"until={time.time():.6f}") == [], "without since, only what is new"


def test_use_by_a_container_is_told_and_looking_is_not(serve, tmp_path):
    socket = tmp_path / "plugin.sock"
    served = serve("--plugin-socket", str(socket))
    began = time.time() - 1
    served.create("db")
    (served.view / "db" / "_data" / "file").write_text("looked")
    engine, served.socket = served.socket, socket
    for call in ("Mount", "Mount", "Unmount", "Unmount"):
        assert served.request("POST", f"/VolumeDriver.{call}", {"Name": "db", "ID": "c0ffee"})[0] == 200
    served.socket = engine
    found = events(served, f"since={began:.6f}&until={time.time():.6f}")
    assert [one["Action"] for one in found] == ["create", "mount", "unmount"]
    assert found[1]["Actor"]["Attributes"] == {"driver": "local", "container": "c0ffee"}


def test_a_bad_query_is_answered_with_its_reason(served):
    status, answer = served.request("GET", "/events?since=yesterday")
    assert (status, "yesterday" in answer["message"]) == (400, True)


def test_info_says_what_is_true(served):
    status, answer = served.request("GET", "/info")
    assert (status, answer["DockerRootDir"], answer["OSType"]) == (200, str(served.root), "linux")
    assert answer["Plugins"]["Volume"] == ["local"]
