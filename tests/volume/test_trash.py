"""When the trees of removed volumes are deleted; how is `driver.sweep`'s business."""

import os
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from volfs.driver.local import LocalDriver
from volfs.volume import trash
from volfs.volume.trash import Trash


@pytest.fixture
def driver(tmp_path):
    made = LocalDriver(tmp_path)
    made.prepare()
    return made


def put(given, number):
    (given._driver.volumes / f".removing-{number}" / "_data").mkdir(parents=True)
    given.put(f".removing-{number}")


@asynccontextmanager
async def running(given):
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(given.run)
            yield
            nursery.cancel_scope.cancel()


async def gone(driver):
    while os.listdir(driver.volumes):
        await trio.sleep(0.001)


def test_a_tree_waits_while_more_are_removed(driver):
    async def remove():
        given = Trash(driver)
        async with running(given):
            for number in range(10):
                put(given, number)
                await trio.sleep(trash.LULL / 2)
            assert len(os.listdir(driver.volumes)) == 10
            await gone(driver)

    trio.run(remove, clock=MockClock(autojump_threshold=0.001))


@pytest.mark.anyio
async def test_however_many_are_removed_the_first_do_not_wait_for_long(driver):
    given, number = Trash(driver), 0
    async with running(given):
        while len(os.listdir(driver.volumes)) == number:
            put(given, number)
            number += 1
            await trio.sleep(trash.LULL / 2)


@pytest.mark.anyio
async def test_what_is_left_from_before_is_deleted(driver):
    (driver.volumes / ".removing-1").mkdir()
    async with running(Trash(driver, [".removing-1"])):
        await gone(driver)
