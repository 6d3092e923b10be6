"""The entries of Docker's volume store, as Go writes them and as they may be found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dockerroot.bolt_file import whole_file
from volfs.dockerroot.metadata import Record, plausible, read, records


def codes(findings):
    return [finding.code for finding in findings]


@pytest.mark.parametrize(
    ("text", "record"),
    [
        (b'{"Name":"db","Driver":"local","Labels":null,"Options":null}', Record("db", "local")),
        (b'{"Name":"db","Driver":"local","Labels":{},"Options":{}}', Record("db", "local", {}, {})),
        (
            b'{"Name":"db","Driver":"nfs","Labels":{"a":"\\u003cb\\u003e\\u0026"},"Options":{"o":"x=1"}}',
            Record("db", "nfs", {"a": "<b>&"}, {"o": "x=1"}),
        ),
        (b'{"Name":"db","Labels":{"a":null}}', Record("db", "", {"a": ""})),
        (b'{"Name":"db","Driver":"local","Labels":{"k":"' + b"x" * 5_000_000 + b'"}}', None),
    ],
    ids=["plain", "empty", "escaped", "older", "large"],
)
def test_what_go_encodes_is_read(text, record):
    [found], findings = records({b"db": text})
    assert findings == ()
    assert found == record or len(found.labels["k"]) == 5_000_000


def test_an_empty_value_is_skipped_without_a_word():
    assert records({b"db": b""}) == ([], ())


@pytest.mark.parametrize("text", [b"!", b"{", b"[]", b'"x"', b'{"Labels":5}', b'{"Name":1}', b"\xff", b"[" * 100_000])
def test_a_value_that_cannot_be_read_costs_that_volume_only(text):
    found, findings = records({b"aa": text, b"bb": b'{"Name":"bb"}'})
    assert found == [Record("bb")]
    assert [(finding.code, finding.subject) for finding in findings] == [("metadata-entry", "aa")]


@pytest.mark.parametrize("text", [b"null", b"{}", b'{"Name":""}', b'{"Name":"other","Driver":"fake"}'])
def test_the_key_is_the_name_and_another_one_inside_is_a_finding(text):
    [found], findings = records({b"db": text})
    assert found.name == "db"
    assert codes(findings) == ["metadata-name"]


def test_names_are_any_bytes():
    names = [b"sp ace", b"../up", "名前".encode(), b"\xff\xfe", b"n" * 30_000]
    found, _ = records(dict.fromkeys(names, b'{"Driver":"fake"}'))
    assert [record.name.encode(errors="surrogateescape") for record in found] == names


def test_findings_do_not_tell_what_a_value_holds():
    _, findings = records({b"db": b'{"Name":"db","Options":{"o":"password=hush"},"Labels":hush}'})
    assert "hush" not in str(findings)


def test_a_file_is_read_with_all_that_is_wrong_in_it():
    pairs = {b"aa": b'{"Name":"aa","Driver":"local"}', b"bb": b"!", b"cc": b""}
    file = whole_file(pairs)
    file.pages[0] = b""
    found, reading = read(bytes(file))
    assert found == [Record("aa", "local")]
    assert codes(reading.findings) == ["bolt-one-meta", "metadata-entry"]
    assert reading.pairs == pairs


def test_what_belongs_together_is_plausible():
    assert plausible(b"db", b'{"Name":"db","Driver":"local","Labels":null,"Options":null}')
    assert not plausible(b"bd", b'{"Name":"db","Driver":"local","Labels":null,"Options":null}')
    assert not plausible(b"db", b'{"Driver":"db"}')
    assert not plausible(b"\xff", b'{"Name":"db"}')


@given(st.dictionaries(st.binary(), st.binary() | st.sampled_from([b"null", b'{"Labels":{"a":"\\ud800"}}', b"1e999"])))
def test_any_pairs_are_records_and_findings(pairs):
    found, findings = records(pairs)
    assert len(found) <= len(pairs)
    assert len(findings) <= 22
    assert not any(
        plausible(key, value) and key.decode() not in {r.name for r in found} for key, value in pairs.items()
    )
