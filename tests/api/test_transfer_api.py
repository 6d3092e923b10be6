"""`GET /volfs/hold` and `POST /volfs/publish` as a program meets them."""

import contextlib
import json

import pytest

from tests.conftest import UnixConnection, until


@pytest.fixture
def hold(served):
    """Opens a hold: (connection, its first line)."""
    with contextlib.ExitStack() as stack:

        def ask(name):
            connection = stack.enter_context(contextlib.closing(UnixConnection(served.socket)))
            connection.request("GET", f"/volfs/hold?name={name}&for=export")
            answer = stack.enter_context(connection.getresponse())
            assert answer.status == 200
            return connection, json.loads(answer.readline())

        yield ask


def users(served, name):
    return [one["Id"] for one in served.request("GET", f"/volumes/{name}")[1]["UsedBy"]]


def test_each_connection_is_a_user_until_it_is_closed(served, hold):
    served.create("db")
    (first, told), (_, other) = hold("db"), hold("db")
    assert told["Mountpoint"] == str(served.root / "volumes/db/_data") and told["Name"] == "db"
    assert sorted(users(served, "db")) == sorted([told["User"], other["User"]])
    assert served.request("DELETE", "/volumes/db")[0] == 409
    first.close()
    until(lambda: users(served, "db") == [other["User"]])


def test_what_cannot_be_held(served):
    assert served.request("GET", "/volfs/hold?name=nope&for=export")[0] == 404
    assert served.request("GET", "/volfs/hold?for=export")[0] == 404
    assert served.request("GET", "/volfs/hold?name=db&for=fun")[0] == 400
    served.create("db")
    (served.root / "volumes/db/_data").rmdir()
    status, answer = served.request("GET", "/volfs/hold?name=db&for=import")
    assert status == 503 and "db" in answer["message"] and users(served, "db") == []


def test_what_cannot_be_published(served):
    good = {"Source": "0", "Inode": 1, "Name": "db", "Created": 1}
    asked = [
        {},
        {"Work": "x", "Volumes": [{}]},
        {"Work": "x", "Volumes": [{**good, "Labels": {"a": 1}}]},
        {"Work": "../x", "Volumes": [good]},
        {"Work": "/etc", "Volumes": [good]},
        {"Work": ".importing-0123456789abcdef", "Volumes": [{**good, "Source": ".."}]},
        {"Work": ".importing-0123456789abcdef", "Volumes": [{**good, "Created": 1 << 62}]},
    ]
    for body in asked:
        status, answer = served.request("POST", "/volfs/publish", body)
        assert status == 400, (body, answer)
    gone = {"Work": ".importing-0123456789abcdef", "Volumes": [good]}
    assert served.request("POST", "/volfs/publish", gone)[0] == 404
    assert served.request("GET", "/volumes")[1]["Volumes"] == []
