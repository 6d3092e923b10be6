"""Containers as users: those that are there need their volumes, those that run have them mounted besides."""

import shutil

import pytest

from tests.volume.test_service import TMPFS, needs_mounts, serving
from volfs.errors import HostError, InUse, Unavailable
from volfs.mount.mountinfo import under
from volfs.mount.syscalls import detach, is_mount_root, read_mountinfo
from volfs.volume.changes import AddReference
from volfs.volume.containers import containers_in, is_container
from volfs.volume.volume import Kind, Reference

pytestmark = pytest.mark.anyio
C1 = "c1" * 32


@pytest.fixture
def root(tmp_path):
    yield tmp_path / "root"
    for left in reversed(under(read_mountinfo(), str(tmp_path))):
        detach(left.mountpoint)


@pytest.fixture
def container(root):
    """The directory of a container that is there."""
    directory = root / "containers" / C1
    directory.mkdir(parents=True)
    (directory / "config.v2.json").write_text("{}")
    return directory


def test_containers_are_those_with_files_in_the_root(root, container, tmp_path):
    (root / "containers" / ("d" * 64)).mkdir()
    assert containers_in(root) == {C1}
    assert is_container(root, C1)
    for other in ("d" * 64, "view", f"../containers/{C1}", ""):
        assert not is_container(root, other)
    assert containers_in(tmp_path / "none") == set()


async def test_a_container_that_stops_keeps_its_volume_from_being_removed_until_its_files_are_gone(root, container):
    async with serving(root) as service:
        await service.create("db")
        await service.uses.mount("db", C1, Kind.CONTAINER)
        await service.uses.unmount("db", C1)
        assert [(one.id, one.kind, one.boot) for one in service.references("db")] == [(C1, Kind.CONTAINER, "")]
        with pytest.raises(InUse, match=C1):
            await service.remove("db", force=True)
        shutil.rmtree(container)
        await service.remove("db")
        assert service.store.get("db") is None


async def test_a_container_from_elsewhere_is_gone_when_it_has_left(root):
    async with serving(root) as service:
        await service.create("db")
        await service.uses.mount("db", C1, Kind.CONTAINER)
        await service.uses.unmount("db", C1)
        assert service.references("db") == []


@needs_mounts
async def test_nothing_is_mounted_for_a_container_that_does_not_run(root, container):
    data = root / "volumes" / "scratch" / "_data"
    async with serving(root) as service:
        await service.create("scratch", options=TMPFS)
        service.store.commit([AddReference("scratch", Reference(C1, Kind.CONTAINER, "", 1))])
        await service.uses.mount("scratch", "m1", Kind.PLUGIN)
        await service.uses.unmount("scratch", "m1")
        assert not is_mount_root(str(data))
        await service.uses.mount("scratch", C1, Kind.CONTAINER)
        await service.uses.mount("scratch", "m1", Kind.PLUGIN)
        await service.uses.unmount("scratch", "m1")
        assert is_mount_root(str(data))
        assert service.uses.has("scratch", C1)
        await service.uses.unmount("scratch", C1)
        assert not is_mount_root(str(data))
        assert not service.uses.has("scratch", C1)
        assert [one.id for one in service.references("scratch")] == [C1]


async def test_a_start_that_fails_leaves_the_container_as_it_was(root, container):
    async with serving(root) as service:
        await service.create("db")
        before = Reference(C1, Kind.CONTAINER, "", 1)
        service.store.commit([AddReference("db", before)])
        (root / "volumes" / "db" / "_data").rmdir()
        with pytest.raises((HostError, Unavailable)):
            await service.uses.mount("db", C1, Kind.CONTAINER)
        assert service.references("db") == [before]
