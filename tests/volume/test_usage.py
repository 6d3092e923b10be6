"""Usage: every volume measured once a run, however many ask; nothing is made up where nothing can be measured."""

import os
import threading

import pytest
import trio

from volfs.driver.local import LocalDriver
from volfs.driver.record import Description
from volfs.volume.changes import Put
from volfs.volume.store import Store
from volfs.volume.usage import Usage
from volfs.volume.volume import State, Volume

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes directories as root does")


@pytest.fixture
def driver(tmp_path):
    driver = LocalDriver(tmp_path)
    driver.prepare()
    return driver


@pytest.fixture
def store(driver):
    store = Store(driver.volumes / "metadata.mdb")
    yield store
    store.close()


@pytest.fixture
def make(driver, store):
    """Makes a volume; its data directory and its record."""

    def make(name, **fields):
        driver.create(name, Description(1))
        [effect] = store.commit([Put(Volume(name=name, serial=0, created=1, **fields))])
        return driver.volumes / name / "_data", effect.volume

    return make


def test_a_volume_is_measured_as_files_say_and_as_the_disk_does(make, store, driver):
    place, volume = make("db")
    (place / "deep" / "er").mkdir(parents=True)
    (place / "deep" / "er" / "file").write_bytes(b"x" * 10_000)
    os.link(place / "deep" / "er" / "file", place / "again")
    with open(place / "sparse", "wb") as file:
        file.truncate(1 << 30)
    (place / "link").symlink_to("/etc")
    usage = Usage(store, driver)
    assert usage.last(volume) is None
    trio.run(usage.measure)
    figure = usage.last(volume)
    assert (figure.apparent, figure.files) == (10_000 + (1 << 30) + len("/etc"), 3)
    assert 10_000 <= figure.allocated < 1 << 20


def test_what_cannot_be_measured_has_no_figure_and_holds_nobody_up(make, store, driver):
    _, plain = make("plain")
    _, elsewhere = make("elsewhere", options={"type": "tmpfs", "device": "tmpfs"})
    _, missing = make("missing", state=State.MISSING)
    place, gone = make("gone")
    place.rmdir()
    usage = Usage(store, driver)
    trio.run(usage.measure)
    assert usage.last(plain).files == 0
    assert [usage.last(one) for one in (elsewhere, missing)] == [None, None]
    assert usage.last(gone) is None or usage.last(gone).files == 0


def test_who_asks_during_a_run_gets_that_runs_figures(make, store, driver, monkeypatch):
    for number in range(5):
        make(f"v{number}")
    measured, lock = [], threading.Lock()
    really = driver.measure

    def measure(name):
        with lock:
            measured.append(name)
        return really(name)

    monkeypatch.setattr(driver, "measure", measure)
    usage = Usage(store, driver)

    async def ask():
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(usage.measure)

    trio.run(ask)
    assert sorted(measured) == [f"v{number}" for number in range(5)]


def test_a_run_that_was_given_up_lets_the_next_one_begin(make, store, driver):
    _, volume = make("db")
    usage = Usage(store, driver)

    async def ask():
        with trio.CancelScope() as scope:
            scope.cancel()
            await usage.measure()
        await usage.measure()

    trio.run(ask)
    assert usage.last(volume) is not None
