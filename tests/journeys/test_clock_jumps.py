"""The time of day jumps, by years, forward and back: nobody waits for it, and what was noted stays as it was noted.

The other clock, which counts from boot, does not jump on Linux: every pause and deadline is by that one.
"""

import contextlib
import json
import mmap
import os
import struct
import subprocess
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.conftest import UnixConnection, until
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
SOURCE = Path(__file__).with_name("clock.c")
YEAR = 365 * 24 * 3600


class Clock:
    """The time of day as volfs' processes see it; this host's is never touched."""

    def __init__(self, directory):
        library, shared = directory / "clock.so", directory / "clock"
        command = ["gcc", "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        shared.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "VOLFS_CLOCK": str(shared)}
        with shared.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)

    def jump(self, seconds):
        """It is so much later than it is."""
        self._shared[:] = struct.pack("=q", seconds)

    def now(self):
        return time.time() + struct.unpack("=q", self._shared[:])[0]


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def close_to(text, seconds):
    """Whether a time as volfs writes it is this one, within a minute."""
    return abs(datetime.fromisoformat(text).timestamp() - seconds) < 60


def noted(served):
    """What is on record of each volume, by name, in the view and by the API."""
    listed = {one["Name"]: one["CreatedAt"] for one in served.request("GET", "/volumes")[1]["Volumes"]}
    metas = {name: json.loads((served.view / name / "meta").read_text()) for name in os.listdir(served.view)}
    assert {name: one["CreatedAt"] for name, one in metas.items()} == listed
    assert {one["Status"]["State"] for one in metas.values()} <= {"ok"}
    return listed


def dated(served):
    """What the API's server says that time it is."""
    connection = UnixConnection(served.socket)
    with contextlib.closing(connection):
        connection.request("GET", "/_ping")
        answer = connection.getresponse()
        answer.read()
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()


def users(served, name):
    return json.loads((served.view / name / "meta").read_text())["UsedBy"]


def test_whatever_time_it_is_said_to_be_everything_goes_on_and_what_was_noted_stays(serve, clock):
    served = serve("--idle", "0.3s", environment=clock.environment)
    made = {}
    jumps = {"now": 0, "later": 50 * YEAR, "at first": int(100 - time.time()), "later still": 200 * YEAR, "again": 0}
    for number, (name, seconds) in enumerate(jumps.items()):
        name = name.replace(" ", "-")
        clock.jump(seconds)
        made[name] = served.create(name)["CreatedAt"]
        assert close_to(made[name], clock.now()), name
        assert abs(dated(served) - clock.now()) < 60
        (served.view / name / "_data" / "file").write_text("kept")
        until(lambda name=name: users(served, name))  # whoever looks is put on record afterwards
        [view] = users(served, name)
        assert close_to(view["Since"], clock.now())
        until(lambda name=name: str(served.view / name / "_data") not in served.mounts())  # idle, by the other clock
        assert served.request("GET", "/system/df")[0] == 200
        assert noted(served) == made
        served.kill_daemon()
        served.ready(2 * number + 2)
        assert noted(served) == made
        assert served.stop() == 0
        served.start()
        assert noted(served) == made
        assert (served.view / name / "_data" / "file").read_text() == "kept"


def test_a_catalogue_that_is_lost_while_the_clock_is_wrong_is_rebuilt_with_everybodys_own_data(serve, clock):
    """Numbers of volumes begin at the time of day then; a kernel may have cached others at these."""
    served = serve(environment=clock.environment)
    for name in ("one", "two", "three"):
        served.create(name)
        (served.view / name / "_data" / "file").write_text(name)
    made = noted(served)
    for seconds in (50 * YEAR, int(100 - time.time()), 0):
        clock.jump(seconds)
        (served.root / "volumes" / "metadata.mdb").unlink()
        served.kill_daemon()
        until(lambda: noted(served) == made)
        assert {(served.view / name / "_data" / "file").read_text() for name in made} == set(made)
        for name in made:
            assert (served.view / name / "_data" / "file").read_text() == name


def test_an_event_is_told_with_the_time_that_it_is_said_to_be(serve, clock):
    served = serve(environment=clock.environment)
    clock.jump(-20 * YEAR)
    served.create("db")
    now = int(clock.now())
    connection = UnixConnection(served.socket)
    with contextlib.closing(connection):
        connection.request("GET", f"/events?since={now - 60}&until={now + 2}")
        lines = connection.getresponse().read().splitlines()  # ends two seconds later by that clock
    [event] = map(json.loads, lines)
    assert (event["Action"], event["Actor"]["ID"]) == ("create", "db")
    assert datetime.fromtimestamp(event["time"], UTC).year == datetime.fromtimestamp(now, UTC).year
