"""bbolt files of every shape, read whole."""

import mmap
import struct
import time

import pytest

from tests.dockerroot.bolt_file import PAGE_SIZES, BoltFile, codes, inline, reading_of, volumes, whole_file
from volfs.dockerroot.bolt import BEGINNING, newest_transaction, read


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("count", [0, 1, 20, 21, 1000])
def test_every_pair_is_read_whatever_the_page_size(page_size, count):
    reading = reading_of(whole_file(volumes(count), page_size, most=7))
    assert (reading.pairs, reading.findings, reading.transaction) == (volumes(count), (), 3)
    assert list(reading.pairs) == sorted(reading.pairs)


def test_a_bucket_that_is_kept_in_its_parents_page_is_read():
    file = BoltFile()
    file.meta(file.buckets(volumes=inline(list(volumes(3).items())), other=inline([])), 2)
    file.meta(file.buckets(volumes=inline(list(volumes(4).items()))), 3)
    assert reading_of(file).pairs == volumes(4)
    assert not reading_of(file).findings


def test_a_value_of_many_pages_is_read():
    pairs = {**volumes(30), b"big": b"x" * 5_000_000}
    reading = reading_of(whole_file(pairs, most=3))
    assert (reading.pairs, reading.findings) == (pairs, ())


def test_other_buckets_and_buckets_in_the_bucket_are_not_read():
    file = BoltFile()
    nested = file.leaf([(b"aa", b"1"), (b"nested", struct.pack("<QQ", 3, 0), 1), (b"zz", b"2")])
    root = file.buckets(zother=file.tree({b"foreign": b"1"}), volumes=nested, another=inline([(b"foreign", b"1")]))
    file.meta(root, 2)
    file.meta(root, 3)
    assert reading_of(file).pairs == {b"aa": b"1", b"zz": b"2"}


def test_of_two_states_the_newer_one_is_read():
    file = BoltFile()
    file.meta(file.buckets(volumes=file.tree(volumes(10, "old"))), 8)
    file.meta(file.buckets(volumes=file.tree(volumes(5, "new"))), 7)
    reading = reading_of(file)
    assert (reading.pairs, reading.transaction, reading.findings) == (volumes(10, "old"), 8, ())


def test_a_mapped_file_is_read_and_can_be_closed(tmp_path):
    (tmp_path / "db").write_bytes(bytes(whole_file(volumes(100))))
    with open(tmp_path / "db", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert read(mapped, b"volumes").pairs == volumes(100)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_the_beginning_of_a_file_is_enough_to_see_a_change(page_size):
    file = whole_file(volumes(1000), page_size)
    assert newest_transaction(bytes(file)[:BEGINNING]) == 3
    file.meta(3, 4)
    assert newest_transaction(bytes(file)[:BEGINNING]) == 4


def test_a_bucket_that_is_not_there_is_a_finding():
    reading = read(bytes(whole_file(volumes(3))), b"images")
    assert (reading.pairs, codes(reading)) == ({}, {"bolt-no-bucket"})


def test_twenty_thousand_entries_cost_little_more_than_to_look_at_them():
    file = bytes(whole_file(volumes(20_000), most=30))
    begun = time.perf_counter()
    assert sum(file) > 0  # what Python takes for the bytes of the file, on this machine and at this moment
    unit = time.perf_counter() - begun
    begun = time.perf_counter()
    assert len(read(file, b"volumes").pairs) == 20_000
    assert time.perf_counter() - begun < 10 * unit
