"""What only the catalogue vouches for is synced later, many at once, and nothing while nothing happens."""

import os

import pytest
import trio

from volfs.driver.local import SYNCED_SINGLY, Description, LocalDriver
from volfs.driver.registry import Registry
from volfs.errors import HostError
from volfs.volume import sealing
from volfs.volume.recovery import boot_id, recover
from volfs.volume.service import VolumeService
from volfs.volume.trash import Trash
from volfs.volume.writer import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def service(tmp_path):
    driver = LocalDriver(tmp_path / "root")
    driver.prepare()
    store, _ = recover(driver, "/nowhere/view")
    writer = Writer(store)
    made = VolumeService(store, writer, driver, Trash(driver), boot_id(), Registry(()))
    made.sealing = sealing.Sealing(store, driver, writer, pause=0.05)
    made.writer = writer
    yield made
    store.close()


@pytest.fixture
async def running(service):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.writer.run)
        nursery.start_soon(service.sealing.run)
        yield service
        nursery.cancel_scope.cancel()


async def sealed(service):
    with trio.fail_after(20):
        while service.store.unsynced():
            await trio.sleep(0.01)


def mode(service, name):
    return os.stat(service.drivers.local.hands.volumes / name).st_mode & 0o7777


async def test_a_create_syncs_nothing_but_the_catalogue(running, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(running.sealing, "_pause", 100.0)
    await running.create("db")
    await running.remove("db")
    await running.create("db")
    assert synced == []
    assert [(one.serial, one.gone) for one in running.store.unsynced()] == [(1, False), (1, True), (2, False)]


@pytest.mark.parametrize("count", [1, SYNCED_SINGLY + 1])
async def test_volumes_are_sealed_after_a_while(running, count):
    for number in range(count):
        await running.create(f"v-{number}")
    assert mode(running, "v-0") in (0o1701, 0o701)
    await sealed(running)
    assert {mode(running, f"v-{number}") for number in range(count)} == {0o701}


async def test_one_that_is_removed_before_costs_no_sync_of_its_own(running, monkeypatch):
    asked = []
    monkeypatch.setattr(running.drivers.local.hands, "seal", asked.append)
    monkeypatch.setattr(running.sealing, "_pause", 100.0)
    await running.create("db")
    await running.remove("db")
    await running.create("kept")
    await running.sealing._seal()
    assert asked == [["kept"]]
    assert running.store.unsynced() == []


async def test_a_seal_that_fails_is_tried_again(running, monkeypatch, caplog):
    hands, tries = running.drivers.local.hands, []
    real = hands.seal

    def failing(names):
        tries.append(names)
        if len(tries) == 1:
            raise HostError("volumes cannot be made durable: Input/output error")
        real(names)

    monkeypatch.setattr(hands, "seal", failing)
    await running.create("db")
    await sealed(running)
    assert tries == [["db"], ["db"]]
    assert "volumes are not sealed yet" in caplog.text


async def test_what_a_daemon_before_left_is_sealed(service):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.writer.run)
        await service.create("db")
        assert service.store.unsynced()
        nursery.start_soon(service.sealing.run)
        await sealed(service)
        nursery.cancel_scope.cancel()


async def test_a_copied_directory_that_is_adopted_by_a_create_is_synced_first(running, monkeypatch):
    hands = running.drivers.local.hands
    hands.make("db", Description(1, labels={"a": "1"}))
    assert (await running.create("db")).labels == {"a": "1"}
    assert mode(running, "db") == 0o701
    assert running.store.unsynced() == []
