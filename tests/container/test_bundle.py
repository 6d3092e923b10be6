"""Mounts written into an OCI runtime spec: what is replaced, what stays, what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.container.bundle import ANNOTATION, parse, root_of, text_of, with_mounts
from volfs.errors import Invalid


def spec(*mounts, **fields):
    return {"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "mounts": list(mounts), **fields}


def mount(destination, source="/src"):
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind"]}


PROC, DEV, SHM = mount("/proc", "proc"), mount("/dev", "tmpfs"), mount("/dev/shm", "shm")


def at(changed):
    return [one["destination"] for one in changed["mounts"]]


def test_the_specs_own_mounts_come_first_and_stay_as_they_are():
    changed = with_mounts(spec(PROC, DEV, SHM), [mount("/data"), mount("/data/deep")], "")
    assert changed["mounts"] == [PROC, DEV, SHM, mount("/data"), mount("/data/deep")]


@pytest.mark.parametrize("own", ["/data", "/data/", "//data", "/x/../data"])
def test_a_mount_of_the_spec_at_the_same_destination_is_replaced(own):
    changed = with_mounts(spec(PROC, mount(own, "/old")), [mount("/data", "/new")], "")
    assert changed["mounts"] == [PROC, mount("/data", "/new")]


def test_a_container_with_a_dev_of_its_own_gets_nothing_on_top_of_it():
    assert at(with_mounts(spec(PROC, DEV, SHM), [mount("/dev")], "")) == ["/proc", "/dev"]
    assert at(with_mounts(spec(mount("/devices")), [mount("/dev")], "")) == ["/devices", "/dev"]


def test_what_the_container_does_not_have_any_more_goes_the_next_time():
    first = with_mounts(spec(PROC), [mount("/old"), mount("/data")], "")
    again = with_mounts(parse(text_of(first)), [mount("/data")], "")
    assert at(again) == ["/proc", "/data"]


def test_the_same_mounts_again_change_nothing():
    once = with_mounts(spec(PROC, linux={"namespaces": []}), [mount("/data")], "rslave")
    assert with_mounts(once, [mount("/data")], "rslave") == once


@pytest.mark.parametrize(
    ("there", "needed", "then"),
    [
        (None, "", None),
        (None, "rslave", "rslave"),
        (None, "shared", "shared"),
        ("private", "rslave", "rslave"),
        ("slave", "rslave", "slave"),
        ("rshared", "rslave", "rshared"),
        ("rslave", "shared", "shared"),
        ("rshared", "shared", "rshared"),
        ("private", "", "private"),
    ],
)
def test_the_root_propagates_at_least_as_far_as_the_mounts_need(there, needed, then):
    linux = {"namespaces": [{"type": "mount"}]} | ({"rootfsPropagation": there} if there else {})
    changed = with_mounts(spec(linux=linux), [mount("/data")], needed)
    assert changed["linux"].get("rootfsPropagation") == then
    assert changed["linux"]["namespaces"] == [{"type": "mount"}]


def test_a_spec_without_mounts_and_annotations_gets_them():
    changed = with_mounts({"ociVersion": "1.0.2", "mounts": None, "annotations": {"a": "1"}}, [mount("/data")], "")
    assert changed["mounts"] == [mount("/data")]
    assert changed["annotations"] == {"a": "1", ANNOTATION: '["/data"]'}


@pytest.mark.parametrize("note", ["no json", "{}", "[1]", 5])
def test_an_annotation_that_somebody_else_wrote_is_replaced(note):
    changed = with_mounts(spec(PROC, annotations={ANNOTATION: note}), [mount("/data")], "")
    assert at(changed) == ["/proc", "/data"]


def test_the_containers_root_is_who_the_spec_maps_it_to():
    mappings = [{"containerID": 1, "hostID": 7, "size": 1}, {"containerID": 0, "hostID": 100000, "size": 65536}]
    assert root_of(spec(linux={"uidMappings": mappings, "gidMappings": mappings[1:]})) == (100000, 100000)
    assert root_of(spec(linux={"uidMappings": None})) == (0, 0)
    assert root_of(spec()) == (0, 0)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"ociVersion": 1}',
        b'{"ociVersion": "1", "mounts": {}}',
        b'{"ociVersion": "1", "mounts": [1]}',
        b'{"ociVersion": "1", "mounts": [{"type": "bind"}]}',
        b'{"ociVersion": "1", "linux": []}',
        b'{"ociVersion": "1", "annotations": "x"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_spec_is_refused(text):
    with pytest.raises(Invalid):
        parse(text)


leaves = st.sampled_from([None, True, 0, 1.5, "", "/data", "1.0.2", "[", "\ud800"])
keys = st.sampled_from(["destination", "rootfsPropagation", "uidMappings", ANNOTATION])
json_values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(st.sampled_from(["ociVersion", "mounts", "linux", "annotations", "x"]), json_values))
def test_any_json_is_a_spec_that_can_be_changed_or_refused(value):
    try:
        read = parse(json.dumps(value).encode())
    except Invalid:
        return
    changed = with_mounts(read, [mount("/data")], "shared")
    root_of(read)
    assert changed["mounts"][-1] == mount("/data")
    assert {key: changed[key] for key in value if key == "x"} == {key: value[key] for key in value if key == "x"}
