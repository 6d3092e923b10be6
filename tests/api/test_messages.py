"""The Engine API's words: what Go's decoder would read, and nothing else."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volfs.api.about import version_of
from volfs.api.messages import (
    API_VERSION,
    OLDEST_API_VERSION,
    CreateRequest,
    at_least,
    check_content_type,
    listed,
    parse_create,
    split_version,
    status_of,
    truth,
)
from volfs.errors import Conflict, HostError, InUse, Invalid, NotFound, Unavailable, VolfsError


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}", b"null", b" null ", b'{"Name": null, "Labels": null}'])
def test_nothing_asks_for_an_anonymous_volume(body):
    assert parse_create(body) == CreateRequest()


def test_a_whole_request_is_read():
    body = b'{"Name":"db","Driver":"local","DriverOpts":{"type":"tmpfs"},"Labels":{"a":""}}'
    assert parse_create(body) == CreateRequest("db", "local", {"type": "tmpfs"}, {"a": ""})


def test_field_names_are_folded_and_keys_of_labels_are_not():
    body = b'{"nAmE":"db","DRIVEROPTS":{"Type":"x"},"labels":{"A":"1","a":"2"}}'
    assert parse_create(body) == CreateRequest("db", "", {"Type": "x"}, {"A": "1", "a": "2"})


def test_the_last_of_several_wins_and_strangers_are_ignored():
    body = b'{"Name":"a","name":"b","Stranger":{"x":[1]},"Labels":{"k":"1","k":"2"}}'
    assert parse_create(body) == CreateRequest("b", labels={"k": "2"})


def test_null_in_labels_is_the_empty_text_and_empty_labels_are_not_none():
    assert parse_create(b'{"Labels":{"a":null},"DriverOpts":{}}') == CreateRequest("", "", {}, {"a": ""})


@pytest.mark.parametrize(
    ("body", "field", "found", "wanted"),
    [
        (b'{"Name":1}', "Name", "number", "string"),
        (b'{"Name":1.5}', "Name", "number", "string"),
        (b'{"Name":true}', "Name", "bool", "string"),
        (b'{"name":[]}', "Name", "array", "string"),
        (b'{"Driver":{}}', "Driver", "object", "string"),
        (b'{"DriverOpts":{"a":1}}', "DriverOpts", "number", "string"),
        (b'{"Labels":{"a":{}}}', "Labels", "object", "string"),
        (b'{"Labels":[]}', "Labels", "array", "map[string]string"),
        (b'{"Labels":"a"}', "Labels", "string", "map[string]string"),
        (b'{"DriverOpts":false}', "DriverOpts", "bool", "map[string]string"),
    ],
)
def test_wrong_types_are_refused_in_gos_words(body, field, found, wanted):
    with pytest.raises(Invalid) as caught:
        parse_create(body)
    assert str(caught.value) == (
        f"invalid JSON: json: cannot unmarshal {found} into Go struct field CreateRequest.{field} of type {wanted}"
    )


@pytest.mark.parametrize(
    ("body", "found"), [(b"1", "number"), (b"[]", "array"), (b'"db"', "string"), (b"true", "bool")]
)
def test_a_body_that_is_no_object_is_refused(body, found):
    message = f"cannot unmarshal {found} into Go value of type volume.CreateRequest"
    with pytest.raises(Invalid, match=message):
        parse_create(body)


@pytest.mark.parametrize("body", [b"{", b"{invalid}", b'{"Name":}', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_not_json_is_refused(body):
    with pytest.raises(Invalid, match="invalid JSON: "):
        parse_create(body)


@pytest.mark.parametrize("body", [b"{}{}", b"{} x", b'{"Name":"db"}\0', b"null null"])
def test_anything_behind_the_json_is_refused(body):
    with pytest.raises(Invalid, match=r"^unexpected content after JSON$"):
        parse_create(body)


def test_a_lone_surrogate_becomes_something_that_can_be_stored_as_with_go():
    made = parse_create(b'{"Labels":{"\\ud800a":"a\\ud800"},"DriverOpts":{"\\udfff":""}}')
    assert made == CreateRequest(options={"\ufffd": ""}, labels={"\ufffda": "a\ufffd"})
    assert parse_create(b'{"Labels":{"a":"\\ud83d\\udcbe"}}').labels == {"a": "\U0001f4be"}


def test_cluster_volumes_are_not_for_volfs():
    with pytest.raises(Unavailable, match="not a swarm manager"):
        parse_create(b'{"ClusterVolumeSpec":{}}')
    assert parse_create(b'{"ClusterVolumeSpec":null}') == CreateRequest()


TEXTS = st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.none() | st.integers(), max_size=3)
FIELDS = st.sampled_from(["Name", "name", "Driver", "Labels", "labels", "DriverOpts", "ClusterVolumeSpec", "x"])
ANY = st.binary() | st.dictionaries(FIELDS, st.text() | TEXTS | st.none() | st.booleans()).map(
    lambda fields: json.dumps(fields).encode()
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(ANY)
def test_any_bytes_are_a_request_or_an_error_that_a_face_can_tell(body):
    try:
        made = parse_create(body)
    except VolfsError as error:
        assert status_of(error) in (400, 503)
        str(error).encode()
    else:
        assert isinstance(made.name, str)
        assert made.labels is None or all(isinstance(text, str) for text in made.labels.values())


@given(TEXTS.map(lambda texts: {key: text for key, text in texts.items() if isinstance(text, str)}), st.text())
def test_what_a_client_meant_is_what_is_read(labels, name):
    body = json.dumps({"Name": name, "Labels": labels}).encode()
    assert parse_create(body) == CreateRequest(name, labels=labels)


# Versions


@pytest.mark.parametrize(
    ("path", "version", "rest"),
    [
        ("/volumes", API_VERSION, "/volumes"),
        ("/v1.24/volumes", "1.24", "/volumes"),
        ("/v1.43/_ping", "1.43", "/_ping"),
        (f"/v{API_VERSION}/volumes/create", API_VERSION, "/volumes/create"),
        ("/v1.43/v1.30/volumes", "1.43", "/v1.30/volumes"),
        ("/volumes/v1.43/x", API_VERSION, "/volumes/v1.43/x"),
        ("/v1.43", API_VERSION, "/v1.43"),
        ("/vx/volumes", API_VERSION, "/vx/volumes"),
        ("", API_VERSION, ""),
    ],
)
def test_a_version_is_taken_from_the_path(path, version, rest):
    assert split_version(path) == (version, rest)


def test_a_version_that_is_too_new_or_too_old_is_refused_in_dockers_words():
    with pytest.raises(Invalid) as caught:
        split_version("/v1.99/volumes")
    assert str(caught.value) == f"client version 1.99 is too new. Maximum supported API version is {API_VERSION}"
    with pytest.raises(Invalid, match=f"client version 1.12 is too old. Minimum .* is {OLDEST_API_VERSION}, please"):
        split_version("/v1.12/volumes")


def test_versions_are_compared_as_numbers():
    assert at_least("1.100", "1.42")
    assert not at_least("1.9", "1.42")
    assert at_least("1.42", "1.42")


@given(st.text() | st.from_regex(r"/v[0-9.]{1,40}/[a-z]*", fullmatch=True))
def test_any_path_has_a_version_or_is_invalid(path):
    try:
        version, rest = split_version(path)
    except Invalid as error:
        assert "client version" in str(error)
    else:
        assert at_least(version, OLDEST_API_VERSION)
        assert path.endswith(rest)


# The rest


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", " application/json ;"])
def test_json_is_json_whatever_follows(content_type):
    check_content_type(content_type)


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        ("", "malformed Content-Type header (): mime: no media type"),
        ("text/plain", "unsupported Content-Type header (text/plain): must be 'application/json'"),
    ],
)
def test_another_content_type_is_refused_in_dockers_words(content_type, message):
    with pytest.raises(Invalid) as caught:
        check_content_type(content_type)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", False),
        ("0", False),
        ("no", False),
        ("False", False),
        ("NONE", False),
        ("1", True),
        ("2", True),
        ("x", True),
    ],
)
def test_what_docker_takes_for_true_is_true(text, meant):
    assert truth(text) is meant


def test_each_kind_of_failure_has_its_status():
    kinds = {NotFound: 404, Invalid: 400, Conflict: 409, InUse: 409, Unavailable: 503, HostError: 500}
    assert {kind: status_of(kind("x")) for kind in kinds} == kinds


def test_an_empty_list_is_a_list_and_no_warnings_are_null():
    assert listed([], b"null") == b'{"Volumes":[],"Warnings":null}\n'
    parts = [b'[{"Name":"db"},{"Name":"dc"}]', b"[]", b'[{"Name":"dd"}]']
    assert json.loads(listed(parts, b'["look"]')) == {
        "Volumes": [{"Name": "db"}, {"Name": "dc"}, {"Name": "dd"}],
        "Warnings": ["look"],
    }


def test_the_version_says_what_a_client_negotiates_with():
    answer = version_of("6.18.0", "x86_64")
    assert (answer["ApiVersion"], answer["MinAPIVersion"]) == (API_VERSION, OLDEST_API_VERSION)
    assert (answer["Os"], answer["Arch"], answer["KernelVersion"]) == ("linux", "amd64", "6.18.0")
    assert version_of("6.18.0", "riscv64")["Arch"] == "riscv64"
