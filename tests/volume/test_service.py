"""The service on a real root: what Docker promises, and what is kept through a restart."""

import json
import os
import random
import shutil
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from volfs.driver.local import LocalDriver
from volfs.driver.registry import Registry
from volfs.errors import Conflict, HostError, InUse, Invalid, NotFound, Unavailable, VolfsError
from volfs.mount import syscalls
from volfs.mount.mountinfo import under
from volfs.volume.filters import ANONYMOUS, LISTING, PRUNING, Filters, parse_filters
from volfs.volume.prune import Prune
from volfs.volume.recovery import boot_id, recover
from volfs.volume.restore import removing_serial
from volfs.volume.service import VolumeService
from volfs.volume.trash import Trash
from volfs.volume.volume import Kind, State
from volfs.volume.writer import Writer

pytestmark = pytest.mark.anyio
needs_mounts = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
VIEW = "/nowhere/view"
ALL = Filters(all=True)


@pytest.fixture
def root(tmp_path):
    yield tmp_path / "root"
    for left in reversed(under(syscalls.read_mountinfo(), str(tmp_path))):
        syscalls.detach(left.mountpoint)


@pytest.fixture
def directory(root):
    return lambda name: root / "volumes" / name


@asynccontextmanager
async def serving(root):
    """A service as the daemon makes it, from restore to its end."""
    driver = LocalDriver(root)
    driver.prepare()
    store, plan = recover(driver, VIEW)
    writer = Writer(store)
    trash = Trash(driver, [work for work in plan.sweep if removing_serial(work)])
    service = VolumeService(store, writer, driver, trash, boot_id(), Registry(()))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            nursery.start_soon(trash.run)
            yield service
            nursery.cancel_scope.cancel()
    finally:
        store.close()


@pytest.fixture
async def service(root):
    async with serving(root) as made:
        yield made


@pytest.fixture
def seen(service):
    """The invalidations that were sent, in order."""
    sent = []

    async def note(owed):
        sent.extend(owed)

    service.commits.on_change = note
    return sent


async def until(true):
    with trio.fail_after(20):
        while not true():
            await trio.sleep(0.01)


def mounted(root):
    return [entry.mountpoint for entry in under(syscalls.read_mountinfo(), str(root))]


# Create


async def test_a_created_volume_is_on_disk_and_in_the_catalogue_and_was_made_visible(service, seen, directory):
    made = await service.create("db", options=TMPFS, labels={"a": "1"})
    assert (directory("db") / "_data").is_dir()
    assert await service.get("db") == made
    assert (made.driver, made.options, made.labels, made.state) == ("local", TMPFS, {"a": "1"}, State.OK)
    assert service.mountpoint(made) == str(directory("db") / "_data")
    assert [(one.serial, one.name) for one in seen] == [(made.serial, "db")]
    assert service.store.owed() != []
    await service.create("bb")
    assert [one.name for one in service.store.owed()] == ["bb"]


async def test_create_again_answers_what_is_there_and_changes_nothing(service, seen):
    first = await service.create("db", labels={"a": "1"})
    seen.clear()
    assert await service.create("db", labels={"b": "2"}, options={"foo": "not looked at"}) == first
    assert await service.create("db", "local") == first
    assert seen == []


async def test_a_name_is_of_one_driver_only(service):
    await service.create("db")
    message = "create db: driver 'local' already has volume 'db': volume name must be unique"
    with pytest.raises(Conflict) as caught:
        await service.create("db", "other")
    assert str(caught.value) == message


async def test_sixty_four_creates_of_one_name_make_one_volume(service):
    made = []

    async def create(number):
        made.append(await service.create("db", labels={"n": str(number)}))

    async with trio.open_nursery() as callers:
        for number in range(64):
            callers.start_soon(create, number)
    assert len(made) == 64
    assert len({json.dumps([one.serial, one.labels]) for one in made}) == 1
    assert service.store.count() == 1


async def test_creates_and_removes_of_one_name_at_once_leave_one_truth(service, directory):
    async def create():
        await service.create("db")

    async def remove():
        await service.remove("db", force=True)

    async with trio.open_nursery() as callers:
        for number in range(60):
            callers.start_soon(remove if number % 3 == 2 else create)
    assert directory("db").exists() is (service.store.get("db") is not None)
    assert len(service._locks) == 0


async def test_an_empty_name_makes_an_anonymous_volume(service):
    made = await service.create("", labels={"a": "1"})
    assert len(made.name) == 64
    assert not made.name[:12].isdecimal()
    assert set(made.name) <= set("0123456789abcdef")
    assert made.labels == {"a": "1", ANONYMOUS: ""}
    assert (await service.create("")).name != made.name


@pytest.mark.parametrize(
    ("name", "driver", "options", "kind", "message"),
    [
        ("a/b", "", None, Invalid, 'create a/b: "a/b" includes invalid characters for a local volume name'),
        ("..", "", None, Invalid, 'create ..: ".." includes invalid characters'),
        ("x", "", None, Invalid, "create x: volume name is too short"),
        ("x" * 256, "", None, Invalid, "volume name is too long: 256 bytes, at most 255"),
        ("a\0b", "", None, Invalid, "includes invalid characters"),
        ("db", "other", None, NotFound, 'create db: error looking up volume plugin other: plugin "other" not found'),
        ("db", "", {"foo": "1"}, Invalid, 'create db: invalid option: "foo"'),
        ("db", "", {"type": "tmpfs"}, Invalid, 'create db: missing required option: "device"'),
        ("db", "", {"size": "1g"}, Invalid, "create db: quota size requested but no quota support"),
    ],
)
async def test_what_is_wrong_is_refused_in_dockers_words_and_leaves_nothing(
    service, directory, name, driver, options, kind, message
):
    with pytest.raises(kind) as caught:
        await service.create(name, driver, options)
    assert message in str(caught.value)
    assert service.store.count() == 0
    assert {path for path in os.listdir(directory("")) if not path.startswith("metadata.")} == set()


async def test_a_directory_that_was_copied_in_meanwhile_is_adopted_as_it_is(service, directory, tmp_path):
    await service.create("db", options=TMPFS, labels={"a": "1"})
    shutil.copytree(directory("db"), directory("copy"))
    made = await service.create("copy", labels={"b": "2"})
    assert (made.labels, made.options) == ({"a": "1"}, TMPFS)


async def test_a_host_that_refuses_is_named_and_leaves_no_entry(service, directory):
    directory("db").touch()
    with pytest.raises(VolfsError, match="db"):
        await service.create("db")
    assert service.store.get("db") is None
    assert directory("db").is_file()


# Remove


async def test_a_removed_volume_is_gone_at_once_and_its_tree_later(service, seen, directory):
    made = await service.create("db")
    (directory("db") / "_data" / "file").write_text("x")
    seen.clear()
    await service.remove("db")
    assert not directory("db").exists()
    assert [(one.serial, one.name) for one in seen] == [(made.serial, "db")]
    with pytest.raises(NotFound, match="get db: no such volume"):
        await service.get("db")
    await until(lambda: not [one for one in os.listdir(directory("")) if one.startswith(".removing")])


async def test_removing_what_is_not_there_is_an_error_only_without_force(service):
    with pytest.raises(NotFound, match="get db: no such volume"):
        await service.remove("db")
    await service.remove("db", force=True)
    with pytest.raises(NotFound):
        await service.remove("../..")


async def test_a_volume_in_use_is_not_removed_also_with_force(service, directory):
    await service.create("db")
    await service.uses.mount("db", "c0ffee", Kind.PLUGIN)
    await service.uses.mount("db", "view", Kind.VIEW)
    for force in (False, True):
        with pytest.raises(InUse) as caught:
            await service.remove("db", force=force)
        assert str(caught.value) == "remove db: volume is in use - [c0ffee]"
    assert directory("db").is_dir()
    await service.uses.unmount("db", "c0ffee")
    await service.remove("db")  # the view only looks
    assert service.store.references("db") == []


async def test_of_sixteen_removes_one_succeeds(service):
    await service.create("db")
    results = []

    async def remove():
        try:
            await service.remove("db")
            results.append("gone")
        except NotFound:
            results.append("not found")

    async with trio.open_nursery() as callers:
        for _ in range(16):
            callers.start_soon(remove)
    assert sorted(results) == ["gone", *["not found"] * 15]


@needs_mounts
async def test_a_volume_with_something_mounted_inside_is_refused_with_nothing_touched(service, directory):
    for name, options in (("plain", None), ("tmpfs", TMPFS)):
        await service.create(name, options=options, labels={"a": "1"})
        data = directory(name) / "_data"
        if options:
            await service.uses.mount(name, "view", Kind.VIEW)
        (data / "mine").write_text("x")
        (data / "sub").mkdir()
        syscalls.mount("none", str(data / "sub"), "tmpfs")
        (data / "sub" / "theirs").write_text("y")
        for force in (False, True):
            with pytest.raises(InUse, match=f"remove {name}: volume {name} is in use: something is mounted at"):
                await service.remove(name, force=force)
        assert (data / "mine").read_text() == "x"
        assert (data / "sub" / "theirs").read_text() == "y"
        assert (await service.get(name)).labels == {"a": "1"}
        syscalls.unmount(str(data / "sub"))
        await service.remove(name)


async def test_a_missing_volume_can_be_removed(service, directory):
    await service.create("db")
    shutil.rmtree(directory("db"))
    await service.remove("db")
    assert service.store.count() == 0


# States


async def test_a_directory_that_goes_makes_mount_fail_clearly_and_comes_back_without_a_restart(service, directory):
    await service.create("db", labels={"a": "1"})
    directory("db").rename(directory(".") / "kept")
    with pytest.raises(Unavailable, match="db"):
        await service.uses.mount("db", "id", Kind.PLUGIN)
    gone = await service.get("db")
    assert (gone.state, gone.labels) == (State.MISSING, {"a": "1"})
    with pytest.raises(Unavailable, match=f"the volume is missing: put its directory {directory('db')} back"):
        await service.uses.mount("db", "id", Kind.PLUGIN)
    assert service.references("db") == []
    (directory(".") / "kept").rename(directory("db"))
    assert (await service.get("db")).state is State.OK
    await service.uses.mount("db", "id", Kind.PLUGIN)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"MountType": 1}', b"\xff\0", None])
async def test_an_opts_json_that_cannot_be_read_damages_its_volume_alone(service, seen, directory, text):
    await service.create("db", options=TMPFS)
    await service.create("other", options=TMPFS)
    opts = directory("db") / "opts.json"
    whole = opts.read_bytes()
    seen.clear()
    if text is None:
        opts.unlink()
    else:
        opts.write_bytes(text)
    damaged = await service.get("db")
    assert (damaged.state, damaged.options) == (State.DAMAGED, TMPFS)
    assert [one.name for one in seen] == ["db"]
    with pytest.raises(Unavailable, match=r"mount db: .*opts\.json cannot be read; mend the file"):
        await service.uses.mount("db", "id", Kind.PLUGIN)
    assert [one.state for one in await service.listed(Filters())] == [State.DAMAGED, State.OK]
    assert (await service.get("other")).state is State.OK
    opts.write_bytes(whole)
    healed = await service.get("db")
    assert (healed.state, healed.options) == (State.OK, TMPFS)


async def test_options_that_were_changed_on_disk_are_taken_over(service, directory):
    await service.create("db", options=TMPFS)
    text = json.loads((directory("db") / "opts.json").read_text())
    (directory("db") / "opts.json").write_text(json.dumps({**text, "MountOpts": "size=2m"}))
    assert (await service.get("db")).options == {**TMPFS, "o": "size=2m"}


async def test_a_damaged_volume_can_be_removed(service, directory):
    await service.create("db", options=TMPFS)
    (directory("db") / "opts.json").write_text("{")
    assert (await service.get("db")).state is State.DAMAGED
    await service.remove("db")
    assert service.store.count() == 0


# Mount


async def test_users_are_a_set(service):
    await service.create("db")
    for _ in range(3):
        await service.uses.mount("db", "one", Kind.PLUGIN)
    await service.uses.mount("db", "two", Kind.CONTAINER)
    assert [(one.id, one.kind) for one in service.references("db")] == [("one", Kind.PLUGIN), ("two", Kind.CONTAINER)]
    assert await service.uses.unmount("db", "one")
    assert await service.uses.unmount("db", "one")
    assert await service.uses.unmount("db", "never there")
    assert await service.uses.unmount("no such volume", "one")
    assert [one.id for one in service.references("db")] == ["two"]


async def test_mounting_what_is_not_there_is_not_found(service):
    with pytest.raises(NotFound, match="no such volume"):
        await service.uses.mount("db", "id", Kind.PLUGIN)


@needs_mounts
async def test_the_first_user_mounts_and_the_last_one_unmounts(service, root, directory):
    await service.create("db", options=TMPFS)
    assert mounted(root) == []
    data = directory("db") / "_data"
    assert await service.uses.mount("db", "one", Kind.PLUGIN) == str(data)
    (data / "file").write_text("x")
    assert await service.uses.mount("db", "two", Kind.PLUGIN) == str(data)
    assert mounted(root) == [str(data)]
    assert (data / "file").read_text() == "x"
    await service.uses.unmount("db", "one")
    assert mounted(root) == [str(data)]
    with pytest.raises(InUse):
        await service.remove("db")
    await service.uses.unmount("db", "two")
    assert mounted(root) == []
    assert os.listdir(data) == []
    await service.remove("db")


@needs_mounts
async def test_sixteen_users_at_once_make_one_mount(service, root):
    await service.create("db", options=TMPFS)
    async with trio.open_nursery() as callers:
        for number in range(16):
            callers.start_soon(service.uses.mount, "db", str(number), Kind.PLUGIN)
    assert len(mounted(root)) == 1
    async with trio.open_nursery() as callers:
        for number in range(16):
            callers.start_soon(service.uses.unmount, "db", str(number))
    assert mounted(root) == []


@needs_mounts
async def test_a_mount_that_the_kernel_refuses_leaves_no_user(service, root):
    await service.create("db", options={"type": "nosuchfs", "device": "nothing"})
    with pytest.raises(HostError, match="mount db: failed to mount local volume: mount nothing:"):
        await service.uses.mount("db", "id", Kind.PLUGIN)
    assert service.references("db") == []
    assert mounted(root) == []


async def test_place_and_displace_are_called_while_the_volume_is_held(service, directory):
    await service.create("db")
    placed = []
    await service.uses.mount("db", "view", Kind.VIEW, placed.append)
    assert placed == [str(directory("db") / "_data")]
    assert await service.uses.unmount("db", "view", lambda: False) is False
    assert [one.id for one in service.references("db")] == ["view"]
    assert await service.uses.unmount("db", "view", lambda: True) is True
    assert service.references("db") == []


async def test_the_view_leaves_its_volumes_and_nobody_elses(service):
    for name in ("aa", "bb"):
        await service.create(name)
        await service.uses.mount(name, "view", Kind.VIEW)
    await service.uses.mount("aa", "id", Kind.PLUGIN)
    await service.uses.leave_view()
    assert [(name, one.id) for name, one in service.store.all_references()] == [("aa", "id")]


# List and prune


async def test_a_list_is_in_order_and_filtered(service):
    for name, labels in (("bb", {"a": "1"}), ("aa", None), ("cc", {"a": "2"})):
        await service.create(name, labels=labels)
    await service.uses.mount("cc", "id", Kind.PLUGIN)

    async def names(text):
        return [one.name for one in await service.listed(parse_filters(text, LISTING))]

    assert await names("") == ["aa", "bb", "cc"]
    assert await names('{"label": ["a"]}') == ["bb", "cc"]
    assert await names('{"dangling": ["true"], "label": ["a"]}') == ["bb"]
    assert await names('{"dangling": ["false"]}') == ["cc"]


async def test_a_list_over_several_batches_holds_everything_once(service, monkeypatch):
    monkeypatch.setattr("volfs.volume.service.LISTED_AT_ONCE", 3)
    names = [f"v{number}" for number in range(10)]
    for name in names:
        await service.create(name)
    assert [one.name for one in await service.listed(Filters())] == names


async def test_a_prune_takes_the_anonymous_unused_ones_and_counts_their_bytes(service, directory):
    unnamed = (await service.create("")).name
    used = (await service.create("")).name
    await service.create("named")
    await service.create("marked", labels={ANONYMOUS: "anything"})
    await service.uses.mount(used, "id", Kind.PLUGIN)
    await service.uses.mount(unnamed, "view", Kind.VIEW)
    (directory(unnamed) / "_data" / "file").write_bytes(b"x" * 1000)
    pruned = await Prune(service).run(Filters())
    assert sorted(pruned.names) == sorted([unnamed, "marked"])
    assert pruned.reclaimed == 1000
    assert sorted(one.name for one in await service.listed(Filters())) == sorted([used, "named"])


async def test_a_prune_of_all_keeps_what_is_used_labelled_or_cannot_be_removed(service, directory):
    for name, labels in (("aa", None), ("bb", {"keep": "yes"}), ("cc", None), ("dd", {"a": "1"})):
        await service.create(name, labels=labels)
    await service.uses.mount("cc", "id", Kind.PLUGIN)
    text = '{"label!": ["keep"], "all": ["1"]}'
    assert (await Prune(service).run(parse_filters(text, PRUNING))).names == ["aa", "dd"]
    assert (await Prune(service).run(ALL)).names == ["bb"]
    assert (await Prune(service).run(ALL)).names == []


async def test_a_prune_keeps_volumes_with_options_whose_data_is_elsewhere(service):
    await service.create("share", options={"type": "nfs", "device": ":/x", "o": "addr=127.0.0.1"})
    await service.create("plain", options={})
    assert (await Prune(service).run(ALL)).names == ["plain"]


async def test_a_second_prune_at_the_same_time_is_refused(service, monkeypatch):
    await service.create("db")
    begun, go_on = trio.Event(), trio.Event()
    real = service.listed

    async def slow(filters):
        begun.set()
        await go_on.wait()
        return await real(filters)

    monkeypatch.setattr(service, "listed", slow)
    async with trio.open_nursery() as callers:
        prune = Prune(service)
        callers.start_soon(prune.run, ALL)
        await begun.wait()
        with pytest.raises(Conflict, match="a prune operation is already running"):
            await prune.run(ALL)
        go_on.set()
    assert service.store.count() == 0


# Against a model


class Model:
    """What should be there: labels and users of each volume, and whose directory was taken away."""

    def __init__(self, root, chance):
        self.root, self.chance = root, chance
        self.labels: dict[str, dict[str, str] | None] = {}
        self.users: dict[str, set[str]] = {}
        self.lost: set[str] = set()
        self.serials: set[int] = set()

    async def step(self, service):
        name = self.chance.choice(["aa", "bb", "cc", "dd"])
        actions = [self.create, self.create, self.remove, self.mount, self.unmount, self.lose, self.find, self.prune]
        await self.chance.choice(actions)(service, name)
        await self.compare(service, name)

    async def create(self, service, name):
        wanted = self.chance.choice([None, {}, {"n": str(self.chance.random())}])
        made = await service.create(name, labels=wanted)
        if name not in self.labels:
            self.labels[name], self.users[name] = wanted, set()
            assert made.serial not in self.serials
            self.serials.add(made.serial)

    async def remove(self, service, name):
        force = self.chance.choice([True, False])
        if name not in self.labels and not force:
            with pytest.raises(NotFound):
                await service.remove(name)
        elif self.users.get(name):
            with pytest.raises(InUse):
                await service.remove(name, force=force)
        else:
            await service.remove(name, force=force)
            self.forget(name)

    def forget(self, name):
        self.labels.pop(name, None)
        self.users.pop(name, None)
        if name in self.lost:
            self.lost.remove(name)
            shutil.rmtree(self.root / f"lost-{name}")

    async def mount(self, service, name):
        id_ = self.chance.choice("xyz")
        if name in self.labels and name not in self.lost:
            assert await service.uses.mount(name, id_, Kind.PLUGIN) == str(self.root / "volumes" / name / "_data")
            self.users[name].add(id_)
        else:
            with pytest.raises(Unavailable if name in self.labels else NotFound):
                await service.uses.mount(name, id_, Kind.PLUGIN)

    async def unmount(self, service, name):
        id_ = self.chance.choice("xyz")
        await service.uses.unmount(name, id_)
        self.users.get(name, set()).discard(id_)

    async def lose(self, service, name):
        if name in self.labels and name not in self.lost:
            (self.root / "volumes" / name).rename(self.root / f"lost-{name}")
            self.lost.add(name)

    async def find(self, service, name):
        if name in self.lost:
            (self.root / f"lost-{name}").rename(self.root / "volumes" / name)
            self.lost.remove(name)

    async def prune(self, service, name):
        if self.chance.random() < 0.2:
            unused = sorted(one for one in self.labels if not self.users[one] and one not in self.lost)
            assert (await Prune(service).run(ALL)).names == unused
            for one in unused:
                self.forget(one)

    async def compare(self, service, name):
        if name in self.labels:
            assert (await service.get(name)).labels == self.labels[name]
            assert {user.id for user in service.references(name)} == self.users[name]
        else:
            with pytest.raises(NotFound):
                await service.get(name)


@pytest.mark.parametrize("seed", range(6))
async def test_the_service_is_a_dict_that_survives_restarts(root, seed):
    model = Model(root, random.Random(seed))
    for _ in range(6):
        async with serving(root) as service:
            found = await service.listed(Filters())
            assert {one.name: one.labels for one in found} == model.labels
            assert {one.name for one in found if one.state is State.MISSING} == model.lost
            for _ in range(25):
                await model.step(service)


async def test_a_restart_changes_nothing_that_is_whole(root, directory):
    async with serving(root) as service:
        before = [await service.create("aa", labels={"a": "1"}), await service.create("bb", options=TMPFS)]
        await service.uses.mount("aa", "id", Kind.PLUGIN)
        references = list(service.store.all_references())
    async with serving(root) as service:
        assert await service.listed(Filters()) == before
        assert list(service.store.all_references()) == references


async def test_a_tree_that_was_not_deleted_in_time_is_deleted_after_the_restart(root, directory):
    driver = LocalDriver(root)
    driver.prepare()
    work = directory(".removing-7")
    (work / "_data" / "deep").mkdir(parents=True)
    async with serving(root):
        await until(lambda: not work.exists())
