"""Users whose Unmount was lost, on a real root with real mount namespaces."""

import os
import subprocess
from contextlib import contextmanager

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import PROJECT
from tests.volume.test_service import TMPFS, mounted, serving
from volfs.mount import syscalls
from volfs.mount.mountinfo import MountEntry, Origin, origin, under
from volfs.volume.evidence import PODMAN, Evidence, _held, shown
from volfs.volume.volume import Kind

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")]
HOLD = 'mount --make-rprivate / && mount --bind "$1" "$2" && umount -l "$1" 2>/dev/null; echo there; read end'


@pytest.fixture
def root(tmp_path):
    yield tmp_path / "root"
    for left in reversed(under(syscalls.read_mountinfo(), str(tmp_path))):
        syscalls.detach(left.mountpoint)


@pytest.fixture
async def service(root):
    async with serving(root) as made:
        yield made


@pytest.fixture
async def evidence(service):
    """Looks as soon as it is told."""
    async with trio.open_nursery() as nursery:
        made = Evidence(service, "/nowhere/view", settling=0.05)
        nursery.start_soon(made.run)
        yield made
        nursery.cancel_scope.cancel()


@contextmanager
def container(place, at):
    """A process in a mount namespace of its own that has `place` mounted at `at`, as a container has."""
    command = ["unshare", "-m", "sh", "-c", HOLD, "-", str(place), str(at)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "there\n"
        yield
        process.stdin.close()


async def gone(service, name, user):
    with trio.fail_after(20):
        while service.uses.has(name, user) or service.busy(name):
            await trio.sleep(0.01)


@pytest.mark.parametrize("options", [None, TMPFS])
async def test_who_has_nothing_mounted_anywhere_has_left(service, evidence, root, options):
    await service.create("db", options=options)
    await service.uses.mount("db", "lost", Kind.PLUGIN)
    evidence.doubt()
    await gone(service, "db", "lost")
    assert mounted(root) == []


@pytest.mark.parametrize("options", [None, TMPFS])
async def test_who_may_be_there_stays_until_nobody_is(service, evidence, root, tmp_path, options):
    await service.create("db", options=options)
    place = await service.uses.mount("db", "lost", Kind.PLUGIN)
    await service.uses.mount("db", "alive", Kind.PLUGIN)
    (tmp_path / "in container").mkdir()
    with container(place, tmp_path / "in container"):
        evidence.doubt()
        await trio.sleep(0.5)
        assert len(service.references("db")) == 2
    await service.uses.unmount("db", "alive")
    await gone(service, "db", "lost")
    assert mounted(root) == []


async def test_podmans_only_user_and_those_who_are_no_dockers_are_not_in_doubt(service, evidence):
    for user, kind in ((PODMAN, Kind.PLUGIN), ("c1", Kind.CONTAINER), ("view", Kind.VIEW), ("lost", Kind.PLUGIN)):
        await service.create(user[:10])
        await service.uses.mount(user[:10], user, kind)
    evidence.doubt()
    await gone(service, "lost", "lost")
    assert [service.uses.has(user[:10], user) for user in (PODMAN, "c1", "view")] == [True] * 3


async def test_who_comes_after_the_lost_call_is_not_in_doubt(service, evidence):
    await service.create("db")
    await service.uses.mount("db", "lost", Kind.PLUGIN)
    evidence.doubt()
    await service.uses.mount("db", "new", Kind.PLUGIN)
    await gone(service, "db", "lost")
    assert [one.id for one in service.references("db")] == ["new"]


def entry(number, device, root, mountpoint):
    return MountEntry(number, number - 1, device, root, mountpoint, ("rw",), (), "ext4", "/dev/x", ())


TABLE = [
    entry(1, "8:1", "/", "/"),
    entry(2, "8:2", "/vols", "/srv/volumes"),
    entry(3, "0:9", "/", "/srv/volumes/a/_data"),
]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/home/x", Origin("8:1", "/home/x")),
        ("/srv/volumes/b/_data", Origin("8:2", "/vols/b/_data")),
        ("/srv/volumes/a/_data", Origin("0:9", "/")),
        ("/srv/volumes/a/_data/sub", Origin("0:9", "/sub")),
        ("/srv/volumesque", Origin("8:1", "/srv/volumesque")),
        ("/", Origin("8:1", "/")),
    ],
)
async def test_a_place_is_known_by_its_file_system(path, found):
    assert origin(TABLE, path) == found
    assert origin([], path) is None


async def test_what_shows_a_place_or_a_part_of_it_proves_its_use_and_what_lies_around_it_does_not():
    origins = {"b": Origin("8:2", "/vols/b/_data")}
    for root, proves in (
        ("/vols/b/_data", True),
        ("/vols/b/_data/sub", True),
        ("/vols/b/_database", False),
        ("/", False),
    ):
        assert shown(origins, [entry(9, "8:2", root, "/data")], ["/srv"]) == ({"b"} if proves else set())
    assert shown(origins, [entry(9, "8:3", "/vols/b/_data", "/data")], ["/srv"]) == set(), "another device"
    assert shown(origins, [entry(9, "8:2", "/vols/b/_data", "/srv/b/_data")], ["/srv"]) == set(), "our own place"


@given(st.sampled_from(["/", "/srv", "/srv/volumes", "/srv/volumes/a/_data", "/srv/volumes/a/_data/x", "/x"]))
def test_the_mount_at_a_place_shows_the_place(path):
    found = origin(TABLE, path)
    assert found is not None
    assert found.shown_by(entry(9, found.device, found.path, "/anywhere"))
    assert os.path.isabs(found.path)


async def test_a_place_behind_a_symlink_is_seen_in_use(tmp_path):
    """Where a plugin says that its data is may be below /var/run."""
    (tmp_path / "real" / "db").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "at").mkdir()
    with container(tmp_path / "real" / "db", tmp_path / "at"):
        assert _held({"db": str(tmp_path / "link" / "db")}, ["/nowhere"]) == {"db"}


async def test_who_cannot_see_every_mount_table_takes_every_volume_for_used():
    ask = "from volfs.mount.namespaces import mount_tables; print(mount_tables())"
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", ask]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd="/", env={"PYTHONPATH": str(PROJECT)}
    )
    assert done.stdout == "None\n"


async def test_a_doubt_outlives_the_daemon_that_had_it(root):
    async with serving(root) as service:
        await service.create("db")
        await service.uses.mount("db", "lost", Kind.PLUGIN)
        async with trio.open_nursery() as nursery:
            evidence = Evidence(service, "/nowhere/view", settling=3600)
            nursery.start_soon(evidence.run)
            evidence.doubt()
            while not service.store.doubted():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    async with serving(root) as service, trio.open_nursery() as nursery:
        nursery.start_soon(Evidence(service, "/nowhere/view", settling=0.05).run)
        await gone(service, "db", "lost")
        while service.store.doubted():
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
