"""Every byte of what a volume says about itself flipped and cut: a value or damage, of that volume alone."""

import json
import os
import random

import pytest

from volfs.driver.local import Description
from volfs.driver.notes import Notes
from volfs.driver.options import mount_source
from volfs.driver.record import read_record, write_record
from volfs.mount.syscalls import can_mount

OPTIONS = {"type": "nfs", "o": "addr=10.0.0.1,password=hunter2", "device": ":/srv/données", "size": "0"}
WHOLE = Description(1_700_000_000, labels={"a": "1", "é": "\n"}, options=OPTIONS)


@pytest.fixture
def directory(tmp_path):
    """A volume's directory with both files, by its descriptor."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    write_record(descriptor, WHOLE)
    assert read_record(descriptor) == WHOLE
    yield descriptor
    os.close(descriptor)


def variants(text):
    """Each byte with each bit flipped, each byte as something else, and each length."""
    for position in range(len(text)):
        for new in {*(text[position] ^ 1 << bit for bit in range(8)), 0, 0xFF, *b'"{}[]:,0\\'} - {text[position]}:
            yield text[:position] + bytes([new]) + text[position + 1 :]
        yield text[:position]
        yield text[:position] + text[position + 1 :]


def put(path, text):
    path.write_bytes(text)
    return text


def test_a_changed_byte_anywhere_in_opts_json_is_damage_or_other_options_and_keeps_the_labels(directory, tmp_path):
    outcomes = set()
    for text in variants((tmp_path / "opts.json").read_bytes()):
        put(tmp_path / "opts.json", text)
        found = read_record(directory)
        assert (found.labels, found.created) == (WHOLE.labels, WHOLE.created)
        assert "hunter2" not in (found.damage or ""), "a secret in a message"
        assert found.damage or mount_source(found.options), "taken for a plain directory"
        outcomes.add("damage" if found.damage else "as it was" if found.options == OPTIONS else "other")
    assert outcomes == {"damage", "as it was", "other"}


def test_a_changed_byte_anywhere_in_meta_json_costs_labels_at_most(directory, tmp_path):
    for text in variants((tmp_path / "meta.json").read_bytes()):
        put(tmp_path / "meta.json", text)
        found = read_record(directory)
        assert found.damage is None
        assert mount_source(found.options) == mount_source(OPTIONS)


def test_both_files_after_any_accident_are_read_as_something(directory, tmp_path):
    chance = random.Random(5)
    whole = {name: (tmp_path / name).read_bytes() for name in ("opts.json", "meta.json")}
    for _ in range(800):
        for name, text in whole.items():
            changed = bytearray(text)
            for _ in range(chance.randrange(4)):
                at = chance.randrange(len(changed))
                changed[at : at + chance.randrange(3)] = chance.choice(
                    (chance.randbytes(2), b"", b"[" * 3, b'"', b"null", b"\\ud800", b"9" * 30, bytes(changed[:at]))
                )
            put(tmp_path / name, bytes(changed))
        found = read_record(directory)
        json.dumps(found.labels)
        assert isinstance(found.created, int)
        assert found.damage is None or "hunter2" not in found.damage


def test_a_changed_byte_anywhere_in_a_note_is_a_note_or_none(tmp_path):
    notes = Notes(tmp_path)
    notes.write("sp ace", Description(1_700_000_000, "fake", {"a": "1"}, {"password": "hunter2"}))
    [path] = (tmp_path / "plugin-volumes").iterdir()
    for text in variants(path.read_bytes()):
        put(path, text)
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
    for number in range(120):
        name = chance.choice(list(text))
        place = served.root / "volumes" / f"v{number:03}"
        (place / "_data").mkdir(parents=True)
        for one, content in text.items():
            (place / one).write_bytes(content)
        put(place / name, chance.choice(list(variants(text[name]))))
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
