"""What Docker's local driver does not keep to, and volfs does: each test is named after the promise."""

import json
import os
import time
from urllib.parse import quote

import pytest

from tests.conftest import until
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
TMPFS = {"type": "tmpfs", "device": "tmpfs"}
MANY = 60_000


def data(served, name):
    return served.root / "volumes" / name / "_data"


@pytest.mark.parametrize("path", ["/volumes/busy", "/volumes/busy?force=1"])
def test_a_busy_volume_is_refused_before_anything_is_deleted(served, path):
    served.create("busy", Labels={"a": "1"})
    (data(served, "busy") / "beside").write_text("kept")
    (data(served, "busy") / "sub").mkdir()
    syscalls.mount("tmpfs", str(data(served, "busy") / "sub"), "tmpfs")
    (data(served, "busy") / "sub" / "inside").write_text("kept")
    status, answer = served.request("DELETE", path)
    assert (status, "in use" in answer["message"]) == (409, True)
    assert (data(served, "busy") / "beside").read_text() == "kept"
    assert (data(served, "busy") / "sub" / "inside").read_text() == "kept"
    assert served.request("GET", "/volumes/busy")[1]["Labels"] == {"a": "1"}
    syscalls.unmount(str(data(served, "busy") / "sub"))
    assert served.request("DELETE", path)[0] == 204


def test_a_data_directory_that_leads_elsewhere_takes_nothing_along_when_it_is_removed(served):
    outside = served.root / "volumes-evil" / "data"
    outside.mkdir(parents=True)
    served.create("victim")
    for place in (outside, data(served, "victim")):
        (place / "file").write_text("kept")
    for name, target in (("evil", outside), ("thief", data(served, "victim"))):
        served.create(name)
        data(served, name).rmdir()
        data(served, name).symlink_to(target)
        assert served.request("DELETE", f"/volumes/{name}")[0] == 204
    until(lambda: not [name for name in os.listdir(served.root / "volumes") if name.startswith(".removing")])
    for place in (outside, data(served, "victim")):
        assert (place / "file").read_text() == "kept"
    assert os.listdir(served.view) == ["victim"]


def test_a_volume_made_again_after_a_restart_answers_with_all_that_it_is(served):
    made = served.create("db", Labels={"a": "1"}, DriverOpts=TMPFS)
    assert (made["Labels"], made["Options"], made["Scope"]) == ({"a": "1"}, TMPFS, "local")
    assert served.stop() == 0
    served.start()
    assert served.create("db") == made


def test_removing_a_volume_of_many_files_keeps_nobody_waiting(served):
    served.create("big")
    served.create("other")
    for number in range(MANY):
        (data(served, "big") / str(number)).touch()
    began = time.monotonic()
    assert served.request("DELETE", "/volumes/big")[0] == 204
    calls = [("GET", "/volumes", None), ("GET", "/volumes/other", None), ("GET", "/system/df?type=volume", None)]
    calls += [("POST", "/volumes/create", {"Name": "new"}), ("DELETE", "/volumes/new", None)]
    waits, going_on = [time.monotonic() - began], True
    while going_on:
        for call in calls:
            before = time.monotonic()
            assert served.request(*call)[0] < 300
            waits.append(time.monotonic() - before)
        going_on = any(name.startswith(".removing") for name in os.listdir(served.root / "volumes"))
    whole = time.monotonic() - began
    assert len(waits) > 10, "it was over too soon to tell"
    assert max(waits) < whole / 3


def test_volumes_with_options_are_seen_in_df(served):
    served.create("scratch", DriverOpts=TMPFS)
    served.create("remote", DriverOpts={"type": "nfs", "device": ":/x", "o": "addr=127.0.0.1"})
    (served.view / "scratch" / "_data" / "file").write_bytes(bytes(1_000_000))
    found = {one["Name"]: one["UsageData"] for one in served.request("GET", "/system/df?type=volume")[1]["Volumes"]}
    assert [found["scratch"][key] for key in ("Size", "RefCount")] == [1_000_000, 0]
    assert [found["remote"][key] for key in ("Size", "RefCount")] == [-1, 0], "nothing is mounted to be measured"


def test_two_labels_to_leave_out_leave_out_volumes_with_either(served):
    for name, labels in (("plain", {}), ("first", {"a": "1"}), ("second", {"b": "2"}), ("both", {"a": "1", "b": "3"})):
        served.create(name, Labels=labels)
    without = quote(json.dumps({"label!": ["a", "b=2"], "all": ["true"]}))
    status, answer = served.request("POST", f"/volumes/prune?filters={without}")
    assert (status, answer["VolumesDeleted"]) == (200, ["plain"])
    assert sorted(os.listdir(served.view)) == ["both", "first", "second"]
