"""Every byte of what a volume says about itself flipped and cut: a value or damage, of that volume alone."""

import json
import os
import random

import pytest

from tests.torture.records import Records, variants
from volfs.driver.local import Description
from volfs.driver.notes import Notes
from volfs.driver.record import read_record
from volfs.mount.syscalls import can_mount


@pytest.fixture
def records(tmp_path):
    records = Records(tmp_path)
    yield records
    records.close()


def test_a_changed_byte_anywhere_in_opts_json_is_damage_or_other_options_and_keeps_the_labels(records):
    outcomes = {records.with_opts(text) for text in variants(records.opts)}
    assert outcomes == {"damage", "as it was", "other options"}


def test_a_changed_byte_anywhere_in_meta_json_costs_labels_at_most(records):
    assert {records.with_meta(text) for text in variants(records.meta)} == {"as it was", "other labels or time"}


def test_both_files_after_any_accident_are_read_as_something(records, tmp_path):
    chance = random.Random(5)
    whole = {"opts.json": records.opts, "meta.json": records.meta}
    for _ in range(300):
        for name, text in whole.items():
            changed = bytearray(text)
            for _ in range(chance.randrange(4)):
                at = chance.randrange(len(changed))
                changed[at : at + chance.randrange(3)] = chance.choice(
                    (chance.randbytes(2), b"", b"[" * 3, b'"', b"null", b"\\ud800", b"9" * 30, bytes(changed[:at]))
                )
            (tmp_path / name).write_bytes(bytes(changed))
        found = read_record(records.directory)
        json.dumps(found.labels)
        assert isinstance(found.created, int)
        assert found.damage is None or "hunter2" not in found.damage


def test_a_changed_byte_anywhere_in_a_note_is_a_note_or_none(tmp_path):
    notes = Notes(tmp_path)
    notes.write("sp ace", Description(1_700_000_000, "fake", {"a": "1"}, {"password": "hunter2"}))
    [path] = (tmp_path / "plugin-volumes").iterdir()
    for text in variants(path.read_bytes()):
        path.write_bytes(text)
        found = notes.read("sp ace")
        assert found is None or (found.driver and found.damage is None)
    assert notes.names() == ["sp ace"]


@pytest.mark.skipif(not can_mount(), reason="needs a daemon")
def test_a_daemon_starts_with_any_of_them_and_only_these_volumes_differ(serve):
    served = serve()
    served.create("whole", DriverOpts={"type": "tmpfs", "device": "tmpfs"}, Labels={"a": "1"})
    served.create("fine", Labels={"b": "2"})
    text = {name: (served.root / "volumes" / "whole" / name).read_bytes() for name in ("opts.json", "meta.json")}
    assert served.stop() == 0
    chance, expected = random.Random(6), []
    for number in range(60):
        name = chance.choice(list(text))
        place = served.root / "volumes" / f"v{number:03}"
        (place / "_data").mkdir(parents=True)
        for one, content in text.items():
            (place / one).write_bytes(content)
        (place / name).write_bytes(chance.choice(list(variants(text[name]))))
        expected.append(place.name)
    served.start()
    answer = served.request("GET", "/volumes")[1]["Volumes"]
    assert [one["Name"] for one in answer] == sorted([*expected, "whole", "fine"])
    states = {one["Name"]: one["Status"]["State"] for one in answer}
    assert set(states.values()) == {"ok", "damaged"}
    assert (states["whole"], states["fine"]) == ("ok", "ok")
    for name in expected:
        assert json.loads((served.view / name / "meta").read_text())["Status"]["State"] == states[name]
        assert os.path.exists(served.view / name / "_data") is (states[name] == "ok") or states[name] == "ok"
