"""Directories as a power cut may leave them, and the catalogue that vouches for them."""

import os
import shutil

import pytest

from volfs.driver import directory as directories
from volfs.driver.local import Description, LocalDriver
from volfs.errors import HostError
from volfs.volume import power_cut
from volfs.volume.changes import Delete, Put, Sealed, Touch
from volfs.volume.observe import described
from volfs.volume.recovery import boot_id, recover
from volfs.volume.store import Store
from volfs.volume.volume import State

BEFORE = "00000000-0000-4000-8000-000000000001"  # the boot that the power cut ended
NOW = "00000000-0000-4000-8000-000000000002"
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
SAID = Description(1_700_000_000, labels={"a": "1"}, options=TMPFS)


@pytest.fixture
def driver(tmp_path):
    made = LocalDriver(tmp_path / "root")
    made.prepare()
    return made


@pytest.fixture
def catalogue(driver):
    store = Store(driver.volumes / "metadata.mdb")
    yield store
    store.close()


@pytest.fixture
def create(driver, catalogue):
    """Creates as the service does; returns the record."""

    def make(name, description=SAID, boot=BEFORE):
        identity = driver.make(name, description)
        [effect] = catalogue.commit([Put(described(name, description), Touch(identity, boot))])
        return effect.volume

    return make


@pytest.fixture
def remove(driver, catalogue):
    """Removes as the service does; returns the work that is left."""

    def take_away(volume, boot=BEFORE):
        work, identity = driver.set_aside(volume.name, volume.serial)
        catalogue.commit([Delete(volume.name, Touch(identity, boot))])
        return driver.volumes / work

    return take_away


@pytest.fixture
def restored(driver, catalogue):
    """What a restore does before all else; done again, there is nothing left to do."""

    def restore(boot=NOW):
        changed = power_cut.recover(catalogue, driver, boot, driver.scan().work)
        assert not power_cut.recover(catalogue, driver, boot, driver.scan().work)
        return changed

    return restore


def lose(path):
    shutil.rmtree(path)


def test_a_volume_whose_directory_never_reached_the_disk_is_made_again(driver, catalogue, create, restored):
    create("db")
    lose(driver.volumes / "db")
    assert restored()
    assert driver.describe("db") == SAID
    assert (driver.volumes / "db").stat().st_mode & 0o7777 == 0o701
    assert (driver.volumes / "db" / "_data").is_dir()
    assert catalogue.unsynced() == []


@pytest.mark.parametrize("name", ["opts.json", "meta.json"])
@pytest.mark.parametrize("torn", ["missing", "empty", "cut off", "zeros"])
def test_files_that_reached_the_disk_in_part_are_written_again(driver, create, restored, name, torn):
    create("db")
    file = driver.volumes / "db" / name
    text = file.read_bytes()
    if torn == "missing":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "cut off": text[:9], "zeros": bytes(len(text))}[torn])
    assert restored()
    assert file.read_bytes() == text
    assert driver.describe("db") == SAID


def test_what_somebody_wrote_into_the_files_is_left_as_it_is(driver, create, restored):
    create("db")
    (driver.volumes / "db" / "opts.json").write_text("mine")
    assert not restored()
    assert (driver.volumes / "db" / "opts.json").read_text() == "mine"


def test_data_that_reached_the_disk_is_kept(driver, create, restored):
    create("db")
    (driver.volumes / "db" / "meta.json").unlink()
    (driver.volumes / "db" / "_data" / "file").write_text("synced")
    assert restored()
    assert (driver.volumes / "db" / "_data" / "file").read_text() == "synced"


def test_in_the_same_boot_what_is_not_there_was_taken_away_by_somebody(driver, catalogue, create, restored):
    create("db", boot=NOW)
    lose(driver.volumes / "db")
    assert not restored()
    assert not driver.exists("db")
    assert len(catalogue.unsynced()) == 1


def test_a_removal_that_never_reached_the_disk_is_done_again(driver, catalogue, create, remove, restored):
    work = remove(create("db"))
    work.rename(driver.volumes / "db")
    assert restored()
    assert not driver.exists("db")
    assert driver.scan().work == [".removing-1"]
    assert catalogue.count() == 0


def test_another_directory_of_a_removed_name_is_left_alone(driver, create, remove, restored):
    lose(remove(create("db")))
    (driver.volumes / "db" / "_data").mkdir(parents=True)
    (driver.volumes / "db" / "_data" / "file").write_text("from a backup")
    assert not restored()
    assert (driver.volumes / "db" / "_data" / "file").read_text() == "from a backup"


def test_a_name_that_was_used_again_at_once_has_no_data_of_the_first(driver, catalogue, create, remove, restored):
    first = create("db")
    (driver.volumes / "db" / "_data" / "file").write_text("of the first")
    work = remove(first)
    second = create("db", Description(1_700_000_001, labels={"b": "2"}))
    lose(driver.volumes / "db")
    work.rename(driver.volumes / "db")
    assert restored()
    assert catalogue.get("db") == second
    assert driver.describe("db").labels == {"b": "2"}
    assert os.listdir(driver.volumes / "db" / "_data") == []
    assert driver.scan().work == [f".removing-{first.serial}"]


def test_a_directory_that_got_the_identity_of_a_removed_one_belongs_to_who_was_made_last(
    driver, catalogue, create, remove, restored, monkeypatch
):
    monkeypatch.setattr(directories.syscalls, "born", lambda descriptor: 1)
    monkeypatch.setattr(directories, "identity", lambda descriptor: "the same")
    lose(remove(create("db")))
    second = create("db")
    (driver.volumes / "db" / "_data" / "file").write_text("of the second")
    assert not restored()
    assert catalogue.get("db") == second
    assert (driver.volumes / "db" / "_data" / "file").read_text() == "of the second"


def test_a_new_volume_that_was_being_removed_is_not_made_again_empty(driver, catalogue, create):
    volume = create("db")
    (driver.volumes / "db" / "_data" / "file").write_text("x")
    driver.set_aside("db", volume.serial)
    catalogue.close()
    store, plan = recover(driver, "/nowhere/view")
    assert plan.finished == ["db"]
    assert store.count() == 0
    assert not driver.exists("db")
    store.close()


def test_a_new_volume_that_is_lost_in_a_power_cut_is_not_missing_after_a_whole_restore(driver, catalogue, create):
    create("db")
    lose(driver.volumes / "db")
    catalogue.close()
    store, plan = recover(driver, "/nowhere/view")
    assert (plan.missing, plan.adopt) == ([], [])
    assert store.get("db").state is State.OK
    assert driver.describe("db") == SAID
    store.close()


def test_the_rest_of_a_create_that_nobody_was_answered_for_is_deleted(driver, catalogue):
    driver.make("db", SAID)
    (driver.volumes / "db" / "opts.json").unlink()
    catalogue.close()
    recover(driver, "/nowhere/view")[0].close()
    assert driver.scan().names == []


@pytest.mark.parametrize("lost", [[], ["_data/file", "opts.json"]])
def test_a_whole_one_or_one_with_data_is_adopted(driver, catalogue, lost):
    driver.make("db", SAID)
    (driver.volumes / "db" / "_data" / "file").write_text("x")
    for name in lost[1:]:
        (driver.volumes / "db" / name).unlink()
    catalogue.close()
    store, plan = recover(driver, "/nowhere/view")
    assert plan.adopt == ["db"]
    assert (driver.volumes / "db" / "_data" / "file").read_text() == "x"
    assert store.get("db").state is (State.DAMAGED if lost else State.OK)
    store.close()


def test_a_directory_of_dockers_without_anything_in_it_is_no_rest(driver, catalogue):
    (driver.volumes / "db" / "_data").mkdir(parents=True)
    catalogue.close()
    store, _ = recover(driver, "/nowhere/view")
    assert store.get("db").state is State.OK
    store.close()


def test_what_cannot_be_done_again_is_tried_at_the_next_start(driver, catalogue, create, monkeypatch):
    create("db")
    lose(driver.volumes / "db")

    def refuse(*_):
        raise HostError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(driver, "complete", refuse)
        assert power_cut.recover(catalogue, driver, NOW, [])
    assert len(catalogue.unsynced()) == 1
    assert power_cut.recover(catalogue, driver, NOW, [])
    assert driver.describe("db") == SAID


def test_without_a_birth_time_everything_is_synced_at_once(driver, create, monkeypatch):
    monkeypatch.setattr(directories.syscalls, "born", lambda descriptor: 0)
    synced, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), real(descriptor)))
    assert driver.make("db", SAID) == ""
    assert len(synced) == 5
    assert driver.set_aside("db", 1).identity == ""
    assert len(synced) == 6


def test_only_what_was_made_or_taken_away_before_a_seal_is_sealed(catalogue, create, remove):
    volume = create("aa")
    create("bb")
    number = catalogue.unsynced()[-1].number
    remove(volume)
    catalogue.commit([Sealed(number)])
    assert [(one.name, one.gone) for one in catalogue.unsynced()] == [("aa", True)]


def test_restores_own_boot_is_the_kernels(driver, catalogue, create):
    create("db", boot=boot_id())
    lose(driver.volumes / "db")
    catalogue.close()
    store, plan = recover(driver, "/nowhere/view")
    assert plan.missing == ["db"]
    store.close()
