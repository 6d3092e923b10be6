"""Whatever may have become of a bbolt file: what can be read, and a finding for the rest."""

import json
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dockerroot.bolt_file import PAGE_SIZES, BoltFile, codes, entry, reading_of, volumes, whole_file
from volfs.dockerroot import bolt
from volfs.dockerroot.bolt import read
from volfs.dockerroot.metadata import plausible


@pytest.mark.parametrize(
    ("buffer", "code"),
    [
        (b"", "bolt-empty"),
        (b"junk" * 5000, "bolt-no-meta"),
        (bytes(65536), "bolt-no-meta"),
        (b"\xff" * 65536, "bolt-no-meta"),
        (bytes(whole_file(volumes(50)))[:100], "bolt-one-meta"),
        (bytes(whole_file(volumes(50)))[:60], "bolt-no-meta"),
    ],
)
def test_a_file_without_entries_is_told_apart_from_an_empty_bucket(buffer, code):
    reading = read(buffer, b"volumes", plausible)
    assert reading.pairs == {}
    assert code in codes(reading)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("lost", [0, 1])
def test_one_meta_is_enough_for_every_page_size(page_size, lost):
    file = whole_file(volumes(500), page_size)
    file.pages[lost] = bytes(page_size)
    reading = reading_of(file)
    assert (reading.pairs, codes(reading), reading.transaction) == (volumes(500), {"bolt-one-meta"}, 3 - lost)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_without_metas_the_entries_are_salvaged(page_size):
    file = whole_file(volumes(500), page_size)
    del file.pages[0], file.pages[1]
    reading = reading_of(file)
    assert (reading.pairs, codes(reading)) == (volumes(500), {"bolt-no-meta", "bolt-salvaged"})


def test_nothing_is_salvaged_where_nobody_can_tell_what_is_right():
    file = whole_file(volumes(500))
    del file.pages[0], file.pages[1]
    assert read(bytes(file), b"volumes").pairs == {}


def test_a_file_cut_behind_its_metas_has_no_entries():
    reading = read(bytes(whole_file(volumes(500)))[:8192], b"volumes", plausible)
    assert (reading.pairs, codes(reading)) == ({}, {"bolt-page"})


def test_data_pages_of_0xff_have_no_entries():
    file = whole_file(volumes(500))
    for number in range(2, file.end):
        file.damage(number)
    reading = reading_of(file)
    assert (reading.pairs, codes(reading)) == ({}, {"bolt-page"})


def test_a_file_cut_anywhere_gives_what_lies_before_the_cut():
    file = bytes(whole_file(volumes(300)))
    whole = volumes(300)
    for stop in range(0, len(file), 997):
        reading = read(file[:stop], b"volumes", plausible)
        assert reading.findings
        assert reading.pairs.items() <= whole.items()
    assert len(read(file[: len(file) - 4096 * 3], b"volumes", plausible).pairs) > 200


def test_a_lost_leaf_costs_its_own_entries():
    file = whole_file(volumes(100), most=10)
    file.damage(6)  # the third leaf
    reading = reading_of(file)
    assert sorted(volumes(100).keys() - reading.pairs.keys()) == [b"vol%05d" % n for n in range(20, 30)]
    assert codes(reading) == {"bolt-page"}


def test_a_lost_branch_costs_nothing_because_its_leaves_are_found():
    file = whole_file(volumes(100), most=10)
    file.damage(14)  # the root of the bucket
    reading = reading_of(file)
    assert reading.pairs == volumes(100)
    assert codes(reading) == {"bolt-page", "bolt-salvaged"}


def test_free_pages_are_not_salvaged():
    file = BoltFile()
    removed = file.leaf(list(volumes(3).items()))
    kept = file.leaf([(b"kept", entry("kept").encode())])
    file.meta(999, 2)
    file.meta(999, 3, file.free([removed]))
    assert reading_of(file).pairs == {b"kept": entry("kept").encode()}
    assert kept != removed


def test_a_long_list_of_free_pages_is_understood():
    file = BoltFile()
    removed = file.leaf(list(volumes(3).items()))
    file.meta(999, 2)
    file.meta(999, 3, file.free([removed, *range(1000, 71_000)]))
    assert reading_of(file).pairs == {}


def test_what_the_newest_state_lost_is_taken_from_the_one_before():
    file = BoltFile()
    file.meta(file.buckets(volumes=file.tree(volumes(30, "old"), 10)), 2)
    first = file.end
    file.meta(file.buckets(volumes=file.tree(volumes(30, "new"), 10)), 3)
    file.damage(first)
    reading = reading_of(file)
    labels = {key: json.loads(value)["Labels"]["l"] for key, value in reading.pairs.items()}
    assert list(labels.values()) == ["old"] * 10 + ["new"] * 20
    assert "bolt-earlier-state" in codes(reading)


def test_a_healthy_state_is_never_completed_from_an_older_one():
    file = BoltFile()
    file.meta(file.buckets(volumes=file.tree(volumes(30))), 2)
    file.meta(file.buckets(volumes=file.tree(volumes(2))), 3)
    assert reading_of(file).pairs == volumes(2)


def test_pages_that_point_at_each_other_end():
    file = BoltFile()
    file.put_page(4, 1, 2, struct.pack("<IIQIIQ", 32, 1, 5, 17, 1, 4) + b"ab")
    file.put_page(5, 1, 1, struct.pack("<IIQ", 16, 1, 4) + b"a")
    file.end = 6
    for transaction in (2, 3):
        file.meta(file.buckets(volumes=4), transaction)
    reading = reading_of(file)
    assert reading.pairs == {}
    assert "bolt-page" in codes(reading)


def test_a_very_deep_tree_is_read():
    file = BoltFile(1024)
    below = file.leaf([(b"aa", b"1")])
    for _ in range(3000):
        below = file.branch([(b"aa", below)])
    file.meta(file.buckets(volumes=below), 2)
    file.meta(3, 1)
    assert reading_of(file).pairs == {b"aa": b"1"}


def test_entries_that_claim_the_same_bytes_again_and_again_are_refused():
    file = BoltFile()
    value = b"x" * 1_000_000
    count = 30_000
    elements = b"".join(struct.pack("<IIII", 0, 16 * (count - number), 2, len(value)) for number in range(count))
    number, overflow = file.allocate(len(elements) + 2 + len(value))
    file.put_page(number, 2, count, elements + b"kk" + value, overflow)
    for transaction in (2, 3):
        file.meta(file.buckets(volumes=number), transaction)
    reading = reading_of(file)
    assert len(reading.pairs) <= 1
    assert "bolt-page" in codes(reading)


def test_pages_that_claim_the_rest_of_the_file_each_are_stopped():
    file = BoltFile(1024)
    leaves = []
    for number in range(200):
        name = b"%05d" % number
        body = struct.pack("<IIII", 0, 16, 5, max(0, 150_000 - 1024 * number)) + name
        page = file.leaf([(name, b"")])
        file.put_page(page, 2, 1, body, overflow=4000)
        leaves.append((name, page))
    for transaction in (2, 3):
        file.meta(file.buckets(volumes=file.branch(leaves)), transaction)
    reading = read(bytes(file), b"volumes")
    assert sum(len(value) for value in reading.pairs.values()) <= len(bytes(file))
    assert "bolt-page" in codes(reading)


def test_a_page_with_a_wrong_number_is_read_and_named():
    file = whole_file(volumes(30), most=10)
    file.pages[4] = struct.pack("<Q", 77) + file.pages[4][8:]
    reading = reading_of(file)
    assert reading.pairs == volumes(30)
    assert [finding.text for finding in reading.findings] == ["page 4 says that it is page 77"]


@pytest.mark.parametrize("count", [0, 1, 9, 11, 0xFFFF])
@pytest.mark.parametrize("page", [4, 14])  # a leaf, and the root of the bucket
def test_a_wrong_count_of_entries_is_noticed_and_mostly_made_up_for(page, count):
    file = whole_file(volumes(100), most=10)
    content = file.pages[page]
    file.pages[page] = content[:10] + struct.pack("<H", count) + content[12:]
    reading = reading_of(file)
    assert "bolt-page" in codes(reading)
    assert reading.pairs.items() <= volumes(100).items()
    lost = 0 if count or page == 14 else 10
    assert len(reading.pairs) == 100 - lost


def test_a_pointer_to_the_wrong_page_does_not_bring_old_entries_over_new_ones():
    file = BoltFile()
    old = file.leaf([(b"vol00001", entry("vol00001", "old").encode())])
    low = file.leaf([(b"vol00001", entry("vol00001", "new").encode())])
    root = file.branch([(b"vol00001", low), (b"vol00005", old)])
    for transaction in (2, 3):
        file.meta(file.buckets(volumes=root), transaction)
    reading = reading_of(file)
    assert reading.pairs == {b"vol00001": entry("vol00001", "new").encode()}
    assert "bolt-page" in codes(reading)


def test_findings_do_not_grow_with_the_damage():
    file = whole_file(volumes(20_000), most=20)
    for number in range(4, 900):
        file.damage(number)
    assert len(reading_of(file).findings) < 20


# Anything at all


@given(st.binary(max_size=400), st.binary(max_size=10))
def test_any_bytes_are_a_reading(buffer, bucket):
    assert isinstance(read(buffer, bucket, plausible), bolt.Reading)


SMALL = bytes(whole_file(volumes(60), 1024, most=5))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=30), st.integers(0, len(SMALL))
)
def test_any_damage_to_a_file_is_a_reading(changes, stop):
    damaged = bytearray(SMALL[: stop or None])
    for position, byte in changes:
        if position < len(damaged):
            damaged[position] = byte
    assert isinstance(read(damaged, b"volumes", plausible), bolt.Reading)


@settings(deadline=None, max_examples=500)
@given(
    st.integers(0, len(SMALL) // 1024 - 1),
    st.integers(0, 80) | st.integers(0, 1000),
    st.sampled_from([b"\0", b"\0\0", b"\1\0", b"\2\0", b"\xff\xff", b"\0" * 8, b"\xff" * 16, b"\x10\0"])
    | st.binary(max_size=64),
)
def test_any_bytes_in_a_page_are_a_reading(page, offset, junk):
    damaged = bytearray(SMALL)
    damaged[page * 1024 + offset : page * 1024 + offset + len(junk)] = junk
    assert isinstance(read(damaged, b"volumes", plausible), bolt.Reading)


def test_every_byte_of_the_headers_and_elements_may_be_anything():
    for page in range(2, len(SMALL) // 1024):
        for offset in range(48):
            for byte in (0x00, 0x01, 0x10, 0x80, 0xFF):
                damaged = bytearray(SMALL)
                damaged[page * 1024 + offset] = byte
                assert isinstance(read(damaged, b"volumes", plausible), bolt.Reading)


def test_random_flips_cost_little():
    chance, file, whole = random.Random(4), bytes(whole_file(volumes(2000))), volumes(2000)
    kept = 0
    for _ in range(60):
        damaged = bytearray(file)
        for _ in range(3):
            damaged[chance.randrange(8192, len(file))] ^= 1 << chance.randrange(8)
        reading = read(damaged, b"volumes", plausible)
        kept += sum(whole.get(key) == value for key, value in reading.pairs.items())
    assert kept > 60 * 2000 * 0.95
