"""What the view shows of plain volumes: nobody waits for a record of it, and it goes on record all the same."""

import pytest
import trio

from tests.volume.test_service import serving
from volfs.errors import NotFound
from volfs.volume.volume import VIEW_REFERENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service(tmp_path):
    async with serving(tmp_path / "root") as made:
        yield made


@pytest.fixture
def commits(service, monkeypatch):
    """How many transactions there were."""
    made, store = [], service.store
    real = store.commit

    def commit(changes):
        made.append(changes)
        return real(changes)

    monkeypatch.setattr(store, "commit", commit)
    return made


async def test_what_is_shown_and_taken_away_at_once_costs_no_commit(service, commits):
    volume = await service.create("db")
    before, placed = len(commits), []
    assert await service.looks.show("db", volume.serial, placed.append)
    assert placed == [service.mountpoint(volume)]
    assert await service.looks.hide(["db"], lambda name: True) == {"db"}
    assert len(commits) == before


async def test_many_are_put_on_record_and_taken_from_it_in_a_commit_each(service, commits):
    for number in range(20):
        await service.create(f"v{number}")
    names, before = [f"v{number}" for number in range(20)], len(commits)
    assert await service.looks.see([*names, "gone"])
    assert all(service.uses.has(name, VIEW_REFERENCE) for name in names)
    assert await service.looks.see(names)
    assert await service.looks.hide([*names, "gone"], lambda name: name != "v7") == set(names) - {"v7"}
    assert [name for name in names if service.uses.has(name, VIEW_REFERENCE)] == ["v7"]
    assert len(commits) == before + 2


async def test_one_that_somebody_is_at_work_on_is_left_for_later(service):
    await service.create("aa")
    await service.create("bb")
    async with service._locks.held("aa"):
        assert not await service.looks.see(["aa", "bb"])
        assert await service.looks.hide(["aa", "bb"], lambda name: True) == {"bb"}
    assert not service.uses.has("aa", VIEW_REFERENCE)
    assert await service.looks.see(["aa", "bb"])


async def test_one_that_cannot_be_taken_away_keeps_no_other(service, caplog):
    def displace(name):
        if name == "aa":
            raise PermissionError(1, "no")
        return True

    await service.create("aa")
    await service.create("bb")
    assert await service.looks.hide(["aa", "bb"], displace) == {"bb"}
    assert "data stays bound" in caplog.text
    caplog.clear()


async def test_another_volume_of_the_name_is_not_shown_for_the_one_that_was_looked_at(service):
    volume = await service.create("db")
    await service.remove("db")
    await service.create("db")
    with pytest.raises(NotFound):
        await service.looks.show("db", volume.serial, pytest.fail)


async def test_what_has_to_be_mounted_is_not_shown_so(service):
    volume = await service.create("db", options={"type": "tmpfs", "device": "tmpfs"})
    assert not await service.looks.show("db", volume.serial, pytest.fail)
    assert await service.looks.hide(["db"], pytest.fail) == set()
    await trio.lowlevel.checkpoint()
