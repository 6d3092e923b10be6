"""A container's files as values: those of a real Docker, older ones, and any bytes."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.container.conftest import ID, SAMPLES
from volfs.container.config import BindOptions, Container, DriverConfig, MountType, TmpfsOptions, VolumeOptions, parse
from volfs.errors import Invalid

NAMED = {
    "Source": "/var/lib/docker/volumes/L0/_data",
    "Destination": "/l0",
    "RW": True,
    "Name": "L0",
    "Driver": "local",
    "Type": "volume",
    "Relabel": "z",
    "Spec": {"Type": "volume", "Source": "L0", "Target": "/l0"},
    "SkipMountpointCreation": False,
}
OF_AN_IMAGE = {
    "Source": "",
    "Destination": "/data",
    "RW": True,
    "Name": "d" * 64,
    "Driver": "local",
    "Type": "volume",
    "Spec": {},
    "SkipMountpointCreation": False,
}
OF_A_PLUGIN = {
    "Source": "",
    "Destination": "/p0",
    "RW": True,
    "Name": "P0",
    "Driver": "fake",
    "Type": "volume",
    "Spec": {"Type": "volume", "Source": "P0", "VolumeOptions": {"DriverConfig": {"Name": "fake"}}},
}


def at(container, destination):
    return next(mount for mount in container.mount_points if mount.destination == destination)


def codes(container):
    return [finding.code for finding in container.findings]


def test_a_running_container_of_every_kind_is_read(sample):
    container = sample("every_kind")
    assert (container.name, container.running, container.pid > 1) == ("aa", True, True)
    assert (container.findings, container.readonly_rootfs) == ((), True)
    assert container.hosts_path == f"/var/lib/docker/containers/{container.id}/hosts"
    assert container.tmpfs == {"/t1": "", "/t2": "rw,size=64m,exec,mode=1777"}
    assert "n2:/n2:ro,nocopy" in container.binds
    kinds = {mount.destination: mount.type.value for mount in container.mount_points}
    volumes = dict.fromkeys(["/anon", "/imgvol", "/n2", "/n3", "/named"], "volume")
    assert kinds == {**volumes, "/b1": "bind", "/b2": "bind", "/b3": "bind", "/t3": "tmpfs"}


def test_every_field_of_its_mounts_is_read(sample):
    container = sample("every_kind")
    bind, volume = at(container, "/b3"), at(container, "/n3")
    assert (bind.source, bind.rw, bind.propagation, bind.skip_creation) == ("/srv/src", False, "rprivate", True)
    assert bind.spec.bind_options == BindOptions(propagation="rprivate")
    assert (volume.name, volume.driver, volume.rw, volume.relabel) == ("n3", "local", True, "z")
    assert len(volume.id) == 64
    options = VolumeOptions(
        no_copy=True, labels={"a": "1"}, driver_config=DriverConfig("local", {"device": "tmpfs", "type": "tmpfs"})
    )
    assert volume.spec.volume_options == options
    assert at(container, "/t3").spec.tmpfs_options == TmpfsOptions(size_bytes=1 << 20, mode=0o1770)
    assert (at(container, "/n2").mode, at(container, "/n2").relabel) == ("ro,nocopy", "")


def test_what_volumes_from_brought_lies_among_the_mounts(sample):
    container = sample("volumes_from")
    assert container.volumes_from == ("a2:ro",)
    assert {mount.destination for mount in container.mount_points if not mount.rw} >= {"/anon", "/named", "/imgvol"}


def test_a_container_that_never_started_has_no_network_files(sample):
    container = sample("never_started")
    assert (container.running, container.pid, container.resolv_conf_path) == (False, 0, "")


@pytest.mark.parametrize("mount", [NAMED, OF_AN_IMAGE, OF_A_PLUGIN])
def test_volumes_have_a_name_and_a_driver(container, mount):
    [found] = container(mount).mount_points
    assert (found.type, found.name, found.driver) == (MountType.VOLUME, mount["Name"], mount["Driver"])


def test_newer_fields_are_read(container):
    spec = {
        "VolumeOptions": {"Subpath": "a/b"},
        "BindOptions": {"NonRecursive": True, "CreateMountpoint": True, "ReadOnlyForceRecursive": True},
        "TmpfsOptions": {"Options": [["noexec"], ["uid", "5"]]},
    }
    [found] = container({**NAMED, "Spec": spec}).mount_points
    assert found.subpath == "a/b"
    assert found.spec.bind_options == BindOptions("", True, True, False, True)
    assert found.spec.tmpfs_options.options == (("noexec",), ("uid", "5"))


@pytest.mark.parametrize(
    ("mount", "type_", "driver"),
    [
        ({"Name": "db", "Driver": "local", "Source": "/x"}, MountType.VOLUME, "local"),
        ({"Name": "db", "Source": "/x"}, MountType.VOLUME, "local"),
        ({"Driver": "fake", "Name": "db"}, MountType.VOLUME, "fake"),
        ({"Source": "/x", "Name": "", "Driver": ""}, MountType.BIND, ""),
        ({"Source": "/x"}, MountType.BIND, ""),
        ({"Spec": {"Type": "tmpfs"}}, MountType.TMPFS, ""),
    ],
)
def test_a_type_that_an_older_docker_did_not_write_is_derived(container, mount, type_, driver):
    [found] = container({"Destination": "/d", "RW": True, **mount}).mount_points
    assert (found.type, found.driver, found.propagation, found.mode) == (type_, driver, "", "")


def test_a_mount_without_a_destination_lies_where_its_key_says():
    config = {"ID": ID, "MountPoints": {"/a/../b/": {"Source": "/x"}}}
    assert parse(json.dumps(config).encode(), b"{}").mount_points[0].destination == "/b"


def test_null_stands_for_nothing_wherever_it_is():
    config = {"ID": ID, "Name": None, "State": None, "MountPoints": {"/a": None, "/b": {"Source": "/x", "Spec": None}}}
    host = {"Binds": None, "Tmpfs": None, "VolumesFrom": None, "ReadonlyRootfs": None}
    container = parse(json.dumps(config).encode(), json.dumps(host).encode())
    assert [mount.destination for mount in container.mount_points] == ["/b"]
    assert parse(json.dumps({"ID": ID, "MountPoints": None}).encode(), b"null") == Container(id=ID)


def test_a_volume_without_a_name_is_named_after_its_path(container):
    read = container({**NAMED, "Name": ""})
    assert read.mount_points[0].name == "L0"
    assert codes(read) == ["container-volume-without-name"]


@pytest.mark.parametrize("change", [{"Source": ""}, {"Source": "/x/_data"}, {"Driver": "fake"}])
def test_a_volume_whose_name_is_nowhere_is_read_and_reported(container, change):
    read = container({**NAMED, "Name": "", **change})
    assert (read.mount_points[0].type, read.mount_points[0].name) == (MountType.VOLUME, "")
    assert codes(read) == ["container-volume-without-name"]
    assert "/l0" in read.findings[0].text


@pytest.mark.parametrize("type_", ["npipe", "image", "cluster", "volume "])
def test_other_types_are_left_out_and_reported(container, type_):
    read = container({"Destination": "/d", "Type": type_}, NAMED)
    assert [mount.destination for mount in read.mount_points] == ["/l0"]
    assert codes(read) == ["container-mount-type"]


@pytest.mark.parametrize("destination", ["/", "", "/../..", ".", "/l0/", "l0", "//l0/x/.."])
def test_a_mount_over_the_root_or_over_another_is_left_out_and_reported(container, destination):
    read = container(NAMED, {**NAMED, "Destination": destination, "Name": "second"})
    kept = [mount.name for mount in read.mount_points]
    assert (kept, codes(read)) == (["L0"], ["container-mount-destination"])


def test_a_missing_hostconfig_is_reported():
    assert codes(parse(json.dumps({"ID": ID}).encode(), None)) == ["container-no-hostconfig"]


@pytest.mark.parametrize(
    ("config", "host", "why"),
    [
        (b"", b"{}", "config.v2.json: "),
        (b"[]", b"{}", "config.v2.json: "),
        (b"{}", b"{}", "holds no container's ID"),
        (b'{"ID":"../../etc"}', b"{}", "holds no container's ID"),
        (b'{"ID":5}', b"{}", r"\$\.ID"),
        (b'{"MountPoints":{"/a":{"RW":"yes"}}}', b"{}", r"RW"),
        (b"[" * 100_000, b"{}", "nested too deeply"),
        (f'{{"ID":"{ID}","HostsPath":"/a\\u0000b"}}'.encode(), b"{}", "a zero byte"),
        (f'{{"ID":"{ID}","MountPoints":{{"/a\\u0000b":{{}}}}}}'.encode(), b"{}", "a zero byte"),
        (f'{{"ID":"{ID}"}}'.encode(), b"{", "hostconfig.json: "),
        (f'{{"ID":"{ID}"}}'.encode(), b'{"Tmpfs":[]}', "hostconfig.json: .*Tmpfs"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(config, host, why):
    with pytest.raises(Invalid, match=why):
        parse(config, host)


REAL = (SAMPLES / "every_kind.config.v2.json").read_bytes()
FIELDS = ["ID", "MountPoints", "Name", "State", "HostsPath", "Source", "Spec", "Type", "RW", "Tmpfs", "Destination"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([ID, "/a", "volume", "tmpfs"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner),
)


@given(st.binary(), st.binary() | st.none())
def test_any_bytes_are_a_container_or_invalid(config, host):
    with suppress(Invalid):
        assert isinstance(parse(config, host), Container)


@given(JSON, JSON)
def test_any_json_is_a_container_or_invalid(points, host):
    with suppress(Invalid):
        assert isinstance(
            parse(json.dumps({"ID": ID, "MountPoints": points}).encode(), json.dumps(host).encode()), Container
        )


@given(st.integers(0, len(REAL) - 1), st.binary(max_size=3), st.integers(0, 40))
def test_a_damaged_file_is_a_container_or_invalid(position, junk, lost):
    with suppress(Invalid):
        assert isinstance(parse(REAL[:position] + junk + REAL[position + lost :], b"{}"), Container)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({}, "created"),
        ({"StartedAt": "0001-01-01T00:00:00Z"}, "created"),
        ({"StartedAt": "2026-11-24T05:07:06.123456789Z"}, "exited"),
        ({"Running": True}, "running"),
        ({"Running": True, "Paused": True}, "paused"),
        ({"Running": True, "Restarting": True}, "restarting"),
        ({"RemovalInProgress": True}, "removing"),
        ({"Dead": True}, "dead"),
    ],
)
def test_a_containers_state_is_said_in_dockers_word(state, word):
    assert parse(json.dumps({"ID": ID, "State": state}).encode(), None).state == word
