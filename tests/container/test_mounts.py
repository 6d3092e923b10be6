"""Mounts of an OCI runtime spec, decided: those that a real Docker made of the same files, and every rule by itself."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.container.conftest import ID, SAMPLES
from volfs.container.config import Container, MountPoint, MountType
from volfs.container.mounts import mounts, network_files, volumes_of
from volfs.container.paths import clean, depth
from volfs.container.tmpfs import merged
from volfs.errors import Invalid, NotFound

HERE = f"/srv/moved/containers/{ID}"


def bind(destination, source="/src", rw=True, **fields):
    return {"Type": "bind", "Source": source, "Destination": destination, "RW": rw, "Propagation": "rprivate", **fields}


def volume(destination, name="db", rw=True, **fields):
    return {"Type": "volume", "Name": name, "Driver": "local", "Destination": destination, "RW": rw, **fields}


def decided(container, sources=None, present=None, directory=HERE, root=(0, 0)):
    sources = {mount.destination: f"/v/{mount.name}" for mount in volumes_of(container)} | (sources or {})
    network = network_files(container, sources, directory)
    return mounts(container, sources, network, {file.source for file in network} if present is None else present, root)


def destinations(result):
    return [mount["destination"] for mount in result.mounts]


def only(result):
    [mount] = result.mounts
    return mount


# What Docker made of the same files


@pytest.mark.parametrize("name", ["every_kind", "volumes_from"])
def test_a_real_container_gets_the_mounts_that_docker_gave_it(sample, name):
    container = sample(name)
    sources = {mount.destination: f"/var/lib/docker/volumes/{mount.name}/_data" for mount in volumes_of(container)}
    result = decided(container, sources, directory=f"/var/lib/docker/containers/{container.id}")
    expected = json.loads((SAMPLES / f"{name}.mounts.json").read_text())
    by_destination = {mount["destination"]: mount for mount in expected}
    assert {mount["destination"]: mount for mount in result.mounts} == by_destination
    assert destinations(result)[-3:] == ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"]
    assert result.warnings == ()


def test_the_network_files_of_a_moved_container_are_where_it_is_now(sample):
    container = sample("every_kind")
    directory = f"/new/place/containers/{container.id}"
    result = decided(container, directory=directory)
    assert list(result.chown) == [f"{directory}/{name}" for name in ("resolv.conf", "hostname", "hosts")]
    assert [mount["source"] for mount in result.mounts[-3:]] == list(result.chown)


# Binds and volumes


def test_a_volume_is_mounted_from_where_it_was_set_up(container):
    result = decided(container(volume("/data", Source="/old/place")), {"/data": "/run/safe-mount"})
    assert only(result) == {"destination": "/data", "type": "bind", "source": "/run/safe-mount", "options": ["rbind"]}


def test_a_volume_that_was_not_set_up_is_named_with_its_container_and_destination(container):
    made = container(volume("/data", "lost"))
    with pytest.raises(NotFound, match=f"volume 'lost'.*{ID}.*/data"):
        mounts(made, {}, (), ())


def test_the_source_of_a_bind_is_its_own_unless_the_caller_knows_better(container):
    made = container(bind("/b", "/old"))
    assert only(decided(made))["source"] == "/old"
    assert only(decided(made, {"/b": "/new"}))["source"] == "/new"


@pytest.mark.parametrize("source", ["", "relative/path"])
def test_a_bind_without_an_absolute_source_is_refused(container, source):
    with pytest.raises(Invalid, match=r"/b .*no absolute path"):
        decided(container(bind("/b", source)))


@pytest.mark.parametrize(
    ("mount", "options"),
    [
        (bind("/b"), ["rbind", "rprivate"]),
        (bind("/b", rw=False), ["rbind", "ro", "rprivate"]),
        (bind("/b", Propagation="rslave"), ["rbind", "rslave"]),
        (bind("/b", Propagation=""), ["rbind"]),
        (bind("/b", Propagation="sideways"), ["rbind"]),
        (bind("/b", Spec={"BindOptions": {"NonRecursive": True}}), ["bind", "rprivate"]),
        (bind("/b", rw=False, Spec={"BindOptions": {"ReadOnlyForceRecursive": True}}), ["rbind", "rro", "rprivate"]),
        (volume("/b"), ["rbind"]),
        (volume("/b", rw=False, Relabel="ro,nocopy"), ["rbind", "ro"]),
    ],
)
def test_the_options_of_a_bind_are_dockers(container, mount, options):
    assert only(decided(container(mount)))["options"] == options


@pytest.mark.parametrize(
    ("propagations", "root"),
    [(["rprivate"], ""), (["slave"], "rslave"), (["rslave", "rprivate"], "rslave"), (["slave", "rshared"], "shared")],
)
def test_the_root_propagates_as_far_as_the_mounts_ask(container, propagations, root):
    made = container(*(bind(f"/b{n}", Propagation=word) for n, word in enumerate(propagations)))
    assert decided(made).rootfs_propagation == root


def test_mounts_lie_in_the_order_of_their_depth_and_then_of_the_file(container):
    made = container(
        volume("/z/y/x"),
        bind("/z/y"),
        volume("/m"),
        bind("/a/b/c/d"),
        volume("/z"),
        bind("/a/b"),
        host={"Tmpfs": {"/a": "", "/z/y/x/w": ""}},
    )
    expected = ["/m", "/z", "/a", "/z/y", "/a/b", "/z/y/x", "/a/b/c/d", "/z/y/x/w"]
    assert destinations(decided(made)) == expected


@given(st.lists(st.sampled_from(["/a", "/a/b", "/a/b/c", "/b", "/a/c", "/b/a", "/a-b", "/a/b-c"]), unique=True))
def test_no_mount_hides_an_earlier_one(paths):
    made = Container(id=ID, mount_points=tuple(MountPoint(path, MountType.BIND, "/src") for path in paths))
    order = destinations(decided(made))
    assert sorted(order) == sorted(paths)
    for place, path in enumerate(order):
        assert not any(before.startswith(path + "/") for before in order[:place])


# tmpfs


def test_a_tmpfs_takes_the_place_of_a_volume_and_the_volume_is_not_asked_for(container):
    made = container(volume("/data"), volume("/other"), host={"Tmpfs": {"/data/": "size=1m"}})
    assert [mount.destination for mount in volumes_of(made)] == ["/other"]
    result = decided(made)
    assert [(mount["destination"], mount["type"]) for mount in result.mounts] == [
        ("/other", "bind"),
        ("/data", "tmpfs"),
    ]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, []),
        ({"ReadOnly": True}, ["ro"]),
        ({"TmpfsOptions": {"Mode": 0o1777, "SizeBytes": 3 << 30}}, ["mode=1777", "size=3g"]),
        ({"TmpfsOptions": {"SizeBytes": 1536 << 10}}, ["size=1536k"]),
        ({"TmpfsOptions": {"SizeBytes": 1001}}, ["size=1001"]),
        ({"TmpfsOptions": {"SizeBytes": -1}}, ["size=-1"]),
        ({"TmpfsOptions": {"Options": [["uid", "5"], ["exec"]]}}, ["uid=5", "exec"]),
    ],
)
def test_a_mount_of_type_tmpfs_has_its_options_behind_the_defaults(container, spec, words):
    made = container({"Type": "tmpfs", "Destination": "/t", "Spec": {"Type": "tmpfs", **spec}})
    defaults = [word for word in ("noexec", "nosuid", "nodev", "rprivate") if word != "noexec" or "exec" not in words]
    assert only(decided(made)) == {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": defaults + words}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", ["noexec", "nosuid", "nodev", "rprivate"]),
        ("defaults", ["noexec", "nosuid", "nodev", "rprivate"]),
        ("rw,size=64m,exec,mode=1777", ["nosuid", "nodev", "rprivate", "rw", "size=64m", "exec", "mode=1777"]),
        ("size=1m,size=2m", ["noexec", "nosuid", "nodev", "rprivate", "size=2m"]),
        ("ro,rw,ro", ["noexec", "nosuid", "nodev", "rprivate", "ro"]),
        ("shared", ["noexec", "nosuid", "nodev", "shared"]),
        ("mpol=bind:0", ["noexec", "nosuid", "nodev", "rprivate", "mpol=bind:0"]),
    ],
)
def test_the_last_word_of_a_kind_wins(text, options):
    assert merged(text) == options


@pytest.mark.parametrize("text", ["bogus", "size", "colour=red", "rw,,ro", "mode 1777", "ro=1"])
def test_an_option_that_tmpfs_has_not_is_refused_with_its_place(container, text):
    with pytest.raises(Invalid, match=rf"container {ID}, tmpfs at /t: invalid tmpfs option \["):
        decided(container(host={"Tmpfs": {"/t": text}}))


# Network files


def network(**config):
    paths = {name: f"/var/lib/docker/containers/{ID}/{name}" for name in ("resolv.conf", "hostname", "hosts")}
    return {
        "ResolvConfPath": paths["resolv.conf"],
        "HostnamePath": paths["hostname"],
        "HostsPath": paths["hosts"],
        **config,
    }


def test_network_files_come_last_and_belong_to_the_containers_root(container):
    result = decided(container(bind("/etc/deep/down/there"), **network()), root=(100000, 100001))
    assert destinations(result) == ["/etc/deep/down/there", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"]
    assert result.mounts[-1] == {
        "destination": "/etc/hosts",
        "type": "bind",
        "source": f"{HERE}/hosts",
        "options": ["rbind", "rprivate"],
    }
    assert (result.chown, result.owner) == (
        (f"{HERE}/resolv.conf", f"{HERE}/hostname", f"{HERE}/hosts"),
        (100000, 100001),
    )


def test_network_files_are_read_only_with_a_read_only_root(container):
    result = decided(container(**network(), host={"ReadonlyRootfs": True}))
    assert all(mount["options"] == ["rbind", "ro", "rprivate"] for mount in result.mounts)


@pytest.mark.parametrize(("rw", "options"), [(True, ["rbind", "rprivate"]), (False, ["rbind", "ro", "rprivate"])])
def test_a_users_mount_replaces_a_network_file_and_keeps_its_owner(container, rw, options):
    mine = bind("/etc/hosts", "/home/me/hosts", rw=rw, Propagation="rslave")
    result = decided(container(mine, **network(), host={"ReadonlyRootfs": rw}))
    assert destinations(result).count("/etc/hosts") == 1
    expected = {"destination": "/etc/hosts", "type": "bind", "source": "/home/me/hosts", "options": options}
    assert result.mounts[-1] == expected
    assert "/home/me/hosts" not in result.chown


def test_a_file_of_a_volume_can_replace_a_network_file(container):
    made = container(volume("/etc/hostname", "names", Spec={"VolumeOptions": {"Subpath": "one"}}))
    result = decided(made, {"/etc/hostname": "/v/names/one"})
    assert only(result)["source"] == "/v/names/one"


def test_a_network_file_that_is_not_there_is_left_out_with_a_warning(container):
    result = decided(container(**network()), present={f"{HERE}/hosts"})
    assert destinations(result) == ["/etc/hosts"]
    assert result.chown == (f"{HERE}/hosts",)
    assert [warning.code for warning in result.warnings] == ["container-network-file-missing"] * 2
    assert f"{HERE}/resolv.conf" in result.warnings[0].text


def test_the_network_files_of_another_container_are_found_but_not_given_away(container):
    other = f"/var/lib/docker/containers/{'d' * 64}/hosts"
    [file] = network_files(container(HostsPath=other), {}, HERE)
    assert (file.source, file.own) == (f"/srv/moved/containers/{'d' * 64}/hosts", False)


@pytest.mark.parametrize("path", ["/etc/hosts", f"{HERE}/../../../etc/shadow", f"{HERE}/deeper/hosts", "hosts"])
def test_a_file_outside_of_the_containers_directory_keeps_its_owner(container, path):
    result = decided(container(HostsPath=path))
    assert result.chown == ()
    assert only(result)["source"] == clean(path)


def test_a_container_that_never_started_has_its_own_mounts_only(sample):
    assert destinations(decided(sample("never_started"))) == ["/n"]


# Paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/", "/"), ("", "/"), ("//x", "/x"), ("/a/./b/", "/a/b"), ("/a/../../b", "/b"), ("a", "/a"), ("/..a", "/..a")],
)
def test_paths_are_cleaned_as_go_does(path, expected):
    assert clean(path) == expected


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b", "..."]), max_size=8).map("/".join))
def test_a_clean_path_stays_as_it_is_and_never_leads_up(path):
    cleaned = clean(path)
    assert clean(cleaned) == cleaned
    assert cleaned.startswith("/")
    assert ".." not in cleaned.split("/")
    assert depth(cleaned) == len([part for part in cleaned.split("/") if part])
