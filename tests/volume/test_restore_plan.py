"""The plan of a restore: every case of the table, and that carrying it out leaves nothing to do."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volfs.mount.mountinfo import MountEntry
from volfs.volume.restore import Entries, Entry, Found, Kernel, Plan, mounted_in, plan, removing_serial
from volfs.volume.volume import Kind, Reference, State

VOLUMES, VIEW = "/r/volumes", "/v"
NOW, BEFORE = "this boot", "another boot"


def mounts(*paths):
    return [MountEntry(n, 1, "0:1", "/", path, (), (), "tmpfs", "tmpfs", ()) for n, path in enumerate(paths, 2)]


def user(id_="id", kind=Kind.PLUGIN, boot=NOW):
    return Reference(id_, kind, boot, 1)


def look(boot=NOW):
    return user("view", Kind.VIEW, boot)


def stored(entries):
    """As the store tells of them: most volumes by name alone."""
    by_name = {entry.name: entry for entry in sorted(entries)}
    return Entries(list(by_name), {name: entry for name, entry in by_name.items() if entry != Entry(name)})


def planned(entries=(), names=(), work=(), removed=(), plain=(), references=(), mounted=()):
    found = Found(names, work, removed, plain)
    return plan(stored(entries), found, references, Kernel(mounts(*mounted), NOW, VOLUMES, VIEW))


def test_nothing_at_all_is_an_empty_plan():
    assert planned() == Plan()
    assert planned().empty


def test_an_entry_with_its_directory_is_kept():
    assert planned([Entry("aa"), Entry("bb")], ["aa", "bb"]) == Plan(kept=2)


def test_a_directory_without_an_entry_is_adopted():
    assert planned([Entry("bb")], ["aa", "bb", "cc"]) == Plan(kept=1, adopt=["aa", "cc"])


def test_an_entry_without_a_directory_is_missing_once():
    assert planned([Entry("aa")]) == Plan(missing=["aa"])
    assert planned([Entry("aa", state=State.DAMAGED)]) == Plan(missing=["aa"])
    assert planned([Entry("aa", state=State.MISSING)]) == Plan()


def test_a_missing_volume_whose_directory_is_back_has_returned():
    assert planned([Entry("aa", state=State.MISSING)], ["aa"]) == Plan(kept=1, returned=["aa"])


def test_volumes_with_options_and_damaged_ones_are_looked_at_later():
    entries = [Entry("aa", has_options=True), Entry("bb", state=State.DAMAGED), Entry("cc")]
    assert planned(entries, ["aa", "bb", "cc"]) == Plan(kept=3, verify=["aa", "bb"])


def test_a_volume_of_another_driver_is_kept_without_a_directory():
    assert planned([Entry("aa", driver="other")]) == Plan(kept=1)


def test_a_removal_that_was_renamed_but_not_committed_is_finished():
    result = planned([Entry("aa")], work=[".removing-7"], removed={"aa"}, references=[("aa", look())])
    assert result == Plan(finished=["aa"], sweep=[".removing-7"], drop=[("aa", "view")])


def test_a_volume_that_was_made_anew_while_its_old_tree_waits_is_kept():
    assert planned([Entry("aa")], ["aa"], [".removing-7"], {"aa"}) == Plan(kept=1, sweep=[".removing-7"])


def test_a_tool_is_no_user_any_more_and_a_plugin_has_to_be_told():
    tool = user("export-1", Kind.TOOL)
    other = user("id")
    result = planned([Entry("aa")], ["aa"], references=[("aa", tool), ("aa", other)])
    assert result == Plan(kept=1, drop=[("aa", "export-1")])
    result = planned([Entry("aa", driver="other")], references=[("aa", tool)])
    assert result == Plan(kept=1, leave=[("aa", tool)])


def test_work_that_is_left_is_swept():
    work = [".creating-x", ".removing-3"]
    assert planned(work=work) == Plan(sweep=work)


def test_a_mount_that_nobody_uses_is_unmounted_newest_first():
    paths = [f"{VOLUMES}/aa/_data", f"{VOLUMES}/aa/_data/sub", f"{VOLUMES}/aa/_data"]
    result = planned([Entry("aa", has_options=True)], ["aa"], mounted=paths)
    assert result.unmount == [paths[2], paths[1], paths[0]]


def test_a_mount_that_somebody_uses_stays():
    entry = Entry("aa", has_options=True)
    paths = [f"{VOLUMES}/aa/_data"]
    assert planned([entry], ["aa"], references=[("aa", user())], mounted=paths).empty
    result = planned([entry], ["aa"], references=[("aa", user(boot=BEFORE))], mounted=paths)
    assert (result.unmount, result.drop) == (paths, [("aa", "id")])


def test_a_mount_in_a_volume_without_options_is_the_administrators():
    assert planned([Entry("aa")], ["aa"], mounted=[f"{VOLUMES}/aa/_data"]).empty
    assert planned(names=["aa"], plain={"aa"}, mounted=[f"{VOLUMES}/aa/_data"]) == Plan(adopt=["aa"])


def test_a_mount_in_an_adopted_volume_with_options_is_a_leak():
    path = f"{VOLUMES}/aa/_data"
    assert planned(names=["aa"], mounted=[path]) == Plan(adopt=["aa"], unmount=[path])


def test_mounts_that_are_none_of_ours_are_left_alone():
    elsewhere = [
        "/",
        "/r",
        VOLUMES,
        f"{VOLUMES}/aa",
        "/r/volumes2/aa/_data",
        "/r/other/_data",
        VIEW,
    ]
    assert planned([Entry("aa", has_options=True)], ["aa"], mounted=elsewhere).empty


def test_a_reference_of_another_boot_is_dropped_and_one_of_this_boot_stays():
    references = [("aa", user("new")), ("aa", user("old", boot=BEFORE)), ("bb", user("old", Kind.CONTAINER, BEFORE))]
    result = planned([Entry("aa"), Entry("bb")], ["aa", "bb"], references=references)
    assert result.drop == [("aa", "old"), ("bb", "old")]


def test_the_view_uses_what_is_bound_on_it_and_nothing_else():
    entries, names = [Entry("aa"), Entry("bb")], ["aa", "bb"]
    references = [("aa", look()), ("bb", look())]
    result = planned(entries, names, references=references, mounted=[f"{VIEW}/aa/_data"])
    assert result.drop == [("bb", "view")]


def test_what_is_bound_over_the_view_without_a_user_on_record_has_the_view_as_one_and_stays_mounted():
    paths = [f"{VOLUMES}/aa/_data", f"{VIEW}/aa/_data"]
    assert planned([Entry("aa", has_options=True)], ["aa"], mounted=paths) == Plan(kept=1, verify=["aa"], see=["aa"])


def test_what_is_bound_of_a_plugin_that_may_have_been_told_that_the_view_left_is_stale():
    leaving = [("aa", user("view", Kind.LEAVING))]
    bind = [f"{VIEW}/aa/_data"]
    assert planned([Entry("aa", "other")], references=leaving, mounted=bind) == Plan(kept=1, stale=["aa"])


def test_a_bind_of_what_is_not_mounted_any_more_is_stale_and_no_user():
    result = planned([Entry("aa", has_options=True)], ["aa"], references=[("aa", look())], mounted=[f"{VIEW}/aa/_data"])
    assert result == Plan(kept=1, verify=["aa"], stale=["aa"], drop=[("aa", "view")])


@pytest.mark.parametrize(
    ("work", "serial"),
    [
        (".removing-12", 12),
        (".removing-12.3", 12),
        (".removing-", 0),
        (".removing-x", 0),
        (".removing-1x", 0),
        (".creating-12", 0),
        ("12", 0),
    ],
)
def test_the_serial_in_the_name_of_a_removal(work, serial):
    assert removing_serial(work) == serial


# What a plan does to a model of the store, the directories and the mount table.


NAMES = ["aa", "aa-", "aa.b", "aab", "bb", "zz"]
ENTRY = st.builds(
    Entry,
    name=st.just(""),
    driver=st.sampled_from(["local", "local", "other"]),
    state=st.sampled_from([State.OK, State.OK, State.MISSING, State.DAMAGED]),
    has_options=st.booleans(),
)
IDS = ["view", "c1", "c2"]
REFERENCE = st.builds(
    Reference,
    id=st.sampled_from(IDS),
    kind=st.sampled_from(Kind),
    boot=st.sampled_from([NOW, BEFORE, ""]),
    since=st.just(1),
)
INSIDE = ["", "/_data", "/_data/sub", "/other"]
MOUNT = st.one_of(
    st.tuples(st.sampled_from([*NAMES, ".removing-3", "-stranger"]), st.sampled_from(INSIDE)).map(
        lambda parts: f"{VOLUMES}/{parts[0]}{parts[1]}"
    ),
    st.sampled_from(NAMES).map(lambda name: f"{VIEW}/{name}/_data"),
    st.sampled_from(["/", "/r", VOLUMES, VIEW, "/r/volumesx/aa/_data", "/home/aa/_data"]),
)


class World:
    """The model. `options` are the names of directories whose opts.json names a mount, `containers` have files."""

    def __init__(self, entries, names, work, serials, references, mounted, options, containers):
        self.containers = containers
        self.entries = {name: entry._replace(name=name) for name, entry in entries.items()}
        self.names, self.work, self.options = set(names), set(work), set(options)
        self.serials = serials
        self.references = {(name, one.id): one for name, one in references if name in self.entries}
        self.mounted = [path for path in mounted if self.possible(path)]

    def possible(self, path):
        """The kernel moves a mount with its directory, and takes it away with it."""
        place = path.removeprefix(f"{VOLUMES}/").partition("/")[0]
        return not path.startswith(f"{VOLUMES}/") or place in self.names | self.work | {"-stranger"}

    def plan(self):
        kernel = Kernel(mounts(*self.mounted), NOW, VOLUMES, VIEW)
        strangers = (mounted_in(kernel) & self.names) - set(self.entries)
        removed = {self.serials[number] for work in self.work if (number := removing_serial(work)) in self.serials}
        plain = strangers - self.options
        work, gone = sorted(self.work), removed & set(self.entries)
        found = Found(sorted(self.names), work, gone, plain, containers=self.containers)
        references = [(name, one) for (name, _), one in sorted(self.references.items(), key=lambda item: item[0])]
        return plan(stored(self.entries.values()), found, iter(references), kernel)

    def carry_out(self, result):
        for name in result.adopt:
            assert name not in self.entries
            self.entries[name] = Entry(name, has_options=name in self.options)
        for names, state in ((result.missing, State.MISSING), (result.returned, State.OK)):
            for name in names:
                self.entries[name] = self.entries[name]._replace(state=state)
        for name in result.finished:
            del self.entries[name]
            self.references = {key: one for key, one in self.references.items() if key[0] != name}
        for key in result.drop:
            self.references.pop(key, None)
        for name, reference in result.leave:
            self.references[name, reference.id] = msgspec.structs.replace(reference, kind=Kind.LEAVING, boot=NOW)
        for name, reference in result.stopped:
            self.references[name, reference.id] = msgspec.structs.replace(reference, boot="")
        for name in result.see:
            self.references[name, "view"] = look()
        for name in result.stale:
            self.references.pop((name, "view"), None)
            self.mounted = [path for path in self.mounted if path != f"{VIEW}/{name}/_data"]
        for path in result.unmount:
            last = len(self.mounted) - 1 - self.mounted[::-1].index(path)
            assert not any(other.startswith(path + "/") for other in self.mounted[last + 1 :])
            del self.mounted[last]
        self.work -= set(result.sweep)


@st.composite
def worlds(draw):
    entries = draw(st.dictionaries(st.sampled_from(NAMES), ENTRY))
    serials = dict(enumerate(draw(st.permutations(NAMES)), 1))
    return World(
        entries,
        draw(st.sets(st.sampled_from(NAMES))),
        draw(st.sets(st.sampled_from([".creating-x", ".removing-1", ".removing-2.1", ".removing-3", ".removing-99"]))),
        serials,
        draw(st.lists(st.tuples(st.sampled_from(NAMES), REFERENCE), max_size=6)),
        draw(st.lists(MOUNT, max_size=8)),
        draw(st.sets(st.sampled_from(NAMES))),
        draw(st.sets(st.sampled_from(IDS))),
    )


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(world):
    world.carry_out(world.plan())
    again = world.plan()
    assert again.empty, again


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_no_directory_is_lost_and_no_entry_goes_without_a_finished_removal(world):
    entries, names = dict(world.entries), set(world.names)
    result = world.plan()
    world.carry_out(result)
    assert world.names == names
    assert names <= set(world.entries)
    assert set(entries) - set(world.entries) == set(result.finished)
    assert not set(result.finished) & names


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_nothing_outside_of_the_root_is_named_and_no_mount_that_is_used(world):
    result = world.plan()
    ended = {*result.drop, *((name, one.id) for name, one in result.leave)}  # a plugin has yet to be told of the latter
    used = {name for (name, id_), one in world.references.items() if (name, id_) not in ended and one.boot == NOW}
    for path in result.unmount:
        name, slash, inside = path.removeprefix(f"{VOLUMES}/").partition("/")
        assert path.startswith(f"{VOLUMES}/")
        assert slash
        assert inside
        assert name not in used
    for work in result.sweep:
        assert work.startswith((".creating-", ".removing-"))
        assert "/" not in work


@given(worlds())
def test_every_name_is_in_at_most_one_fate(world):
    result = world.plan()
    fates = [*result.adopt, *result.missing, *result.returned, *result.finished]
    assert len(fates) == len(set(fates))
    assert result.kept + len({*result.adopt, *result.missing, *result.finished}) <= len(
        set(world.names) | set(world.entries)
    )


@given(worlds())
def test_only_references_are_dropped_that_cannot_be_used_any_more(world):
    result = world.plan()
    for name, id_ in result.drop:
        assert name in result.finished or unusable(world.references[name, id_], world, name, result)
    for key, one in world.references.items():
        if unusable(one, world, key[0], result):
            assert key in result.drop or (key[0], one) in result.leave


@given(worlds())
def test_who_leaves_a_plugins_volume_is_gone_and_the_plugin_may_still_have_it_mounted(world):
    for name, one in world.plan().leave:
        assert unusable(one, world, name, world.plan())
        assert world.entries[name].driver != "local"


def unusable(one, world, name, result):
    if one.kind is Kind.CONTAINER and one.id in world.containers:
        return False
    bound = f"{VIEW}/{name}/_data" in world.mounted and name not in result.stale
    unseen = one.kind is Kind.VIEW and not bound
    return one.boot != NOW or one.kind is Kind.TOOL or unseen


# Containers


def container(boot=NOW, id_="c1"):
    return user(id_, Kind.CONTAINER, boot)


def planned_with(containers, *references, mounted=()):
    found = Found(["aa"], [], containers=containers)
    kernel = Kernel(mounts(*mounted), NOW, VOLUMES, VIEW)
    return plan(stored([Entry("aa", has_options=True)]), found, [("aa", one) for one in references], kernel)


def test_a_container_whose_files_are_in_the_root_is_a_user_across_boots_and_has_stopped():
    assert planned_with({"c1"}, container(BEFORE)).stopped == [("aa", container(BEFORE))]
    assert planned_with({"c1"}, container("")) == Plan(kept=1, verify=["aa"])
    assert planned_with({"c1"}, container()) == Plan(kept=1, verify=["aa"])


def test_a_container_without_files_ends_with_its_boot_and_at_once_where_it_only_was_there():
    assert planned_with({"c2"}, container(BEFORE)).drop == [("aa", "c1")]
    assert planned_with({"c2"}, container("")).drop == [("aa", "c1")]
    assert planned_with({"c2"}, container()).empty


def test_only_a_container_is_kept_for_its_files():
    assert planned_with({"id"}, user(boot=BEFORE)).drop == [("aa", "id")]


def test_a_container_that_does_not_run_keeps_nothing_mounted():
    path = f"{VOLUMES}/aa/_data"
    assert planned_with({"c1"}, container(""), mounted=[path]).unmount == [path]
    assert planned_with({"c1"}, container(BEFORE), mounted=[path]).unmount == [path]
    assert planned_with({"c1"}, container(), mounted=[path]).unmount == []
