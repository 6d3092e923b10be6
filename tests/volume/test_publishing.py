"""Imported volumes become volumes of the service: all of them or none, and asked twice is asked once."""

import msgspec
import pytest
import trio

from tests.volume.test_service import serving
from volfs.driver.importing import Part, workplace
from volfs.driver.local import Description
from volfs.errors import Conflict, Invalid
from volfs.volume.filters import Filters

pytestmark = pytest.mark.anyio


def part(work, source, name, **fields):
    made = work.new_part(source)
    description = Description(1_700_000_000, **{"labels": {"a": "1"}, **fields})
    return Part(source, made.parent.stat().st_ino, name, description)


async def names(service):
    return [one.name for one in await service.listed(Filters())]


@pytest.fixture
def volumes(tmp_path):
    return tmp_path / "root" / "volumes"


async def test_volumes_appear_with_what_they_are(tmp_path, volumes):
    async with serving(tmp_path / "root") as service:
        with workplace(volumes) as work:
            options = {"type": "tmpfs", "device": "tmpfs"}
            parts = [part(work, "0", "aa"), part(work, "1", "bb", options=options, labels=None)]
            for _ in range(2):
                await service.publishing.publish(work.name, parts)
        plain, other = await service.get("aa"), await service.get("bb")
        assert (plain.created, plain.labels, plain.options) == (1_700_000_000, {"a": "1"}, None)
        assert (other.labels, other.options) == (None, options) and plain.serial != other.serial
        assert [event.volume for event in service.events.kept(0)] == ["aa", "bb"]


async def test_a_name_that_is_taken_keeps_all_of_them_away(tmp_path, volumes):
    async with serving(tmp_path / "root") as service:
        await service.create("bb")
        (volumes / "copied").mkdir()
        with workplace(volumes) as work:
            for taken in ("bb", "copied"):
                parts = [part(work, f"1{len(taken)}", "aa"), part(work, f"2{len(taken)}", taken)]
                with pytest.raises(Conflict, match=f"import {taken}: a volume of this name exists already"):
                    await service.publishing.publish(work.name, parts)
                assert await names(service) == ["bb"]
        assert sorted(one.name for one in volumes.iterdir() if one.is_dir()) == ["bb", "copied"]


async def test_what_a_daemon_that_died_had_renamed_is_the_same_volume_for_the_next(tmp_path, volumes):
    async with serving(tmp_path / "root") as service:
        driver = service.drivers.local.hands
        with workplace(volumes) as work:
            parts = [part(work, "0", "aa"), part(work, "1", "bb")]
            driver.show(work.name, parts[:1])  # and no more: no commit, not the other one
            service.store.close()
            async with serving(tmp_path / "root") as later:
                assert await names(later) == ["aa"]
                await later.publishing.publish(work.name, parts)
                assert await names(later) == ["aa", "bb"]
                first = await later.get("aa")
                assert first.labels == {"a": "1"}
                assert msgspec.structs.replace(first, serial=0, name="bb") == msgspec.structs.replace(
                    await later.get("bb"), serial=0
                )


async def test_two_imports_of_one_name_make_one_volume(tmp_path, volumes):
    async with serving(tmp_path / "root") as service:
        with workplace(volumes) as work, workplace(volumes) as other:
            refused = []

            async def publish(work, *parts):
                try:
                    await service.publishing.publish(work.name, parts)
                except Conflict:
                    refused.append(work)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(publish, work, part(work, "0", "aa"), part(work, "1", "bb"))
                nursery.start_soon(publish, other, part(other, "0", "bb"), part(other, "1", "aa"))
            assert len(refused) == 1 and await names(service) == ["aa", "bb"]


async def test_a_name_or_options_that_cannot_be(tmp_path, volumes):
    async with serving(tmp_path / "root") as service:
        with workplace(volumes) as work:
            for wrong, fields in (("../x", {}), ("a", {}), ("aa", {"options": {"exec": "x"}})):
                with pytest.raises(Invalid, match=r"^import "):
                    await service.publishing.publish(work.name, [part(work, str(len(wrong)), wrong, **fields)])
        assert await names(service) == []
