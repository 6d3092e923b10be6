"""Usage: every volume measured once a run, however many ask; nothing is made up where nothing can be measured."""

import os
import threading
import time
from types import SimpleNamespace

import pytest
import trio

from volfs.driver.local import LocalDriver
from volfs.driver.record import Description
from volfs.errors import HostError
from volfs.mount.syscalls import detach
from volfs.volume.changes import Delete, Put
from volfs.volume.store import Store
from volfs.volume.survey import SILENT
from volfs.volume.usage import Usage
from volfs.volume.volume import State, Volume
from volfs.volume.writer import Writer

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


@pytest.fixture
def usage(store, driver):
    """Told that a store is silent after a fifth of a second."""
    return Usage(store, driver, Writer(store), patience=0.2)


def running(usage, ask):
    """Runs `ask` while the usage's task and its writer's run."""

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(usage._writer.run)
            nursery.start_soon(usage.run)
            answer = await ask()
            nursery.cancel_scope.cancel()
        return answer

    return trio.run(main)


def measure(usage, *names):
    """A run to its end: what was found, by name."""

    async def ask():
        run = usage.start(names or None)
        with trio.fail_after(20):
            await run.ended.wait()
        assert run.whole
        return {one.name: one for one in run.found}

    return running(usage, ask)


@pytest.fixture
def stands_still(driver, monkeypatch):
    """Names of volumes whose store does not answer until `answers` is set; `asked` are those that were asked."""

    stores, really = SimpleNamespace(silent=set(), asked=[], answers=threading.Event()), driver.measure

    def measure(name, total=None, **how):
        stores.asked.append(name)
        if name in stores.silent:
            assert stores.answers.wait(30)
        return really(name, total, **how)

    monkeypatch.setattr(driver, "measure", measure)
    yield stores
    stores.answers.set()


def test_a_volume_is_measured_as_files_say_and_as_the_disk_does(make, usage):
    place, volume = make("db")
    (place / "deep" / "er").mkdir(parents=True)
    (place / "deep" / "er" / "file").write_bytes(b"x" * 10_000)
    os.link(place / "deep" / "er" / "file", place / "again")
    with open(place / "sparse", "wb") as file:
        file.truncate(1 << 30)
    (place / "link").symlink_to("/etc")
    for number in range(600):
        (place / "deep" / f"{number}").write_bytes(b"")
    assert usage.last(volume) is None
    measure(usage)
    figure = usage.last(volume)
    assert (figure.apparent, figure.files) == (10_000 + (1 << 30) + len("/etc"), 603)
    assert 10_000 <= figure.allocated < 1 << 20


def test_what_cannot_be_measured_has_no_figure_and_holds_nobody_up(make, usage):
    _, plain = make("plain")
    _, elsewhere = make("elsewhere", options={"type": "tmpfs", "device": "tmpfs"})
    _, missing = make("missing", state=State.MISSING)
    _, other = make("other", driver="nfs")
    place, gone = make("gone")
    place.rmdir()
    found = measure(usage)
    assert usage.last(plain).files == 0
    assert [usage.last(one) for one in (elsewhere, missing, other, gone)] == [None] * 4
    assert sorted(found) == ["elsewhere", "gone", "missing", "other", "plain"]
    assert not any(one.why for one in found.values())


def test_a_volume_with_options_is_measured_while_it_is_mounted_and_keeps_its_figure(make, usage, driver):
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=10m"}
    place, volume = make("scratch", options=options)
    (place / "below").write_bytes(b"not what is mounted")
    driver.mount("scratch", options)
    try:
        (place / "file").write_bytes(b"x" * 5000)
        measure(usage)
    finally:
        detach(str(place))
    assert (usage.last(volume).apparent, usage.last(volume).files) == (5000, 1)
    kept = usage.last(volume)
    measure(usage)
    assert usage.last(volume) == kept


def test_figures_outlive_the_process_and_go_with_their_volume(make, usage, store, driver):
    place, volume = make("db")
    (place / "file").write_bytes(b"x" * 10)
    measure(usage)
    path = store.path
    store.close()
    again = Store(path)
    try:
        assert again.figure(volume.serial).apparent == 10
        again.commit([Delete("db")])
        [effect] = again.commit([Put(Volume(name="db", serial=0, created=1))])
        assert again.figure(volume.serial) is None
        assert again.figure(effect.volume.serial) is None
    finally:
        again.close()


def test_a_figure_that_says_the_same_is_neither_written_nor_told_again(make, usage):
    _, idle = make("idle")
    place, busy = make("busy")
    told = []

    async def tell(owed):
        told.append(sorted(one.name for one in owed))

    usage.on_figures = tell
    measure(usage)
    kept = usage.last(idle)
    (place / "file").write_bytes(b"more")
    measure(usage)
    assert told == [["busy", "idle"], ["busy"]]
    assert usage.last(idle) == kept
    assert usage.last(busy).files == 1


def test_a_figure_that_says_the_same_is_written_again_when_it_is_old(make, usage, monkeypatch):
    _, volume = make("db")
    measure(usage)
    first = usage.last(volume)
    now = time.time()
    monkeypatch.setattr("volfs.volume.survey.time.time", lambda: now + 3600)
    measure(usage)
    assert usage.last(volume).time >= first.time + 3600


def test_who_asks_during_a_run_follows_that_run(make, usage, stands_still):
    names = [make(f"v{number}")[1].name for number in range(5)]

    async def ask():
        runs = [usage.start() for _ in range(10)]
        await runs[0].ended.wait()
        assert len(set(runs)) == 1
        assert usage.start() is not runs[0]

    running(usage, ask)
    assert sorted(stands_still.asked)[:5] == names


def test_a_run_goes_on_without_the_one_who_asked(make, usage):
    _, volume = make("db")

    async def ask():
        with trio.CancelScope() as scope:
            scope.cancel()
            await usage.start().more(0)
        with trio.fail_after(20):
            while usage.last(volume) is None:
                await trio.sleep(0.01)

    running(usage, ask)


def test_only_the_volumes_that_are_named_are_measured(make, usage):
    volumes = {name: make(name)[1] for name in ("db", "media", "web")}
    found = measure(usage, "web", "db", "web", "nope", "")
    assert sorted(found) == ["", "db", "nope", "web"]
    assert [name for name, volume in volumes.items() if usage.last(volume)] == ["db", "web"]


def test_a_store_that_stands_still_costs_its_own_volume_the_figure_and_no_other(make, usage, stands_still):
    volumes = {name: make(name)[1] for name in ("db", "media", "web")}
    stands_still.silent.add("media")
    found = measure(usage)
    assert found["media"].why == SILENT
    assert [usage.last(one) is None for one in volumes.values()] == [False, True, False]


def test_a_store_that_stands_still_is_not_asked_again_until_it_answers(make, usage, stands_still):
    volumes = {name: make(name)[1] for name in ("db", "media", "web")}
    stands_still.silent.add("media")
    for _ in range(3):
        assert measure(usage)["media"].why == SILENT
        assert measure(usage, "media")["media"].why == SILENT
    assert stands_still.asked.count("media") == 1
    stands_still.answers.set()
    deadline = time.monotonic() + 20
    while measure(usage)["media"].why:
        assert time.monotonic() < deadline
    assert usage.last(volumes["media"]) is not None


def test_a_slow_store_that_goes_on_is_waited_for(make, usage, driver, monkeypatch):
    _, volume = make("db")
    really = driver.measure

    def measure_slowly(name, total, **how):
        for _ in range(10):
            time.sleep(0.08)
            total.seen += 1
        return really(name, total, **how)

    monkeypatch.setattr(driver, "measure", measure_slowly)
    assert not measure(usage)["db"].why
    assert usage.last(volume) is not None


def test_what_the_host_refuses_is_said_and_the_others_are_measured(make, usage, driver, monkeypatch):
    make("db")
    _, fine = make("media")
    really = driver.measure

    def refuse(name, total, **how):
        if name == "db":
            raise HostError("volume db cannot be measured: Input/output error", 5)
        return really(name, total, **how)

    monkeypatch.setattr(driver, "measure", refuse)
    assert measure(usage)["db"].why == "volume db cannot be measured: Input/output error"
    assert usage.last(fine) is not None


def test_figures_that_cannot_be_written_are_answered_all_the_same(make, usage, store, monkeypatch, caplog):
    _, volume = make("db")

    def refuse(changes):
        raise HostError("the catalogue cannot be written: No space left on device", 28)

    monkeypatch.setattr(store, "commit", refuse)
    assert measure(usage)["db"].figure.files == 0
    assert usage.last(volume) is None
    assert "figures are not kept" in caplog.text


def test_who_follows_a_run_is_let_go_when_the_daemon_ends(make, usage, stands_still):
    make("db")
    stands_still.silent.add("db")

    async def ask():
        run = usage.start()
        usage.close()
        with trio.fail_after(20):
            assert await run.more(0) == []
        assert run.ended.is_set() and not run.whole

    running(usage, ask)
