"""What a volume's directory says about itself, and what is made of it when it lies."""

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volfs.driver import record
from volfs.driver.local import Description

TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"}


def volumes(root):
    return root / "volumes"


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_a_directory_of_docker_is_described_from_opts_json_and_its_ctime(driver, root):
    path = volumes(root) / "db"
    (path / "_data").mkdir(parents=True)
    write(path / "opts.json", '{"MountType":"tmpfs","MountOpts":"","MountDevice":"x","Quota":{"Size":0}}')
    expected = Description(int(path.stat().st_ctime), "local", None, {"type": "tmpfs", "device": "x"})
    assert driver.describe("db") == expected


def test_where_both_files_differ_opts_json_is_right(driver, root):
    driver.create("db", Description(1, options=TMPFS, labels={"a": "1"}))
    write(volumes(root) / "db" / "opts.json", '{"MountType":"ext4","MountDevice":"/dev/x"}')
    assert driver.describe("db") == Description(1, "local", {"a": "1"}, {"type": "ext4", "device": "/dev/x"})


@pytest.mark.parametrize("text", [b"", b"[]", b'{"Labels": 1}', b'{"CreatedAt": 5}', b"\xff", b"[" * 100_000])
def test_a_broken_meta_json_costs_the_labels_only(driver, root, text):
    driver.create("db", Description(1, options=TMPFS, labels={"a": "1"}))
    write(volumes(root) / "db" / "meta.json", text)
    found = driver.describe("db")
    assert (found.labels, found.options, found.damage) == (None, TMPFS, None)
    assert abs(found.created - time.time()) < 3600


def test_a_creation_time_that_is_none_costs_only_itself(driver, root):
    driver.create("db", Description(1, labels={"a": "1"}))
    write(volumes(root) / "db" / "meta.json", '{"CreatedAt":"yesterday","Labels":{"a":"1"}}')
    assert driver.describe("db").labels == {"a": "1"}
    assert driver.describe("db").created > 1


def break_as_symlink(path):
    path.symlink_to("/etc/hostname")


def break_as_loop(path):
    path.symlink_to(path)


def break_as_huge(path):
    path.touch()
    os.truncate(path, record.LARGEST + 1)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: write(path, b""), "not valid JSON"),
        (lambda path: write(path, b'{"MountType":1}'), "MountType is a number"),
        (os.mkdir, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (break_as_symlink, "is a symlink"),
        (break_as_loop, "is a symlink"),
        (break_as_huge, "larger than"),
        (lambda path: None, "is missing"),
    ],
)
def test_an_opts_json_that_cannot_be_read_is_damage_of_that_volume(driver, root, make, why):
    driver.create("db", Description(1, options=TMPFS, labels={"a": "1"}))
    (volumes(root) / "db" / "opts.json").unlink()
    make(volumes(root) / "db" / "opts.json")
    found = driver.describe("db")
    assert found.damage.startswith("opts.json: ")
    assert why in found.damage
    assert found.labels == {"a": "1"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.binary(), st.binary())
def test_any_bytes_in_both_files_are_described(driver, root, opts, meta):
    path = volumes(root) / "db"
    path.mkdir(exist_ok=True)
    write(path / "opts.json", opts)
    write(path / "meta.json", meta)
    assert isinstance(driver.describe("db"), Description)
