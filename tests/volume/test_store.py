"""The catalogue: what is put in comes out, in order, once, and no file makes it crash."""

import mmap
import os
import random
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volfs.errors import HostError, Invalid
from volfs.volume import encoding, probe
from volfs.volume.changes import AddReference, Delete, DropReference, Effect, Measured, Owed, Put
from volfs.volume.encoding import DamagedStore
from volfs.volume.restore import Entry
from volfs.volume.store import FORMAT, MapFull, Store
from volfs.volume.volume import Figure, Kind, Reference, State, Volume

PROJECT = Path(__file__).resolve().parents[2]
VIEW = Reference("view", Kind.VIEW, "boot", 5)
MOUNT = Reference("c0ffee", Kind.PLUGIN, "boot", 6)


def put(store, *volumes):
    return [effect.volume for effect in store.commit([Put(one) for one in volumes])]


def test_a_record_comes_out_as_it_was_put_in(store, volume):
    [plain] = put(store, volume("plain"))
    [full] = put(
        store,
        volume(
            "full",
            created=-62135596800,
            driver="other",
            options={"type": "tmpfs", "o": ""},
            labels={"é\n\0": "\U0001f4be", "": ""},
            state=State.DAMAGED,
        ),
    )
    assert store.get("plain") == plain
    assert store.get("full") == full
    assert (plain.options, plain.labels, plain.state) == (None, None, State.OK)
    assert full.labels == {"é\n\0": "\U0001f4be", "": ""}


def test_no_labels_and_empty_labels_are_told_apart(store, volume):
    put(store, volume("none"), volume("empty", labels={}, options={}))
    assert (store.get("none").labels, store.get("empty").labels) == (None, {})
    assert store.get("empty").options == {}


def test_labels_of_megabytes_fit(store, volume):
    labels = {"big": "x" * (5 << 20), **{f"k{i}": "v" for i in range(10_000)}}
    put(store, volume("big", labels=labels))
    assert store.get("big").labels == labels


def test_what_is_not_there_is_none_and_deleting_it_changes_nothing(store):
    assert store.get("db") is None
    assert store.by_serial(1) is None
    assert store.references("db") == []
    [effect] = store.commit([Delete("db")])
    assert (effect.volume, effect.owed) == (None, None)


def test_a_serial_is_never_given_twice(catalogue, volume):
    store = Store(catalogue)
    first, second = put(store, volume("aa"), volume("bb"))
    store.commit([Delete("bb")])
    [third] = put(store, volume("bb"))
    store.commit([Delete("aa"), Delete("bb")])
    store.close()
    store = Store(catalogue, first_serial=1)
    [fourth] = put(store, volume("aa"))
    store.close()
    serials = [one.serial for one in (first, second, third, fourth)]
    assert serials == sorted(set(serials))
    assert serials[0] > 0


def test_a_new_catalogue_counts_from_where_it_is_told(catalogue, volume):
    store = Store(catalogue, first_serial=1 << 40)
    assert [one.serial for one in put(store, volume("aa"), volume("bb"))] == [1 << 40, (1 << 40) + 1]
    store.close()


def test_a_record_that_is_replaced_keeps_its_serial_and_is_one(store, volume):
    [there] = put(store, volume("db"))
    [again] = put(store, type(there)(name="db", serial=there.serial, created=1, labels={"a": "1"}))
    assert again.serial == there.serial
    assert store.count() == 1
    assert store.by_serial(there.serial) == again
    assert store.numbers(0, 10) == [(there.serial, 1, "db")]


def test_a_serial_finds_its_volume_until_it_is_gone(store, volume):
    [one] = put(store, volume("db"))
    assert store.by_serial(one.serial) == one
    store.commit([Delete("db")])
    assert store.by_serial(one.serial) is None
    assert store.count() == 0


def test_volumes_come_in_the_order_of_names_and_can_be_paged(store, volume):
    names = ["b", "a.b", "Z", "a-b", "ab", "a", "a_b", "z" * 255]
    put(store, *map(volume, names))
    assert [one.name for one in store.volumes()] == sorted(names)
    paged, after = [], ""
    while page := store.volumes(after=after, limit=3):
        assert len(page) <= 3
        paged += [one.name for one in page]
        after = page[-1].name
    assert paged == sorted(names)
    assert store.volumes(after="a", limit=0) == []


def test_paging_goes_on_behind_a_name_that_is_gone(store, volume):
    put(store, volume("aa"), volume("bb"), volume("cc"))
    store.commit([Delete("bb")])
    assert [one.name for one in store.volumes(after="bb")] == ["cc"]


def test_numbers_come_in_the_order_of_serials_behind_the_last_one(store, volume):
    made = put(store, *map(volume, ("zz", "aa", "mm")))
    rows = [(one.serial, one.created, one.name) for one in made]
    assert store.numbers(0, 10) == rows
    assert store.numbers(rows[0][0], 1) == rows[1:2]
    assert store.numbers(rows[2][0], 10) == []


def test_of_many_records_those_are_seen_that_are_not_as_most_are(store, volume):
    """Also where a word in a label looks like a field, at the edges of batches and in a row."""
    notable = {f"v{n:04}": n for n in (0, 499, 500, 501, 999, 1000, 1700)}
    for number in range(1701):
        name = f"v{number:04}"
        put(store, volume(name, state=State.MISSING if name in notable else State.OK))
    put(store, volume("v0600", labels={"options": "state driver"}), volume("far " + "x" * 400, driver="fake"))
    entries = store.entries()
    assert entries.names == sorted([f"v{n:04}" for n in range(1701)] + ["far " + "x" * 400], key=_as_key)
    missing = {name for name, one in entries.notable.items() if one.state is State.MISSING}
    assert missing == set(notable)
    assert entries.get("far " + "x" * 400).driver == "fake"
    assert entries.get("v0600") == Entry("v0600")


def _as_key(name):
    return encoding.key(name)


def test_entries_are_what_restore_wants_to_know(store, volume):
    put(
        store,
        volume("aa"),
        volume("bb", labels={"state": "options"}),
        volume("cc", options={"type": "tmpfs"}),
        volume("dd", driver="other"),
        volume("ee", state=State.MISSING),
        volume("state-options-driver"),
    )
    entries = store.entries()
    assert [entries.get(name) for name in entries.names] == [
        Entry("aa"),
        Entry("bb"),
        Entry("cc", has_options=True),
        Entry("dd", driver="other"),
        Entry("ee", state=State.MISSING),
        Entry("state-options-driver"),
    ]


def test_references_are_a_set(store, volume):
    put(store, volume("db"))
    store.commit([AddReference("db", VIEW), AddReference("db", MOUNT), AddReference("db", VIEW)])
    assert store.references("db") == [MOUNT, VIEW]
    store.commit([DropReference("db", "view")])
    [effect] = store.commit([DropReference("db", "view")])
    assert effect.owed is None
    assert store.references("db") == [MOUNT]


def test_one_user_is_found_among_many_also_by_an_id_that_is_longer_than_a_key(store, volume):
    put(store, volume("db"))
    put(store, volume("db2"))
    assert (store.is_used("db"), store.reference("db", "u1")) == (False, None)
    ids = ["u1", "u10", "x" * 5000, "é"]
    store.commit([AddReference("db2", Reference(one, Kind.PLUGIN, "boot", 1)) for one in ids])
    assert [store.reference("db2", one).id for one in ids] == ids
    assert (store.reference("db2", "u"), store.reference("db", "u1")) == (None, None)
    assert (store.is_used("db2"), store.is_used("db")) == (True, False)


def test_references_go_with_their_volume_and_with_no_other(store, volume):
    put(store, volume("db"), volume("db2"), volume("d"))
    store.commit([AddReference(name, one) for name in ("db", "db2", "d") for one in (VIEW, MOUNT)])
    store.commit([Delete("db")])
    assert [name for name, _ in store.all_references()] == ["d", "d", "db2", "db2"]
    assert store.references("db") == []


def test_ids_that_are_long_or_odd_are_told_apart(store, volume):
    put(store, volume("v" * 255))
    ids = ["x" * 5000, "x" * 5001, "a\0b", "a", "", "é"]
    store.commit([AddReference("v" * 255, Reference(one, Kind.PLUGIN, "boot", 1)) for one in ids])
    assert sorted(one.id for one in store.references("v" * 255)) == sorted(ids)
    for one in ids:
        store.commit([DropReference("v" * 255, one)])
    assert store.references("v" * 255) == []


def test_names_longer_than_a_key_are_kept_whole(store, volume):
    names = ["n" * 5000, "n" * 5001, "n" * 255, "sp ace/../é"]
    made = put(store, *map(volume, names))
    assert [store.get(name) for name in names] == made
    assert [store.by_serial(one.serial) for one in made] == made
    assert sorted(one.name for one in store.volumes()) == sorted(names)
    store.commit([Delete(names[0])])
    assert store.get(names[0]) is None
    assert store.get(names[1]) == made[1]


def test_a_change_owes_an_invalidation_until_it_is_settled(catalogue, volume):
    store = Store(catalogue)
    [made] = store.commit([Put(volume("db"))])
    [used] = store.commit([AddReference("db", VIEW)])
    assert made.owed == Owed(made.owed.number, made.volume.serial, "db")
    assert store.owed() == [made.owed, used.owed]
    store.settle([made.owed])
    [gone] = store.commit([Delete("db")])
    store.close()
    store = Store(catalogue)
    assert store.owed() == [used.owed, gone.owed]
    assert gone.owed.serial == made.volume.serial
    store.settle(store.owed())
    put(store, volume("aa"))
    assert [one.name for one in store.owed()] == ["aa"]
    store.close()


def test_what_is_settled_in_vain_is_settled_by_the_next_commit(store, volume):
    [effect] = store.commit([Put(volume("db"))])
    store.settle([effect.owed])
    with pytest.raises(OverflowError):
        store.commit([Put(volume("bad", created=1 << 80))])
    assert store.owed() == [effect.owed]
    store.commit([])
    assert store.owed() == []


def test_a_group_is_carried_out_together_or_not_at_all(store, volume):
    with pytest.raises(OverflowError):
        store.commit([Put(volume("aa")), Put(volume("bb", created=1 << 80))])
    assert store.count() == 0
    assert store.owed() == []


def test_what_was_committed_is_there_after_a_kill(catalogue):
    script = f"""
import os, signal
from volfs.volume.changes import *
from volfs.volume.store import *
from volfs.volume.volume import *
store = Store(__import__("pathlib").Path({str(catalogue)!r}))
for number in range(20):
    store.commit([Put(Volume(name=f"v{{number}}", serial=0, created=1))])
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=False)
    assert killed.returncode == -signal.SIGKILL
    store = Store(catalogue)
    assert store.count() == 20
    store.close()


def test_a_full_map_grows_and_loses_nothing(catalogue, volume):
    store = Store(catalogue, map_size=1 << 20)
    put(store, volume("first"))
    many = [Put(volume(f"v{number}", labels={"text": "x" * 1000})) for number in range(3000)]
    with pytest.raises(MapFull):
        store.commit(many)
    assert store.count() == 1
    grown = 0
    while store.count() == 1:
        store.grow()
        grown += 1
        try:
            store.commit(many)
        except MapFull:
            assert grown < 10
    assert store.count() == 3001
    store.close()
    store = Store(catalogue, map_size=1 << 20)
    put(store, volume("last"))
    assert store.count() == 3002
    store.close()


def test_the_slot_of_a_reader_that_was_killed_is_given_back(catalogue):
    Store(catalogue).close()
    script = f"""
import os, signal
from pathlib import Path
from volfs.volume.store import Store
for _ in range(70):  # there are 64 slots
    if child := os.fork():
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    else:
        store = Store(Path({str(catalogue)!r}))
        reading = store._env.begin()
        os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=True)
    store = Store(catalogue)
    assert store._env.reader_check() == 0
    assert store.count() == 0
    store.close()


def test_the_file_is_for_its_owner_only(store, catalogue):
    assert stat.S_IMODE(catalogue.stat().st_mode) == 0o600


def write_format(catalogue, text):
    Store(catalogue).close()
    with lmdb.open(str(catalogue), subdir=False, max_dbs=5) as environment:
        system = environment.open_db(b"system")
        with environment.begin(write=True) as write:
            write.put(b"format", text, db=system)


def test_a_newer_format_is_refused_with_what_to_do(catalogue):
    write_format(catalogue, str(FORMAT + 1).encode())
    before = catalogue.read_bytes()
    with pytest.raises(Invalid, match=f"format version {FORMAT + 1}.*start the newer volfs that wrote it"):
        Store(catalogue)
    assert catalogue.read_bytes() == before


def test_a_format_that_is_no_number_is_damage(catalogue):
    write_format(catalogue, b"new")
    with pytest.raises(DamagedStore):
        Store(catalogue)


def test_a_file_that_cannot_be_opened_is_the_hosts_fault(tmp_path):
    (tmp_path / "directory").mkdir()
    for path in (tmp_path / "directory", tmp_path / "nowhere" / "metadata.mdb"):
        with pytest.raises(HostError, match=str(tmp_path)):
            Store(path)


READ_ALL = """
import os, sys
from pathlib import Path
from volfs.errors import HostError
from volfs.volume import encoding, probe
from volfs.volume.changes import *
from volfs.volume.store import *
from volfs.volume.volume import *

def read(path):
    try:
        with probe.marked(path):
            store = Store(path)
            read = len(store.entries().names), len(list(store.all_references())), len(store.owed())
            assert len(store.volumes()) == len(store.numbers(0, 1 << 30)) == read[0]
            store.commit([Put(Volume(name="new", serial=0, created=1))])
            store.close()
            return ("read", *read)
    except (DamagedStore, HostError) as error:
        return (type(error).__name__,)

for path in map(Path, sys.argv[1:]):
    print(path.name, end=" ", flush=True)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        if status:
            print("killed", *read(path) if os.WIFSIGNALED(status) else ["failed"])
    else:
        print(*read(path), flush=True)
        os._exit(0)
"""


@pytest.fixture
def whole(tmp_path, volume):
    """The bytes of a catalogue with 400 volumes and 100 references, of which some were changed and removed.

    Without the room behind them, which is only reserved.
    """
    path = tmp_path / "whole.mdb"
    store = Store(path)
    store.commit([Put(volume(f"v{n}", options={"type": "tmpfs"} if n % 2 else None)) for n in range(500)])
    store.commit([AddReference(f"v{n}", VIEW) for n in range(100)])
    store.commit([Delete(f"v{n}") for n in range(400, 500)])
    store.close()
    used = path.read_bytes().rstrip(b"\0")
    return used + bytes(-len(used) % 4096)


def outcomes(directory, files):
    """What a process says that reads each of `files`, name -> words; where it dies, a second one must not."""
    paths = []
    for name, content in files.items():
        path = directory / name
        path.write_bytes(content)
        paths.append(str(path))
    ran = subprocess.run([sys.executable, "-c", READ_ALL, *paths], cwd=PROJECT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-300:] + ran.stderr[-2000:]
    return {name: rest for name, *rest in map(str.split, ran.stdout.splitlines())}


def test_a_whole_file_is_read(tmp_path, whole):
    assert outcomes(tmp_path, {"copy": whole}) == {"copy": ["read", "400", "100", "700"]}


def test_a_file_cut_off_anywhere_is_damage_and_no_crash(tmp_path, whole):
    cuts = {f"cut-{length}": whole[:length] for length in range(1, len(whole), 3001)}
    assert set(map(tuple, outcomes(tmp_path, cuts).values())) == {("DamagedStore",)}


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"volfs"])
def test_a_file_of_anything_else_is_damage(tmp_path, fill):
    files = {f"of-{length}": (fill * length)[:length] for length in (1, 100, 4096, 8192, 1 << 20)}
    assert set(map(tuple, outcomes(tmp_path, files).values())) == {("DamagedStore",)}


def test_an_empty_file_is_a_new_catalogue(tmp_path):
    assert outcomes(tmp_path, {"empty": b""}) == {"empty": ["read", "0", "0", "0"]}


def test_bytes_changed_anywhere_are_damage_or_do_not_matter(tmp_path, whole):
    chance = random.Random(7)
    files = {}
    for number in range(200):
        changed = bytearray(whole)
        for _ in range(20):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        files[f"changed-{number}"] = bytes(changed)
    assert set(map(judged, outcomes(tmp_path, files).values())) <= FINE


FINE = {("read",), ("DamagedStore",), ("killed", "DamagedStore")}


def judged(words):
    return tuple(word for word in words if not word.isdigit())


def test_pages_zeroed_by_a_power_cut_are_damage_also_where_lmdb_ends_the_process(tmp_path, whole):
    zeros = bytes(4096)
    starts = range(0, len(whole), 4096)
    files = {f"page-{start}": whole[:start] + zeros + whole[start + 4096 :] for start in starts}
    found = set(map(judged, outcomes(tmp_path, files).values()))
    assert ("killed", "DamagedStore") in found
    assert found <= FINE


def test_whoever_is_told_of_the_damage_is_not_asked_again(catalogue):
    catalogue.write_bytes(b"")
    catalogue.with_name("metadata.mdb-opening").touch()
    python, kills = sys.executable, "import os; os.kill(os.getpid(), 6)"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe.sys, "executable", "/bin/false")
        with probe.marked(catalogue):
            pass
        script = catalogue.with_name("killed")
        script.write_text(f"#!{python}\n{kills}\n")
        script.chmod(0o755)
        catalogue.with_name("metadata.mdb-opening").touch()
        patch.setattr(probe.sys, "executable", str(script))
        with pytest.raises(DamagedStore, match="ended the last daemon"), probe.marked(catalogue):
            pytest.fail("it must not be read")
        with probe.marked(catalogue):
            pass


def test_a_mark_left_by_somebody_else_costs_a_healthy_catalogue_nothing(catalogue, volume):
    store = Store(catalogue)
    put(store, volume("db"))
    store.close()
    mark = catalogue.with_name("metadata.mdb-opening")
    mark.touch()
    with probe.marked(catalogue):
        store = Store(catalogue)
    assert store.count() == 1
    store.close()
    assert not mark.exists()


def test_no_process_is_started_without_a_suspicion(catalogue, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    Store(catalogue).close()
    with probe.marked(catalogue):
        assert os.path.exists(f"{catalogue}-opening")


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.dictionaries(st.text(), st.text(), max_size=2)),
        st.tuples(st.just("delete"), st.sampled_from("abc"), st.none()),
        st.tuples(st.just("use"), st.sampled_from("abc"), st.text(max_size=3)),
        st.tuples(st.just("leave"), st.sampled_from("abc"), st.text(max_size=3)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_the_catalogue_is_what_a_dict_and_a_set_would_be(tmp_path_factory, changes):
    store = Store(tmp_path_factory.mktemp("store") / "metadata.mdb")
    labels, users = {}, set()
    for what, name, detail in changes:
        match what:
            case "put":
                there = store.get(name)
                serial = there.serial if there else 0
                store.commit([Put(Volume(name=name, serial=serial, created=1, labels=detail))])
                labels[name] = detail
            case "delete":
                store.commit([Delete(name)])
                labels.pop(name, None)
                users = {(other, id_) for other, id_ in users if other != name}
            case "use":
                store.commit([AddReference(name, Reference(detail, Kind.PLUGIN, "boot", 1))])
                users.add((name, detail))
            case "leave":
                store.commit([DropReference(name, detail)])
                users.discard((name, detail))
    assert {one.name: one.labels for one in store.volumes()} == labels
    assert {(name, one.id) for name, one in store.all_references()} == users
    assert sorted(name for _, _, name in store.numbers(0, 10)) == sorted(labels)
    store.close()


def test_a_catalogue_from_before_there_were_figures_opens_as_it_is(catalogue, volume):
    store = Store(catalogue)
    [effect] = store.commit([Put(volume("db"))])
    store.close()
    with lmdb.open(str(catalogue), subdir=False, max_dbs=8) as env, env.begin(write=True) as write:
        write.drop(env.open_db(b"usage", txn=write))
    store = Store(catalogue)
    serial = effect.volume.serial
    assert store.figure(serial) is None
    figure = Figure(apparent=1, allocated=4096, files=1, time=2)
    assert store.commit([Measured(serial, figure), Measured(serial + 1, figure)])[1] == Effect(None, None)
    assert (store.figure(serial), store.figure(serial + 1)) == (figure, None)
    store.close()


def test_which_of_many_volumes_are_used_is_read_at_once(store, volume):
    """Names that begin alike, and one that is kept under a digest."""
    names = sorted(["a", "aa", "a.b", "ab", "b", "c", "x" * 600])
    used = {"a", "a.b", "b", "x" * 600}
    for name in names:
        store.commit([Put(volume(name))])
        for id_ in ("1", "2") if name in used else ():
            store.commit([AddReference(name, Reference(id_, Kind.PLUGIN, "", 1))])
    for number, first in enumerate(names):
        for last in names[number:]:
            assert store.used(first, last) == used.intersection(names[number : names.index(last) + 1])


def test_what_was_read_under_a_version_stays_so_while_the_version_does(store, volume):
    [record] = put(store, volume("db"))
    ended = threading.Event()

    def write():
        try:
            for number in range(2, 200):
                store.commit([Put(msgspec.structs.replace(record, created=number))])
        finally:
            ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen, wrong = {}, []
    while not ended.is_set():
        version = store.version()
        first = seen.setdefault(version, store.get("db").created)
        again = store.get("db").created
        if again != first and store.version() == version:
            wrong.append((version, first, again))
    writer.join()
    assert not wrong
    assert len(seen) > 1
    assert seen.get(store.version(), 199) == 199


def renumbered(catalogue, *heads):
    """The heads of an LMDB file with another data format."""
    text = bytearray(catalogue.read_bytes())
    for head in heads:
        text[head * mmap.PAGESIZE + 20] = 2
    catalogue.write_bytes(text)


@pytest.mark.parametrize("head", [0, 1])
def test_a_head_that_names_another_format_than_the_other_one_is_damaged(catalogue, head):
    Store(catalogue).close()
    renumbered(catalogue, head)
    with pytest.raises(DamagedStore):
        Store(catalogue)


def test_a_catalogue_that_another_lmdb_has_written_is_left_as_it_is(catalogue):
    Store(catalogue).close()
    renumbered(catalogue, 0, 1)
    with pytest.raises(HostError, match="format"):
        Store(catalogue)
