"""Group commit: one transaction for whoever waits, and nobody pays for another's mistake."""

from contextlib import asynccontextmanager

import outcome
import pytest
import trio
import trio.testing

from volfs.errors import HostError
from volfs.volume.changes import AddReference, Delete, Put
from volfs.volume.store import MapFull, Store
from volfs.volume.volume import Kind, Reference
from volfs.volume.writer import Writer

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(writer):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        yield nursery
        nursery.cancel_scope.cancel()


@pytest.fixture
def transactions(store, monkeypatch):
    """How many changes each transaction had."""
    sizes, real = [], store.commit

    def commit(changes):
        sizes.append(len(changes))
        return real(changes)

    monkeypatch.setattr(store, "commit", commit)
    return sizes


async def test_commits_that_wait_share_a_transaction(store, volume, transactions):
    writer = Writer(store)
    serials = {}

    async def create(name):
        [effect] = await writer.commit(Put(volume(name)))
        serials[name] = effect.volume.serial

    async with trio.open_nursery() as callers:
        for number in range(200):
            callers.start_soon(create, f"v{number}")
        await trio.testing.wait_all_tasks_blocked()
        callers.start_soon(writer.run)
        while len(serials) < 200:
            await trio.sleep(0)
        callers.cancel_scope.cancel()
    assert transactions == [200]
    assert {store.get(name).serial for name in serials} == set(serials.values())
    assert len(set(serials.values())) == 200


async def test_each_caller_gets_the_effects_of_its_own_changes(store, volume, transactions):
    writer = Writer(store)
    results = {}

    async def change(name, *changes):
        results[name] = await writer.commit(*changes)

    async with trio.open_nursery() as callers:
        for name in ("aa", "bb"):
            use = AddReference(name, Reference("view", Kind.VIEW, "boot", 1))
            callers.start_soon(change, name, Put(volume(name)), use, Delete(name))
        callers.start_soon(change, "nothing")
        await trio.testing.wait_all_tasks_blocked()
        async with running(writer):
            while len(results) < 3:
                await trio.sleep(0)
    assert transactions == [6]
    assert results["nothing"] == []
    for name in ("aa", "bb"):
        assert [effect.volume.name if effect.volume else None for effect in results[name]] == [name, name, None]
        assert {effect.owed.name for effect in results[name]} == {name}


async def test_a_commit_that_fails_fails_alone(store, volume):
    writer = Writer(store)
    raised = {}

    async def create(name, created):
        try:
            await writer.commit(Put(volume(name, created=created)))
        except OverflowError as error:
            raised[name] = error

    async with running(writer), trio.open_nursery() as callers:
        for number in range(20):
            callers.start_soon(create, f"v{number}", 1 << 80 if number == 7 else 1)
    assert list(raised) == ["v7"]
    assert sorted(one.name for one in store.volumes()) == sorted(f"v{n}" for n in range(20) if n != 7)


async def test_a_disk_that_refuses_is_told_to_each_caller_and_later_commits_work(store, volume, monkeypatch):
    writer, real, refused = Writer(store), store.commit, []

    def full(changes):
        raise HostError("no space")

    async def create(name):
        with pytest.raises(HostError, match="no space"):
            await writer.commit(Put(volume(name)))
        refused.append(name)

    monkeypatch.setattr(store, "commit", full)
    async with running(writer):
        async with trio.open_nursery() as callers:
            for name in ("aa", "bb"):
                callers.start_soon(create, name)
        assert sorted(refused) == ["aa", "bb"]
        monkeypatch.setattr(store, "commit", real)
        await writer.commit(Put(volume("cc")))
    assert [one.name for one in store.volumes()] == ["cc"]


async def test_the_map_grows_under_load_and_nobody_notices(catalogue, volume):
    store = Store(catalogue, map_size=1 << 20)
    before = store._env.info()["map_size"]
    writer = Writer(store)

    async def create(name):
        await writer.commit(Put(volume(name, labels={"text": "x" * 2000})))
        assert store.get(name) is not None

    async with running(writer), trio.open_nursery() as callers:
        for number in range(2000):
            callers.start_soon(create, f"v{number}")
    assert store.count() == 2000
    assert store._env.info()["map_size"] > before
    with pytest.raises(MapFull):
        store.commit([Put(volume("big", labels={"text": "x" * (store._env.info()["map_size"] + 1)}))])
    store.close()


async def test_what_was_begun_is_written_also_when_the_writer_is_cancelled(store, volume, monkeypatch):
    writer, real = Writer(store), store.commit
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def slow(changes):
        trio.from_thread.run_sync(begun.set, trio_token=token)
        return real(changes)

    monkeypatch.setattr(store, "commit", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        nursery.start_soon(writer.commit, Put(volume("db")))
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert store.get("db") is not None


async def test_a_hand_that_fails_is_its_callers_trouble_alone_and_nothing_of_it_is_committed(
    store, volume, transactions
):
    writer, results = Writer(store), {}

    def refuses():
        raise FileExistsError(17, "is there")

    async def make(name, hand):
        results[name] = await outcome.acapture(writer.commit_done, hand)

    async with trio.open_nursery() as callers:
        callers.start_soon(make, "aa", lambda: [Put(volume("aa"))])
        callers.start_soon(make, "bb", refuses)
        callers.start_soon(make, "cc", lambda: [Put(volume("cc"))])
        await trio.testing.wait_all_tasks_blocked()
        async with running(writer):
            while len(results) < 3:
                await trio.sleep(0)
    assert transactions == [2]
    assert isinstance(results["bb"].error, FileExistsError)
    assert [results[name].unwrap()[0].volume.name for name in ("aa", "cc")] == ["aa", "cc"]


async def test_a_hand_does_its_work_once_however_often_its_commit_is_tried(store, volume, monkeypatch):
    writer, real, done, tries = Writer(store), store.commit, [], []

    def refused(changes):
        tries.append(len(changes))
        if len(tries) == 1:
            raise MapFull
        if len(changes) > 1 or changes[0].volume.name == "bb":
            raise HostError("the disk is full")
        return real(changes)

    def hand(name):
        done.append(name)
        return [Put(volume(name))]

    monkeypatch.setattr(store, "commit", refused)
    results = {}

    async def make(name):
        results[name] = await outcome.acapture(writer.commit_done, lambda: hand(name))

    async with trio.open_nursery() as callers:
        for name in ("aa", "bb"):
            callers.start_soon(make, name)
        await trio.testing.wait_all_tasks_blocked()
        async with running(writer):
            while len(results) < 2:
                await trio.sleep(0)
    assert sorted(done) == ["aa", "bb"]
    assert tries == [2, 2, 1, 1]
    assert results["aa"].unwrap()[0].volume.name == "aa"
    assert isinstance(results["bb"].error, HostError)
