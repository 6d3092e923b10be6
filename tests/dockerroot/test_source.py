"""Files of a Docker data root, read while they change, and what lies there instead of a file."""

import fcntl
import os

import pytest

from tests.dockerroot.bolt_file import volumes, whole_file
from volfs.dockerroot import source
from volfs.dockerroot.source import read_metadata, read_text
from volfs.errors import Invalid, NotFound


@pytest.fixture
def path(tmp_path):
    (tmp_path / "metadata.db").write_bytes(bytes(whole_file(volumes(50))))
    return tmp_path / "metadata.db"


def test_a_file_that_dockerd_has_locked_is_read_and_not_touched(path):
    os.utime(path, (1, 2))
    with open(path, "rb+") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        records, reading = read_metadata(path)
    assert (len(records), reading.findings) == (50, ())
    assert (path.stat().st_atime, path.stat().st_mtime) == (1, 2)


def test_a_copy_that_a_change_overtook_is_taken_again(path, monkeypatch):
    file = whole_file(volumes(80))
    file.meta(999, 4)
    torn, whole = bytes(file), bytes(whole_file(volumes(80)))
    copies = iter([torn, torn, whole])
    monkeypatch.setattr(source, "_copy", lambda descriptor, path: next(copies))
    records, reading = read_metadata(path)
    assert (len(records), reading.findings) == (80, ())


def test_a_file_that_never_rests_is_a_finding(path, monkeypatch):
    file = whole_file(volumes(80))
    file.meta(999, 4)
    monkeypatch.setattr(source, "_copy", lambda descriptor, path: bytes(file))
    assert read_metadata(path)[1].findings[-1].code == "bolt-changing"


def test_an_empty_file_has_no_records(path):
    path.write_bytes(b"")
    records, reading = read_metadata(path)
    assert (records, [finding.code for finding in reading.findings]) == ([], ["bolt-empty"])


@pytest.mark.parametrize("read", [read_metadata, read_text])
@pytest.mark.parametrize(
    ("make", "kind", "why"),
    [
        (lambda path: None, NotFound, "does not exist"),
        (os.mkdir, Invalid, "not a regular file"),
        (os.mkfifo, Invalid, "not a regular file"),
        (lambda path: path.symlink_to("/etc/hostname"), Invalid, "is a symlink"),
        (lambda path: (path.touch(), os.truncate(path, source.LARGEST + 1)), Invalid, "larger than"),
    ],
)
def test_what_is_no_file_is_refused_by_name(path, read, make, kind, why):
    path.unlink()
    make(path)
    with pytest.raises(kind, match=f"metadata.db .*{why}|metadata.db {why}"):
        read(path)


def test_a_text_is_read_whole(path):
    path.write_bytes(b"x" * 300_000)
    assert read_text(path) == b"x" * 300_000
