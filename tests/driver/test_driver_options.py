"""The options of a local volume: Docker's checks in Docker's words, and opts.json as Go writes and reads it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.driver.options import (
    MountSource,
    check,
    cifs_host,
    from_text,
    masked,
    mount_source,
    ram_in_bytes,
    to_text,
    with_cifs_host,
)
from volfs.errors import Invalid

NO_QUOTA = "quota size requested but no quota support"
CIFS = {"type": "cifs", "o": ""}
TEXT = st.text(st.characters(codec="utf-8"))


def refusal(options):
    with pytest.raises(Invalid) as caught:
        check(options)
    return str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"type": "tmpfs", "device": "tmpfs"},
        {"type": "", "device": ""},
        {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"},
        {"size": "0"},
        {"size": "0.5"},
        {"type": "cifs", "device": "//host/share", "o": ""},
        {"type": "cifs", "device": ""},
        {"type": "nfs", "device": ":::"},
    ],
)
def test_options_that_docker_takes_are_taken(options):
    check(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"foo": "1"}, 'invalid option: "foo"'),
        ({"Type": "1"}, 'invalid option: "Type"'),
        ({"fo\no": ""}, 'invalid option: "fo\\no"'),
        (CIFS | {"device": "//h:445/s"}, "port not allowed in CIFS device URL, include 'port' in 'o='"),
        (CIFS | {"device": ":::"}, 'error parsing mount device url: parse ":::": missing protocol scheme'),
        (CIFS | {"device": "//h:x/s"}, 'error parsing mount device url: parse "//h:x/s": invalid port ":x" after host'),
        ({"size": "1m"}, NO_QUOTA),
        ({"device": "x"}, 'missing required option: "type"'),
        ({"type": "x"}, 'missing required option: "device"'),
        ({"o": "x"}, 'missing required option: "device"'),
        ({"o": "x", "device": "y"}, 'missing required option: "type"'),
        ({"o": "", "type": ""}, 'missing required option: "device"'),
    ],
)
def test_options_that_docker_refuses_are_refused_in_its_words(options, message):
    assert refusal(options) == message


def test_the_checks_come_in_dockers_order():
    wrong = {"o": "x", "type": "cifs", "device": ":::", "size": "1m", "foo": ""}
    assert "invalid option" in refusal(wrong)
    del wrong["foo"]
    assert "missing protocol scheme" in refusal(wrong)
    wrong["device"] = "//h/s"
    assert refusal(wrong) == NO_QUOTA
    assert refusal({"o": "x", "size": "1m"}) == NO_QUOTA


@pytest.mark.parametrize(
    "device", ["//user:hunter2%zz@h/s", "//user:hun ter2@h/s", "//user:hunter2/x@h/s", "//u:hunter2@h:x/"]
)
def test_a_refused_device_does_not_show_its_password(device):
    assert "hun" not in refusal(CIFS | {"device": device})


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1.5g", 3 << 29),
        ("1 KiB", 1024),
        (".5k", 512),
        ("1e3", 1000),
        ("10mb", 10 << 20),
        ("10MiB", 10 << 20),
        ("1b", 1),
        ("1_000", 1000),
        ("7 ", 7),
        ("0.5", 0),
        ("1.", 1),
        ("+2P", 2 << 50),
        ("0x1p4", 16),
    ],
)
def test_a_size_is_read_as_go_units_does(text, size):
    assert ram_in_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1", "invalid size: '-1'"),
        ("", "invalid size: ''"),
        ("NaN", "invalid size: 'NaN'"),
        ("inf", "invalid size: 'inf'"),
        ("1x", "invalid suffix: 'x'"),
        ("1KIX", "invalid suffix: 'kix'"),
        ("1bb", "invalid suffix: 'bb'"),
        ("1kibi", "invalid suffix: 'kibi'"),
        (" 10", 'strconv.ParseFloat: parsing " 10": invalid syntax'),
        ("0x10", 'strconv.ParseFloat: parsing "0x10": invalid syntax'),
        ("1,000", 'strconv.ParseFloat: parsing "1,000": invalid syntax'),
        ("1__0", 'strconv.ParseFloat: parsing "1__0": invalid syntax'),
        (".", 'strconv.ParseFloat: parsing ".": invalid syntax'),
        ("0x1p990p", "invalid size: '0x1p990p': value out of range"),
        ("1e999", 'strconv.ParseFloat: parsing "1e999": value out of range'),
    ],
)
def test_a_size_that_go_units_refuses_is_refused_in_its_words(text, message):
    assert refusal({"size": text}) == message


@given(st.text() | st.text("0123456789.eExXpP_+- kKmMiIbB"))
def test_any_text_is_a_size_or_invalid(text):
    with suppress(Invalid):
        assert ram_in_bytes(text) >= 0


@given(st.dictionaries(st.sampled_from(["type", "o", "device", "size", "x"]), st.text() | st.just("cifs")))
def test_any_options_pass_or_are_invalid(options):
    with suppress(Invalid):
        check(options)


@given(st.text("/:@%ab0?#[] \x00é"))
def test_any_cifs_device_passes_or_is_invalid(device):
    try:
        check({"type": "cifs", "device": device})
    except Invalid:
        return
    with_cifs_host(device, cifs_host(device) or "")


def test_a_volume_is_mounted_only_for_a_type_or_a_device():
    assert mount_source(None) is None
    assert mount_source({"o": "ro", "type": "", "device": "", "size": "0"}) is None
    assert mount_source({"type": "tmpfs"}) == MountSource("tmpfs", "", "")
    assert mount_source({"device": "/x", "o": "bind"}) == MountSource("", "/x", "bind")


def test_a_cifs_host_is_replaced_and_the_path_unescaped():
    assert cifs_host("//me@files:445/a") == "files:445"
    assert cifs_host("/no/host") is None
    assert with_cifs_host("//files/a%20b+c", "10.0.0.1") == "//10.0.0.1/a b+c"


def test_opts_json_is_dockers_text():
    text = to_text({"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})
    assert text == b'{"MountType":"tmpfs","MountOpts":"size=1m","MountDevice":"tmpfs","Quota":{"Size":0}}'


def test_opts_json_is_escaped_as_go_escapes():
    text = to_text({"device": '<a>&\u2028\u2029"\\\n\x01é\x7f'})
    assert (
        text
        == (
            '{"MountType":"","MountOpts":"","MountDevice":"'
            '\\u003ca\\u003e\\u0026\\u2028\\u2029\\"\\\\\\n\\u0001é\x7f","Quota":{"Size":0}}'
        ).encode()
    )


@given(st.fixed_dictionaries({}, optional={"type": TEXT, "o": TEXT, "device": TEXT, "size": st.just("5")}))
def test_what_is_written_is_read_back_without_what_is_empty(options):
    assert (from_text(to_text(options)) or {}) == {key: value for key, value in options.items() if value}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (b"null", None),
        (b"{}", None),
        (b' {"Unknown": [1, {"a": null}]} ', None),
        (b'{"MountType":null,"Quota":null}', None),
        (b'{"Quota":{"Size":null,"Other":"x"}}', None),
        (b'{"mounttype":"a","MOUNTOPTS":"b","mountDevice":"c"}', {"type": "a", "o": "b", "device": "c"}),
        (b'{"MountType":"a","MountType":"b"}', {"type": "b"}),
        (b'{"Quota":{"Size":18446744073709551615}}', {"size": "18446744073709551615"}),
        (b'{"Quota":{"Size":5},"Quota":{}}', {"size": "5"}),
        (b'{"MountType":"\xff"}', {"type": "\ufffd"}),
        (b'{"MountType":"\\ud800"}', {"type": "\ufffd"}),
    ],
)
def test_opts_json_is_read_as_go_reads_it(text, options):
    assert from_text(text) == options


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{} x", "not valid JSON"),
        (b'{"Quota":{"Size":NaN}}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "the whole is an array, not an object"),
        (b'"x"', "the whole is a string"),
        (b"true", "the whole is true or false"),
        (b"1", "the whole is a number"),
        (b'{"MountType":1}', "MountType is a number, not a string"),
        (b'{"MountOpts":{}}', "MountOpts is an object"),
        (b'{"Quota":[]}', "Quota is an array"),
        (b'{"Quota":{"Size":"1"}}', "Quota.Size is a string"),
        (b'{"Quota":{"Size":1.0}}', "whole number"),
        (b'{"Quota":{"Size":-1}}', "whole number"),
        (b'{"Quota":{"Size":1e3}}', "whole number"),
        (b'{"Quota":{"Size":18446744073709551616}}', "whole number"),
        (b'{"Quota":{"Size":' + b"1" * 5000 + b"}}", "whole number"),
    ],
)
def test_an_opts_json_that_go_refuses_is_invalid_and_says_why(text, why):
    with pytest.raises(Invalid, match=why):
        from_text(text)


PIECES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"1",
    b"-",
    b"e",
    b"null",
    b"true",
    b'"MountType"',
    b'"Quota"',
    b'"Size"',
]


@given(st.binary() | st.lists(st.sampled_from([*PIECES, b"\\u", b"NaN", b"\xff"])).map(b"".join))
def test_any_bytes_are_options_or_invalid(text):
    try:
        options = from_text(text)
    except Invalid:
        return
    assert options is None or (options and all(options.values()))


@pytest.mark.parametrize(
    ("device", "shown"),
    [
        ("//user:hunter2@h/s", "//user:********@h/s"),
        ("https://user:hun/ter@h/x", "https://user:********@h/x"),
        ("user:hunter2@h:/x", "user:********@h:/x"),
        ("https://h/x?token=hunter2&a=1", "https://h/x?token=********&a=1"),
        ("https://h:8080/a@b", "https://h:8080/a@b"),
        ("nas:/export@daily", "nas:/export@daily"),
        ("//user@h/s", "//user@h/s"),
        ("/dev/loop0", "/dev/loop0"),
    ],
)
def test_the_password_in_a_device_is_masked(device, shown):
    assert masked({"type": "x", "device": device}) == {"type": "x", "device": shown}


def test_masking_leaves_the_given_options_alone():
    options = {"type": "cifs", "device": "//h/s", "o": "username=a,password=b"}
    assert masked(options)["o"] == "username=a,password=********"
    assert options["o"] == "username=a,password=b"
