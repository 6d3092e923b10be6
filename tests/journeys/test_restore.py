"""Restore, every situation made for real: `volfs serve` is stopped or killed, the root is changed, it starts again."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from volfs.mount import syscalls
from volfs.volume.changes import AddReference, Put
from volfs.volume.recovery import boot_id
from volfs.volume.store import Store
from volfs.volume.volume import Kind, Reference, Volume

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
PROJECT = Path(__file__).resolve().parents[2]
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}


def volumes(served):
    return served.root / "volumes"


def data(served, name="db"):
    return served.view / name / "_data"


def meta(served, name="db"):
    return json.loads((served.view / name / "meta").read_text())


def state(served, name="db"):
    return served.request("GET", f"/volumes/{name}")[1]["Status"]["State"]


def listed(served):
    """What the API lists, by name and without its users; the view must show the same names."""
    found = {one["Name"]: one for one in served.request("GET", "/volumes")[1]["Volumes"]}
    for one in found.values():
        del one["UsedBy"]
    assert sorted(os.listdir(served.view)) == sorted(found)
    return found


def stored(served, *changes):
    """Writes into the catalogue, as only a daemon would; the daemon must be stopped."""
    store = Store(volumes(served) / "metadata.mdb")
    try:
        store.commit(changes)
    finally:
        store.close()


def restart(served):
    """Starts again; returns what was said from then on."""
    said = len(served.log())
    served.start()
    return served.log()[said:]


def crash(served):
    """SIGKILL for the keeper and the daemon, with no moment in which one of them sees the other go."""
    daemon = served.daemon
    os.kill(served.keeper.pid, signal.SIGSTOP)
    os.kill(daemon, signal.SIGKILL)
    served.keeper.kill()
    served.keeper.wait()


def counts(log):
    """The counts in the last `ready` line."""
    line = re.findall(r"^.* info ready .*$", log, re.MULTILINE)[-1]
    return {key: int(number) for key, number in re.findall(r" (volumes|adopted|missing|unmounted)=(\d+)", line)}


def lasting(served):
    """What lies in ROOT/volumes, without what is being deleted at this moment."""
    return sorted(name for name in os.listdir(volumes(served)) if not name.startswith(".removing-"))


def nothing_to_do(served):
    """Restores once more, and sees that there was nothing left to restore."""
    before = (listed(served), lasting(served))
    assert served.stop() == 0
    said = restart(served)
    found = counts(said)
    assert (found["adopted"], found["missing"], found["unmounted"]) == (0, 0, 0)
    assert not [line for line in said.splitlines() if " warning " in line and "a plugin is in trouble" not in line]
    assert listed(served) == before[0]
    assert lasting(served) == before[1]


def test_what_is_whole_is_kept_as_it_is(served):
    served.create("plain")
    served.create("db", DriverOpts=TMPFS, Labels={"a": "1", "b": ""})
    (data(served, "plain") / "file").write_text("kept")
    before, inodes = listed(served), [os.stat(served.view / name).st_ino for name in ("plain", "db")]
    assert served.stop() == 0
    said = restart(served)
    assert counts(said) == {"volumes": 2, "adopted": 0, "missing": 0, "unmounted": 0}
    assert listed(served) == before
    assert [os.stat(served.view / name).st_ino for name in ("plain", "db")] == inodes
    assert (data(served, "plain") / "file").read_text() == "kept"
    nothing_to_do(served)


def test_a_directory_from_another_host_is_adopted_whole_and_never_deleted(serve):
    old, new = serve(), serve()
    made = old.create("db", Labels={"a": "1"}, DriverOpts=TMPFS)
    old.create("plain", Labels={})
    (data(old, "plain") / "file").write_text("moved")
    assert (old.stop(), new.stop()) == (0, 0)
    for name in ("db", "plain"):
        shutil.copytree(volumes(old) / name, volumes(new) / name)
    (volumes(new) / "bare" / "_data").mkdir(parents=True)
    said = restart(new)
    assert counts(said)["adopted"] == 3
    for name in ("bare", "db", "plain"):
        assert f"volume adopted volume={name}" in said
    found = listed(new)
    same = ("Labels", "Options", "CreatedAt", "Driver")
    assert {key: found["db"][key] for key in same} == {key: made[key] for key in same}
    assert (found["plain"]["Labels"], found["bare"]["Labels"]) == ({}, None)
    assert (data(new, "plain") / "file").read_text() == "moved"
    (data(new, "db") / "file").write_text("in the tmpfs")
    assert os.statvfs(data(new, "db")).f_blocks * os.statvfs(data(new, "db")).f_frsize == 1 << 20
    assert os.listdir(data(new, "bare")) == []
    nothing_to_do(new)
    assert (data(new, "plain") / "file").read_text() == "moved"


def test_what_is_no_volume_is_left_alone_and_named(served):
    assert served.stop() == 0
    (volumes(served) / "lost+found").mkdir()
    (volumes(served) / "file").write_text("mine")
    (volumes(served) / "link").symlink_to("/etc")
    said = restart(served)
    assert set(re.findall(r"not a volume, left alone entry=(\S+)", said)) == {"lost+found", "file", "link"}
    assert listed(served) == {}
    assert (volumes(served) / "file").read_text() == "mine"


def test_a_directory_that_was_lost_is_missing_until_it_is_back(served, tmp_path):
    made = served.create("db", Labels={"a": "1"})
    served.create("other")
    (data(served) / "file").write_text("kept")
    assert served.stop() == 0
    stored(served, AddReference("db", Reference("c0ffee", Kind.CONTAINER, boot_id(), 1)))
    (volumes(served) / "db").rename(tmp_path / "kept")
    said = restart(served)
    assert counts(said)["missing"] == 1
    assert "error volume missing volume=db used_by=c0ffee" in said
    assert state(served) == meta(served)["Status"]["State"] == "missing"
    assert [user["Id"] for user in meta(served)["UsedBy"]] == ["c0ffee"]
    assert meta(served)["Labels"] == made["Labels"]
    assert sorted(os.listdir(served.view / "db")) == ["meta", "opts.json"]
    with pytest.raises(FileNotFoundError):
        os.stat(data(served))
    nothing_to_do(served)
    (tmp_path / "kept").rename(volumes(served) / "db")
    assert state(served) == meta(served)["Status"]["State"] == "ok"
    assert (data(served) / "file").read_text() == "kept"
    assert state(served, "other") == "ok"


def test_a_directory_that_comes_back_while_stopped_is_noticed_at_the_start(served, tmp_path):
    served.create("db")
    assert served.stop() == 0
    (volumes(served) / "db").rename(tmp_path / "kept")
    assert counts(restart(served))["missing"] == 1
    assert served.stop() == 0
    (tmp_path / "kept").rename(volumes(served) / "db")
    assert "volume is there again volume=db" in restart(served)
    assert state(served) == "ok"
    assert os.listdir(data(served)) == []


def test_a_mount_of_a_missing_volume_is_refused_with_what_to_do(serve, tmp_path):
    socket = tmp_path / "plugin.sock"
    served = serve("--plugin-socket", str(socket))
    served.create("db")
    assert served.stop() == 0
    shutil.rmtree(volumes(served) / "db")
    served.start()
    engine, served.socket = served.socket, socket
    status, answer = served.request("POST", "/VolumeDriver.Mount", {"Name": "db", "ID": "c0ffee"})
    served.socket = engine
    assert status == 500
    assert answer["Err"] == f"mount db: the volume is missing: put its directory {volumes(served) / 'db'} back, or " + (
        "remove the volume"
    )
    assert meta(served)["UsedBy"] == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"MountType": 7}', None])
def test_an_opts_json_that_is_broken_damages_its_volume_alone(served, eventually, text):
    served.create("db", DriverOpts=TMPFS, Labels={"a": "1"})
    served.create("other", DriverOpts=TMPFS)
    assert served.stop() == 0
    opts = volumes(served) / "db" / "opts.json"
    whole = opts.read_bytes()
    opts.unlink() if text is None else opts.write_text(text)
    restart(served)
    eventually(lambda: "error volume damaged volume=db" in served.log())
    assert state(served) == meta(served)["Status"]["State"] == "damaged"
    assert sorted(listed(served)) == ["db", "other"]
    assert meta(served)["Labels"] == {"a": "1"}
    assert "_data" not in os.listdir(served.view / "db")
    (data(served, "other") / "file").write_text("other works")
    opts.write_bytes(whole)
    assert state(served) == meta(served)["Status"]["State"] == "ok"
    (data(served) / "file").write_text("in the tmpfs")
    assert str(volumes(served) / "db" / "_data") in served.mounts()


def test_a_broken_opts_json_in_a_directory_that_is_adopted_damages_that_volume_alone(served):
    assert served.stop() == 0
    for name, text in (("aa", "{"), ("bb", '{"MountType":"tmpfs","MountDevice":"tmpfs"}')):
        (volumes(served) / name / "_data").mkdir(parents=True)
        (volumes(served) / name / "opts.json").write_text(text)
    said = restart(served)
    assert "error volume damaged volume=aa" in said
    assert (state(served, "aa"), state(served, "bb")) == ("damaged", "ok")
    (data(served, "bb") / "file").write_text("works")


def killing(catalogue, directory):
    """The catalogue with one page zeroed such that LMDB ends the process that reads it."""
    whole, copy = catalogue.read_bytes(), directory / "copy.mdb"
    for start in range(2 * 4096, len(whole), 4096):
        damaged = whole[:start] + bytes(4096) + whole[start + 4096 :]
        copy.write_bytes(damaged)
        copy.with_name("copy.mdb-lock").unlink(missing_ok=True)
        command = [sys.executable, "-m", "volfs.volume.probe", str(copy)]
        if subprocess.run(command, cwd=PROJECT, capture_output=True).returncode == -signal.SIGABRT:
            return damaged
    pytest.fail("no page of the catalogue matters")


DAMAGE = {
    "zeroed": lambda catalogue, _: bytes(catalogue.stat().st_size),
    "cut off": lambda catalogue, _: catalogue.read_bytes()[: 3 * 4096],
    "cut to a byte": lambda *_: b"\0",
    "garbage": lambda *_: b"garbage!" * 20_000,
    "a zeroed page": killing,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_catalogue_that_cannot_be_read_is_moved_aside_and_rebuilt_from_the_directories(served, tmp_path, damage):
    served.create("db", Labels={"a": "1"}, DriverOpts=TMPFS)
    for number in range(30):
        served.create(f"v{number}", Labels={"text": "x" * 200})
    (data(served, "v0") / "file").write_text("kept")
    before, newest = listed(served), max(os.stat(served.view / name).st_ino for name in os.listdir(served.view))
    assert served.stop() == 0
    catalogue = volumes(served) / "metadata.mdb"
    damaged = DAMAGE[damage](catalogue, tmp_path)
    catalogue.write_bytes(damaged)
    said = restart(served)
    assert "error the catalogue is rebuilt from the directories" in said
    assert counts(said)["adopted"] == 31
    [aside] = volumes(served).glob("metadata.mdb.damaged-*")
    assert aside.read_bytes() == damaged
    assert listed(served) == before
    assert (data(served, "v0") / "file").read_text() == "kept"
    assert all(os.stat(served.view / name).st_ino > newest for name in before), "a number was used again"
    nothing_to_do(served)


def test_a_catalogue_that_is_gone_is_made_again_with_new_numbers(served):
    served.create("db", Labels={"a": "1"})
    before, number = listed(served), os.stat(served.view / "db").st_ino
    assert served.stop() == 0
    (volumes(served) / "metadata.mdb").unlink()
    assert counts(restart(served))["adopted"] == 1
    assert listed(served) == before
    assert os.stat(served.view / "db").st_ino > number


def refused(served):
    """Starts, and returns what is said when the daemon gives up."""
    said = len(served.log())
    served.keeper = served.spawn()
    assert served.keeper.wait(30) == 125
    assert served.mounts() == []
    return served.log()[said:]


def test_the_catalogue_of_a_newer_volfs_is_refused_and_left_as_it_is(served):
    served.create("db")
    assert served.stop() == 0
    catalogue = volumes(served) / "metadata.mdb"
    with lmdb.open(str(catalogue), subdir=False, max_dbs=5) as environment, environment.begin(write=True) as write:
        write.put(b"format", b"2000", db=environment.open_db(b"system", txn=write))
    before = catalogue.read_bytes()
    assert "format version 2000" in refused(served)
    assert catalogue.read_bytes() == before
    assert not list(volumes(served).glob("*.damaged-*"))


def test_a_tmpfs_that_a_crash_left_mounted_is_taken_away(served):
    served.create("db", DriverOpts=TMPFS)
    (data(served) / "file").write_text("in the tmpfs")
    assert meta(served)["UsedBy"][0]["Kind"] == "view"
    crash(served)
    below = str(volumes(served) / "db" / "_data")
    assert set(served.mounts()) == {str(served.view), str(data(served)), below}
    said = restart(served)
    assert f"unmounted what the last run left mountpoint={below}" in said
    assert counts(said)["unmounted"] == 1
    assert served.mounts() == [str(served.view)]
    assert meta(served)["UsedBy"] == []
    nothing_to_do(served)
    assert os.listdir(data(served)) == []


def test_mounts_stacked_in_a_volume_with_options_are_taken_away_newest_first(served):
    served.create("db", DriverOpts=TMPFS)
    assert served.stop() == 0
    below = volumes(served) / "db" / "_data"
    for _ in range(2):
        syscalls.mount("none", str(below), "tmpfs")
        (below / "sub").mkdir()
        syscalls.mount("none", str(below / "sub"), "tmpfs")
    assert counts(restart(served))["unmounted"] == 4
    assert served.mounts() == [str(served.view)]
    nothing_to_do(served)


def test_a_mount_that_a_container_of_this_boot_uses_outlives_a_crash(served):
    served.create("db", DriverOpts=TMPFS)
    (data(served) / "file").write_text("used")
    crash(served)
    stored(served, AddReference("db", Reference("c0ffee", Kind.PLUGIN, boot_id(), 1)))
    assert counts(restart(served))["unmounted"] == 0
    assert [user["Id"] for user in meta(served)["UsedBy"]] == ["c0ffee"]
    assert (data(served) / "file").read_text() == "used"


def test_a_dead_view_is_taken_away_with_its_binds_and_served_again(served):
    served.create("db")
    with open(data(served) / "file", "w") as file:
        file.write("before, ")
        file.flush()
        crash(served)
        with pytest.raises(OSError) as caught:
            os.listdir(served.view)
        assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED), "aborted: asked just before it was dead"
        assert set(served.mounts()) == {str(served.view), str(data(served))}
        file.write("while dead")
        file.flush()
        said = restart(served)
        assert f"detached a dead view with all that was bound on it view={served.view}" in said
        assert served.mounts() == [str(served.view)]
        file.write(", after")
    assert (data(served) / "file").read_text() == "before, while dead, after"
    assert set(served.mounts()) == {str(served.view), str(data(served))}
    nothing_to_do(served)


def test_references_of_another_boot_are_dropped_and_those_of_this_one_stay(served):
    for name in ("aa", "bb"):
        served.create(name)
    assert served.stop() == 0
    another = "00000000-0000-4000-8000-000000000000"
    stored(
        served,
        AddReference("aa", Reference("old", Kind.PLUGIN, another, 1)),
        AddReference("aa", Reference("new", Kind.PLUGIN, boot_id(), 1)),
        AddReference("bb", Reference("old", Kind.CONTAINER, another, 1)),
        AddReference("bb", Reference("view", Kind.VIEW, another, 1)),
    )
    restart(served)
    assert [user["Id"] for user in meta(served, "aa")["UsedBy"]] == ["new"]
    assert meta(served, "bb")["UsedBy"] == []
    assert served.request("DELETE", "/volumes/bb")[0] == 204
    assert served.request("DELETE", "/volumes/aa")[0] == 409
    nothing_to_do(served)


def test_work_that_a_crash_left_is_finished(served, eventually):
    served.create("db")
    assert served.stop() == 0
    for work in (".creating-x", ".removing-x", ".removing-99", ".removing-99.1"):
        (volumes(served) / work / "_data" / "deep").mkdir(parents=True)
        (volumes(served) / work / "_data" / "file").write_text("nobody's")
        (volumes(served) / work / "_data" / "link").symlink_to(volumes(served) / "db")
    restart(served)
    eventually(lambda: not [name for name in os.listdir(volumes(served)) if name.startswith(".")])
    assert list(listed(served)) == ["db"]
    assert (volumes(served) / "db" / "_data").is_dir()
    nothing_to_do(served)


def test_a_removal_that_was_cut_off_before_its_commit_is_finished(served, eventually):
    served.create("db", Labels={"a": "1"})
    served.create("other")
    (data(served) / "file").write_text("gone")
    serial = os.stat(served.view / "db").st_ino >> 3
    crash(served)
    work = volumes(served) / f".removing-{serial}"
    (volumes(served) / "db").rename(work)
    said = restart(served)
    assert counts(said) == {"volumes": 1, "adopted": 0, "missing": 0, "unmounted": 0}
    assert list(listed(served)) == ["other"]
    eventually(lambda: not work.exists())
    assert served.create("db")["Labels"] is None
    assert os.stat(served.view / "db").st_ino >> 3 > serial
    assert os.listdir(data(served)) == []
    nothing_to_do(served)


def test_a_volume_of_a_driver_that_is_not_there_is_kept(served):
    assert served.stop() == 0
    stored(served, Put(Volume(name="remote", serial=0, created=1, driver="elsewhere", labels={"a": "1"})))
    assert counts(restart(served)) == {"volumes": 1, "adopted": 0, "missing": 0, "unmounted": 0}
    assert listed(served)["remote"]["Labels"] == {"a": "1"}
    nothing_to_do(served)


@pytest.mark.parametrize("catalogue", ["whole", "lost"])
def test_an_administrators_own_mount_on_a_plain_volume_is_left_alone(served, catalogue):
    served.create("db")
    crash(served)
    below = volumes(served) / "db" / "_data"
    syscalls.mount("none", str(below), "tmpfs")
    (below / "file").write_text("on the administrator's disk")
    if catalogue == "lost":
        (volumes(served) / "metadata.mdb").unlink()
    assert counts(restart(served))["unmounted"] == 0
    assert (data(served) / "file").read_text() == "on the administrator's disk"
    nothing_to_do(served)
    assert str(below) in served.mounts()


def test_many_troubles_at_once_are_settled_by_one_restore(served, tmp_path, eventually):
    for name in ("kept", "lost", "cut", "tmp", "broken"):
        served.create(name, **({"DriverOpts": TMPFS} if name in ("tmp", "broken") else {}))
    (data(served, "tmp") / "file").write_text("x")
    serial = os.stat(served.view / "cut").st_ino >> 3
    crash(served)
    (volumes(served) / "lost").rename(tmp_path / "lost")
    (volumes(served) / "cut").rename(volumes(served) / f".removing-{serial}")
    (volumes(served) / "broken" / "opts.json").write_text("{")
    (volumes(served) / "new" / "_data").mkdir(parents=True)
    (volumes(served) / ".creating-x").mkdir()
    said = restart(served)
    assert counts(said) == {"volumes": 5, "adopted": 1, "missing": 1, "unmounted": 1}
    eventually(lambda: not [name for name in os.listdir(volumes(served)) if name.startswith(".")])
    states = {name: state(served, name) for name in listed(served)}
    assert states == {"kept": "ok", "lost": "missing", "tmp": "ok", "broken": "damaged", "new": "ok"}
    nothing_to_do(served)
