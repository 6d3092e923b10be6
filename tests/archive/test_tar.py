"""The kernel keeps tar in its directory, also where nobody checked what it is given."""

import os
from pathlib import Path

import pytest

from tests.archive.archives import directory, hard_link, member, symlink
from volfs.archive import tar
from volfs.errors import HostError

# The suite's process may have threads of trio left; the command line has none when it starts tar.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def unpacked(target, *members):
    with tar.unpack(str(target)) as child:
        child.pipe.write(directory("volumes/x/") + b"".join(members))


@pytest.fixture
def outside(tmp_path):
    place = tmp_path / "outside"
    place.mkdir()
    (place / "file").write_text("old")
    return place


@pytest.fixture
def inside(tmp_path):
    place = tmp_path / "inside"
    place.mkdir()
    return place


def test_nothing_is_written_through_a_symlink_that_is_there_already(inside, outside):
    (inside / "up").symlink_to(outside)
    with pytest.raises(HostError, match="File exists"):
        unpacked(inside, member("volumes/x/up/file", data=b"new"))
    unpacked(inside, directory("volumes/x/up"), member("volumes/x/up/file", data=b"new"))
    assert not (inside / "up").is_symlink() and (inside / "up" / "file").read_text() == "new"
    assert (outside / "file").read_text() == "old"


def test_nothing_outside_gets_another_name_mode_or_owner(inside, outside):
    (inside / "up").symlink_to(outside)
    before = os.stat(outside / "file")
    with pytest.raises(HostError, match="cannot be unpacked"):
        unpacked(inside, hard_link("volumes/x/hard", "volumes/x/up/file"))
    with pytest.raises(HostError):
        unpacked(inside, symlink("volumes/x/two", str(outside)), hard_link("volumes/x/hard", "volumes/x/two/file"))
    assert os.stat(outside / "file") == before


def test_not_even_with_tars_own_guards_off(inside, outside, monkeypatch):
    monkeypatch.setattr(tar, "_FIDELITY", ("--absolute-names", "--keep-directory-symlink", "--overwrite"))
    (inside / "up").symlink_to(outside)
    before = sorted((one, os.lstat(outside / one)) for one in os.listdir(outside))
    for name in (str(outside / "new"), str(outside / "file"), "volumes/x/up/new", "volumes/x/up/file"):
        with pytest.raises(HostError, match=r"Read-only file system|Cannot open"):
            unpacked(inside, member(name, data=b"new"))
    with pytest.raises(HostError, match="Read-only file system"):
        unpacked(inside, directory(str(outside), mode=0o777))
    assert sorted((one, os.lstat(outside / one)) for one in os.listdir(outside)) == before


def test_a_device_is_not_opened(inside, monkeypatch):
    monkeypatch.setattr(tar, "_FIDELITY", ("--absolute-names", "--overwrite"))
    with pytest.raises(HostError, match="Permission denied"):
        unpacked(inside, member("/dev/null", data=b"x"))


def test_no_mount_is_left_and_ours_are_as_they_were(inside):
    table = Path("/proc/self/mountinfo")
    before = table.read_text()
    unpacked(inside, member("volumes/x/file", data=b"x"))
    assert table.read_text() == before
    assert (inside / "file").read_text() == "x"


def test_the_environment_does_not_steer_it(inside, outside, monkeypatch):
    monkeypatch.setenv("TAR_OPTIONS", f"--directory={outside}")
    unpacked(inside, member("volumes/x/file2", data=b"x"))
    assert os.listdir(inside) == ["file2"] and os.listdir(outside) == ["file"]
