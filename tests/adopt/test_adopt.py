"""Docker roots adopted: what the catalogue and the directories say afterwards, and what was not touched."""

import fcntl
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from tests.adopt.conftest import entry
from tests.dockerroot.bolt_file import BoltFile
from volfs.adopt.adopt import adopt, restore
from volfs.adopt.mark import Standing, standing
from volfs.dockerroot import owner
from volfs.driver.local import LocalDriver
from volfs.driver.notes import Notes
from volfs.errors import Conflict, Invalid
from volfs.volume.changes import AddReference, Delete
from volfs.volume.restore import Plan
from volfs.volume.store import Store
from volfs.volume.volume import Kind, State

C1, C2 = "c1" * 32, "c2" * 32
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
TMPFS_TEXT = '{"MountType":"tmpfs","MountOpts":"size=1m","MountDevice":"tmpfs","Quota":{"Size":0}}'


def adopted(root):
    """What was adopted, and the catalogue's volumes by name and references by volume."""
    store, _, result = adopt(LocalDriver(root.path), "/nowhere")
    return result, *contents(store)


def restored(root, **words):
    """The plan of a restore, and the catalogue."""
    store, plan = restore(LocalDriver(root.path), "/nowhere", adopting=words.get("adopting", False))
    return plan, *contents(store)


def contents(store):
    try:
        volumes = {one.name: one for one in store.volumes()}
        return volumes, {name: store.references(name) for name in volumes}
    finally:
        store.close()


def files(root):
    """Every file of Docker's with its content, and what is in the data."""
    found = {}
    for place, _, names in os.walk(root.path):
        for name in names:
            if not name.startswith(("metadata.mdb", "metadata.adopted", "meta.json")):
                path = Path(place, name)
                found[path] = path.read_bytes()
    return found


def test_labels_options_drivers_and_users_are_taken_over(root):
    root.volume("db", labels={"team": "web"})
    root.volume("scratch", TMPFS_TEXT, options=TMPFS)
    root.directory("unknown")
    root.entry("remote", driver="nfs", labels={"a": "1"}, options={"share": "x"})
    root.container(C1, ("db", "/data"), ("remote", "/r", "nfs"))
    result, volumes, references = adopted(root)
    assert sorted(volumes) == ["db", "remote", "scratch", "unknown"]
    assert volumes["db"].labels == {"team": "web"}
    assert volumes["scratch"].options == TMPFS
    remote = volumes["remote"]
    assert (remote.driver, remote.labels, remote.options) == ("nfs", {"a": "1"}, {"share": "x"})
    assert remote.state is State.UNKNOWN
    assert [(one.id, one.kind, one.boot) for one in references["db"]] == [(C1, Kind.CONTAINER, "")]
    assert [one.id for one in references["remote"]] == [C1]
    assert (result.directories, result.plugins, result.users, result.missing) == (3, 1, 2, {})
    assert result.findings == ()


def test_what_docker_wrote_stays_byte_for_byte(root):
    directory = root.volume("db", TMPFS_TEXT, options=TMPFS)
    (directory / "_data" / "file").write_text("mine")
    root.container(C1, ("db", "/data"))
    before = files(root)
    adopted(root)
    assert files(root) == before


def test_a_directory_describes_itself_from_then_on(root, tmp_path):
    directory = root.volume("db", labels={"team": "web"})
    os.utime(directory, (1_600_000_000, 1_600_000_000))
    adopted(root)
    written = json.loads((directory / "meta.json").read_text())
    assert written["Labels"] == {"team": "web"}
    assert written["CreatedAt"] == "2020-09-13T12:26:40Z"
    assert (directory / "meta.json").stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    shutil.copytree(root.volumes / "db", other / "volumes" / "db")
    store, _ = restore(LocalDriver(other), "/nowhere", adopting=False)
    volumes, _ = contents(store)
    assert (volumes["db"].labels, volumes["db"].created) == ({"team": "web"}, 1_600_000_000)


def test_a_directory_that_describes_itself_keeps_its_word(root):
    directory = root.volume("db", labels={"team": "web"})
    (directory / "meta.json").write_text('{"Driver":"local","CreatedAt":"2020-01-01T00:00:00Z","Labels":{"mine":"1"}}')
    _, volumes, _ = adopted(root)
    assert volumes["db"].labels == {"mine": "1"}


def test_an_entry_without_a_directory_is_kept_as_missing_and_heals(root):
    root.entry("db", labels={"team": "web"})
    root.container(C1, ("db", "/data"))
    result, volumes, references = adopted(root)
    assert result.missing == {"db": [f"web ({C1[:12]}) at /data"]}
    assert (volumes["db"].state, volumes["db"].labels) == (State.MISSING, {"team": "web"})
    assert [one.id for one in references["db"]] == [C1]
    root.directory("db")
    plan, volumes, _ = restored(root)
    assert plan.returned == ["db"]
    assert volumes["db"].created > 0
    assert json.loads((root.volumes / "db" / "meta.json").read_text())["Labels"] == {"team": "web"}
    assert (volumes["db"].state, volumes["db"].labels) == (State.OK, {"team": "web"})


def test_a_volume_that_only_a_container_knows_is_kept_as_missing(root):
    root.container(C1, ("db", "/data"))
    _, volumes, _ = adopted(root)
    assert volumes["db"].state is State.MISSING


def test_options_that_docker_never_applied_make_a_volume_damaged_not_plain(root):
    """Docker's crash between mkdir and opts.json: an NFS volume that is a directory on the host's disk."""
    root.volume("share", options={"type": "nfs", "device": ":/x", "o": "addr=h"})
    _, volumes, _ = adopted(root)
    assert volumes["share"].state is State.DAMAGED


def test_a_plugins_volume_is_the_plugins_also_where_a_directory_has_its_name(root):
    root.volume("db", driver="nfs")
    result, volumes, _ = adopted(root)
    assert volumes["db"].driver == "nfs"
    assert [finding.code for finding in result.findings] == ["adopt-directory-of-plugin"]
    assert not (root.volumes / "db" / "meta.json").exists()
    plan, volumes, _ = restored(root)
    assert plan.empty
    assert volumes["db"].driver == "nfs"


def test_a_lost_catalogue_costs_no_label_and_no_plugins_volume(root):
    root.volume("db", labels={"team": "web"})
    root.entry("remote", driver="nfs", labels={"a": "1"}, options={"share": "x"})
    adopted(root)
    (root.volumes / "metadata.mdb").unlink()
    _, volumes, _ = restored(root)
    assert volumes["db"].labels == {"team": "web"}
    remote = volumes["remote"]
    assert (remote.driver, remote.labels, remote.options) == ("nfs", {"a": "1"}, {"share": "x"})
    assert Notes(root.path).names() == ["remote"]


def test_twice_is_once(root):
    root.volume("db", labels={"team": "web"})
    root.entry("gone")
    root.entry("remote", driver="nfs")
    root.container(C1, ("db", "/data"), ("gone", "/g"))
    _, *first = adopted(root)
    metas = (root.volumes / "db" / "meta.json").stat().st_mtime_ns
    _, *second = adopted(root)
    plan, *third = restored(root, adopting=True)
    assert first == second == third
    assert plan.empty
    assert (root.volumes / "db" / "meta.json").stat().st_mtime_ns == metas


def test_what_was_removed_after_adopting_does_not_come_back_with_the_next_start(root):
    root.volume("db")
    root.entry("gone")
    adopted(root)
    shutil.rmtree(root.volumes / "db")
    store = Store(root.volumes / "metadata.mdb")
    store.commit([Delete("db"), Delete("gone")])
    store.close()
    _, volumes, _ = restored(root, adopting=True)
    assert volumes == {}


def test_adopting_that_was_cut_off_anywhere_is_done_by_the_next_one(root, monkeypatch):
    root.volume("db", labels={"team": "web"})
    root.volume("two", labels={"n": "2"})
    root.entry("gone")
    root.entry("remote", driver="nfs")
    root.container(C1, ("db", "/data"), ("gone", "/g"))
    original = root.path.rename(root.path.with_name("original"))

    class Cut(BaseException):
        pass

    def cut(*_):
        raise Cut

    places = ["volfs.adopt.adopt._note", "volfs.adopt.adopt.recover", "volfs.adopt.adopt.commit_all"]
    places += ["volfs.adopt.adopt.mark", "volfs.driver.metas._put", "volfs.driver.metas._show"]
    for place in places:
        shutil.copytree(original, root.path, symlinks=True)
        with monkeypatch.context() as patch:
            patch.setattr(place, cut)
            with pytest.raises(Cut):
                adopted(root)
        assert standing(root.path).due, place
        _, volumes, references = restored(root, adopting=True)
        assert {name: one.state.value for name, one in volumes.items()} == {
            "db": "ok",
            "gone": "missing",
            "remote": "unknown",
            "two": "ok",
        }
        assert (volumes["db"].labels, volumes["two"].labels) == ({"team": "web"}, {"n": "2"})
        assert [one.id for one in references["gone"]] == [C1]
        assert standing(root.path) is Standing.DONE
        shutil.rmtree(root.path)


def test_a_root_that_volfs_served_without_adopting_gets_its_labels_and_users(root, caplog):
    root.directory("db")
    (root.volumes / "metadata.db").unlink()
    (root.path / "containers").rmdir()
    restored(root)
    (root.path / "containers").mkdir()
    root.entry("db", labels={"team": "web"})
    root.container(C1, ("db", "/data"))
    _, volumes, _ = restored(root)
    assert "was not adopted" in caplog.text
    assert volumes["db"].labels is None
    _, volumes, references = restored(root, adopting=True)
    assert volumes["db"].labels == {"team": "web"}
    assert [one.id for one in references["db"]] == [C1]


def test_what_a_dockerd_made_afterwards_is_adopted_on_demand(root):
    root.volume("db")
    adopted(root)
    file, pairs = BoltFile(), {b"later": b'{"Name":"later","Driver":"local","Labels":{"x":"1"},"Options":null}'}
    tree = file.buckets(volumes=file.tree(pairs))
    file.meta(tree, 8)
    file.meta(tree, 9)
    (root.volumes / "metadata.db").write_bytes(bytes(file))
    root.directory("later")
    assert standing(root.path) is Standing.CHANGED
    _, volumes, _ = restored(root, adopting=True)
    assert volumes["later"].labels == {"x": "1"}


def test_without_adopt_a_docker_root_is_refused_with_what_to_do(root):
    root.volume("db", labels={"team": "web"})
    with pytest.raises(Invalid, match=r"add --adopt"):
        restored(root)
    assert not (root.volumes / "metadata.mdb").exists()


def test_a_root_of_volfs_own_has_nothing_to_adopt(tmp_path):
    driver = LocalDriver(tmp_path)
    driver.prepare()
    assert standing(tmp_path) is Standing.NONE
    store, plan = restore(driver, "/nowhere", adopting=True)
    store.close()
    assert plan == Plan()


def test_users_stay_over_a_reboot_while_the_container_is_there_and_no_longer(root):
    root.volume("db")
    directory = root.container(C1, ("db", "/data"))
    adopted(root)
    store = Store(root.volumes / "metadata.mdb")
    store.commit([AddReference("db", msgspec.structs.replace(store.references("db")[0], boot="another"))])
    store.close()
    _, _, references = restored(root)
    assert [(one.id, one.boot) for one in references["db"]] == [(C1, "")]
    shutil.rmtree(directory)
    plan, _, references = restored(root)
    assert plan.drop == [("db", C1)]
    assert references["db"] == []


# Damage: each case of what may happen to Docker's file, and anything else


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: b"junk" * 20_000,
        lambda text: text[:100],
        lambda text: text[:8192],
        lambda text: text[:8192] + b"\xff" * (len(text) - 8192),
        lambda text: bytes(8192) + text[8192:],
        lambda text: bytes(4096) + text[4096:],
    ],
    ids=["empty", "junk", "short", "cut", "filled", "no meta", "one meta"],
)
def test_a_damaged_store_costs_what_cannot_be_read_and_is_told(root, damage):
    root.volume("db", labels={"team": "web"})
    root.container(C1, ("db", "/data"))
    path = root.volumes / "metadata.db"
    path.write_bytes(damage(path.read_bytes()))
    result, volumes, references = adopted(root)
    assert volumes["db"].state is State.OK
    assert volumes["db"].labels in (None, {"team": "web"})
    assert [one.id for one in references["db"]] == [C1]
    assert result.findings
    assert standing(root.path) is Standing.DONE


def test_random_damage_is_never_a_crash(root):
    for number in range(60):
        root._pairs[f"v{number}".encode()] = b'{"Name":"v%d","Driver":"local","Labels":{"n":"%d"},"Options":null}' % (
            number,
            number,
        )
    root.write()
    root.directory("v1")
    text = (root.volumes / "metadata.db").read_bytes()
    chance = random.Random(7)
    for _ in range(40):
        damaged = bytearray(text)
        for _ in range(chance.choice([1, 4, 64])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        (root.volumes / "metadata.db").write_bytes(damaged[: chance.choice([len(text), chance.randrange(len(text))])])
        for name in ("metadata.mdb", "metadata.adopted", "v1/meta.json"):
            (root.volumes / name).unlink(missing_ok=True)
        _, volumes, _ = adopted(root)
        assert volumes["v1"].state is State.OK


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ID": 7}', '{"ID": "other"}'])
def test_a_container_that_cannot_be_read_is_told_and_costs_no_other(root, text):
    root.volume("db")
    root.container(C1, ("db", "/data"))
    (root.container(C2) / "config.v2.json").write_text(text)
    result, _, references = adopted(root)
    assert [(one.code, one.subject) for one in result.findings] == [("container-unreadable", C2)]
    assert [one.id for one in references["db"]] == [C1]


def test_hostile_files_are_not_followed_and_not_waited_for(root, tmp_path):
    root.volume("db", labels={"team": "web"})
    (tmp_path / "elsewhere").write_text("untouched")
    (root.volumes / "db" / "meta.json").symlink_to(tmp_path / "elsewhere")
    (root.volumes / "metadata.db").unlink()
    os.mkfifo(root.volumes / "metadata.db")
    (root.volumes / "link").symlink_to(tmp_path)
    _, volumes, _ = adopted(root)
    assert sorted(volumes) == ["db"]
    assert (tmp_path / "elsewhere").read_text() == "untouched"
    assert not (tmp_path / "meta.json").exists()


# Who has it


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(root):
    """Somebody who is no dockerd has locked metadata.db, as a dockerd does."""
    command = [sys.executable, "-c", HOLD, root.volumes / "metadata.db"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.communicate()


def test_a_locked_store_is_refused_at_once_and_told_by_whom(root, held):
    began = time.monotonic()
    with pytest.raises(Conflict, match=rf"is locked by .* \(pid {held.pid}\): end that first"):
        owner.claim(root.path)
    assert time.monotonic() - began < 1
    assert str(held.pid) in owner.locked_by(root.path)


def test_a_claim_keeps_dockerd_out(root):
    claimed = owner.claim(root.path)
    with open(root.volumes / "metadata.db", "r+") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert owner.locked_by(root.path) == ""
    os.close(claimed)


def test_a_root_without_a_store_of_dockers_is_nobodys(tmp_path):
    assert owner.claim(tmp_path) is None
    assert owner.locked_by(tmp_path) == ""


# The command


def volfs(*words):
    command = [sys.executable, "-m", "volfs", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def test_the_command_says_what_it_did_and_that_there_is_nothing_to_do_any_more(root):
    root.volume("db", labels={"team": "web"})
    root.entry("gone")
    root.container(C1, ("db", "/data"), ("gone", "/g"))
    done = volfs("adopt", root.path)
    assert done.returncode == 0, done.stderr
    assert "adopted 2 volumes" in done.stdout
    assert "1 missing" in done.stdout
    assert done.stderr.splitlines() == [
        f"volfs: volume gone is missing, needed by web ({C1[:12]}) at /g: "
        f"put {root.volumes}/gone back, and it is there again"
    ]
    again = volfs("adopt", root.path)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"{root.path} was adopted already: nothing to do\n"


def test_the_command_refuses_what_is_locked_and_what_is_no_root(root, held, tmp_path):
    for directory, why in ((root.path, "is locked by"), (tmp_path / "none", "no Docker data root")):
        done = volfs("adopt", directory)
        assert done.returncode == 125
        assert done.stderr.count("\n") == 1
        assert why in done.stderr


def test_serve_refuses_a_docker_root_with_one_line_and_leaves_it_alone(root, tmp_path):
    root.volume("db")
    before = sorted(os.listdir(root.path))
    done = volfs("serve", "--root", root.path, "--view", tmp_path / "view", "--run-dir", tmp_path / "run")
    assert done.returncode == 125
    assert done.stderr == (
        f"volfs: {root.path} is a Docker data root that was never adopted: add --adopt, and volfs takes its volumes "
        "over with their labels, drivers and users\n"
    )
    assert sorted(os.listdir(root.path)) == before


def test_twenty_thousand_volumes_are_adopted_in_seconds(root, capsys):
    names = [f"vol-{number:05d}" for number in range(20_000)]
    for name in names:
        (root.volumes / name / "_data").mkdir(parents=True)
        root._pairs[name.encode()] = entry(name, labels={"n": name}).encode()
    root.write()
    began = time.monotonic()
    _, volumes, _ = adopted(root)
    took = time.monotonic() - began
    with capsys.disabled():
        print(f"\n20,000 volumes adopted in {took:.1f} s")
    assert len(volumes) == 20_000
    assert volumes["vol-12345"].labels == {"n": "vol-12345"}
