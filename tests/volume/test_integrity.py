"""What a whole catalogue says is checked as of one moment; a false alarm would replace a daemon for nothing."""

import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, until
from volfs.driver.local import LocalDriver
from volfs.mount import syscalls
from volfs.volume import probe
from volfs.volume.changes import AddReference, Delete, Put
from volfs.volume.encoding import DamagedStore
from volfs.volume.integrity import check
from volfs.volume.recovery import boot_id, recover
from volfs.volume.store import Store
from volfs.volume.suspicion import suspect
from volfs.volume.volume import Kind, Reference, Volume

WRITER = """
import sys
from pathlib import Path
from volfs.volume.changes import *
from volfs.volume.store import Store
from volfs.volume.volume import *
store = Store(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    store.commit([Delete(f"new{number % 50}")])
    store.commit([Put(Volume(name=f"new{number % 50}", serial=0, created=1, driver="local" if number % 2 else "fake"))])
    store.commit([AddReference(f"new{number % 50}", Reference(f"u{number}", Kind.PLUGIN, "boot", 1))])
    if number % 50 > 10:
        store.commit([Delete(f"new{number % 50 - 10}")])
    if number == 60:
        print("writing", flush=True)
"""


@pytest.fixture
def store(tmp_path):
    """An open catalogue with volumes of two drivers, and users."""
    store = Store(tmp_path / "metadata.mdb")
    of_plugins = [Put(Volume(name=f"v{number}", serial=0, created=1, driver="fake")) for number in range(20)]
    store.commit(of_plugins)
    store.commit([Put(Volume(name=f"w{number}", serial=0, created=1)) for number in range(2500)])
    store.commit([AddReference(f"w{number}", Reference("me", Kind.PLUGIN, "boot", 1)) for number in range(0, 2500, 7)])
    yield store
    store.close()


def test_a_copy_of_a_whole_catalogue_says_the_same(store, tmp_path):
    check(store)
    store.commit([Delete("w9")])
    store.copy(tmp_path / "copy.mdb")
    assert (tmp_path / "copy.mdb").stat().st_mode & 0o777 == 0o600
    copy = Store(tmp_path / "copy.mdb")
    check(copy)
    assert copy.volumes() == store.volumes()
    assert list(copy.all_references()) == list(store.all_references())
    assert copy.commit([Put(Volume(name="x", serial=0, created=1))])[0].volume.serial == 2521
    copy.close()


def _free_pages(catalogue):
    """Where the root of the list of free pages is, by the younger of the two meta pages. See LMDB's mdb.c, MDB_meta."""
    text = catalogue.read_bytes()
    metas = [text[at : at + 4096] for at in (0, 4096)]
    younger = max(metas, key=lambda meta: int.from_bytes(meta[16 + 128 : 16 + 136], "little"))
    return int.from_bytes(younger[16 + 24 + 40 : 16 + 24 + 48], "little") * 4096


def test_damage_to_the_list_of_free_pages_costs_no_record(tmp_path, caplog):
    driver = LocalDriver(tmp_path)
    driver.prepare()
    store, _ = recover(driver, "/nowhere")
    reference = Reference("me", Kind.PLUGIN, boot_id(), 1)
    store.commit([Put(Volume(name=f"w{n}", serial=0, created=1, driver="fake")) for n in range(500)])
    store.commit([Delete("w9"), AddReference("w1", reference)])
    store.commit([Delete("w8")])
    store.close()
    at = _free_pages(store.path)
    text = bytearray(store.path.read_bytes())
    text[at : at + 4096] = bytes(4096)
    store.path.write_bytes(text)
    store, plan = recover(driver, "/nowhere")
    assert store.references("w1") == [reference] and plan.empty
    assert store.count() == 498
    assert "the catalogue is written anew" in caplog.text
    caplog.clear()
    store.commit([Delete("w7")])
    store.close()
    assert sorted(os.listdir(driver.volumes)) == ["metadata.mdb", "metadata.mdb-lock"]


def test_a_suspected_catalogue_that_is_whole_is_renewed_and_keeps_its_users(tmp_path):
    driver = LocalDriver(tmp_path)
    driver.prepare()
    store, _ = recover(driver, "/nowhere")
    reference = Reference("me", Kind.PLUGIN, boot_id(), 1)
    store.commit([Put(Volume(name="w1", serial=0, created=1, driver="fake")), AddReference("w1", reference)])
    store.close()
    before = store.path.stat().st_ino
    suspect(store.path)
    store, plan = recover(driver, "/nowhere")
    assert store.references("w1") == [reference] and plan.empty
    assert store.path.stat().st_ino != before
    assert sorted(os.listdir(driver.volumes)) == ["metadata.mdb", "metadata.mdb-lock"]
    store.close()


def test_what_another_process_writes_meanwhile_is_no_contradiction(store):
    with subprocess.Popen([sys.executable, "-c", WRITER, store.path], cwd=PROJECT, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout.readline() == b"writing\n"
            for _ in range(8):
                assert not probe.is_damaged(store.path)
            assert writer.poll() is None
        finally:
            writer.kill()


def test_a_record_under_another_name_or_number_and_one_that_is_lost_are_contradictions(store):
    changes = [(name, change) for name in (b"volumes", b"serials") for change in ("lost", "moved")]
    for name, change in [*changes, (b"drivers", "lost")]:
        database = store._env.open_db(name)
        with store._env.begin(write=True) as write:
            cursor = write.cursor(database)
            assert cursor.first()
            key, value = bytes(cursor.key()), bytes(cursor.value())
            cursor.delete()
            if change == "moved":
                write.put(key + b"~", value, db=database)
        with pytest.raises(DamagedStore):
            check(store)
        with store._env.begin(write=True) as write:
            write.delete(key + b"~", db=database)
            write.put(key, value, db=database)
    check(store)


@pytest.mark.skipif(not syscalls.can_mount(), reason="needs a daemon")
def test_damage_that_a_start_does_not_come_by_is_mended_by_the_next_daemon_which_comes_by_itself(served):
    """A plain record is not decoded at a start; a list would fail for as long as it is there."""
    for number in range(5):
        served.create(f"v{number}", Labels={"text": "fine"})
    (served.view / "v3" / "_data" / "file").write_text("kept")
    assert served.stop() == 0
    catalogue = served.root / "volumes" / "metadata.mdb"
    text = catalogue.read_bytes()
    assert b"\xa2v3" in text
    catalogue.write_bytes(text.replace(b"\xa4fine", b"\xa4\xff\xff\xff\xff"))
    said = len(served.log())
    served.start()
    until(lambda: " ready " in served.log()[said:].partition("rebuilt from the directories")[2])
    assert "the catalogue is damaged, the next daemon rebuilds it" in served.log()
    answer = served.request("GET", "/volumes")[1]["Volumes"]
    assert {one["Name"]: one["Labels"] for one in answer} == {f"v{n}": {"text": "fine"} for n in range(5)}
    assert (served.view / "v3" / "_data" / "file").read_text() == "kept"
    assert len(list((served.root / "volumes").glob("metadata.mdb.damaged-*"))) == 1
