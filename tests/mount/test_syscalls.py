"""The calls on real mounts; every test leaves the mount table as it was."""

import errno
import os
from pathlib import Path

import pytest

from volfs.mount import syscalls
from volfs.mount.mountinfo import at, under
from volfs.mount.options import MS_BIND, MS_RDONLY

MS_SHARED = 1 << 20

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")


@pytest.fixture
def place(tmp_path):
    """A directory whose mounts are taken away afterwards, also when the test fails."""
    yield tmp_path
    for left in reversed(under(syscalls.read_mountinfo(), str(tmp_path))):
        syscalls.detach(left.mountpoint)
    assert under(syscalls.read_mountinfo(), str(tmp_path)) == []


@pytest.fixture
def target(place):
    made = place / "target"
    made.mkdir()
    return str(made)


@pytest.fixture
def source_fd(place):
    (place / "source" / "sub").mkdir(parents=True)
    (place / "source" / "file").write_text("here")
    descriptor = os.open(place / "source", os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def tmpfs(target, flags=0, data=""):
    syscalls.mount("none", target, "tmpfs", flags, data)


def mounted(path):
    return at(syscalls.read_mountinfo(), path)


def test_a_mount_appears_in_mountinfo_with_its_options(target):
    tmpfs(target, MS_RDONLY, "size=64k")
    found = mounted(target)
    assert found.fstype == "tmpfs"
    assert "ro" in found.options
    assert "size=64k" in found.super_options


def test_a_failed_mount_says_why_and_where(target):
    with pytest.raises(OSError, match="No such device") as caught:
        syscalls.mount("none", target, "nosuchfs")
    assert (caught.value.errno, caught.value.filename) == (errno.ENODEV, target)


def test_data_that_the_kernel_would_cut_off_is_refused(target):
    with pytest.raises(OSError, match="longer than"):
        tmpfs(target, data="x" * 5000)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_is_no_c_string_is_refused(target, text):
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL) + "|NUL|not a text"):
        tmpfs(target, data=text)


def test_unmount_takes_one_mount_and_fails_on_none(target):
    tmpfs(target)
    syscalls.unmount(target)
    with pytest.raises(OSError) as caught:
        syscalls.unmount(target)
    assert caught.value.errno == errno.EINVAL


def test_detach_takes_a_busy_mount_and_says_whether_there_was_one(target):
    tmpfs(target)
    with open(f"{target}/open", "w"):
        assert syscalls.detach(target) is True
    assert syscalls.detach(target) is False
    assert syscalls.detach(target + "/nothing") is False


def test_detach_does_not_follow_a_symlink(place, target):
    tmpfs(target)
    (place / "link").symlink_to(target)
    assert syscalls.detach(str(place / "link")) is False
    assert mounted(target) is not None


def test_expire_marks_first_and_unmounts_then(target):
    tmpfs(target)
    assert syscalls.expire(target) is False
    assert mounted(target) is not None
    assert syscalls.expire(target) is True
    assert mounted(target) is None
    assert syscalls.expire(target) is True


def test_use_between_two_calls_keeps_a_mount_from_expiring(target):
    tmpfs(target)
    assert syscalls.expire(target) is False
    os.listdir(target)
    assert syscalls.expire(target) is False
    with open(f"{target}/open", "w"):
        assert syscalls.expire(target) is False
        assert syscalls.expire(target) is False


def test_a_bind_has_nosuid_and_nodev_unless_told_otherwise(source_fd, target):
    syscalls.bind(source_fd, target)
    assert {"nosuid", "nodev", "rw"} <= set(mounted(target).options)
    assert Path(target, "file").read_text() == "here"
    syscalls.unmount(target)
    syscalls.bind(source_fd, target, nosuid=False, nodev=False)
    assert not {"nosuid", "nodev", "ro"} & set(mounted(target).options)


def test_a_read_only_bind_refuses_writing_but_its_source_does_not(place, source_fd, target):
    syscalls.bind(source_fd, target, read_only=True)
    with pytest.raises(OSError) as caught:
        Path(target, "new").touch()
    assert caught.value.errno == errno.EROFS
    (place / "source" / "new").touch()


def test_a_bind_leaves_out_what_is_mounted_below_its_source(place, source_fd, target):
    tmpfs(str(place / "source" / "sub"))
    (place / "source" / "sub" / "inside").touch()
    syscalls.bind(source_fd, target)
    assert os.listdir(f"{target}/sub") == []


def test_what_is_mounted_later_below_the_source_does_not_come_to_a_read_only_bind(place, target):
    shared = place / "shared"
    shared.mkdir()
    tmpfs(str(shared))
    syscalls.mount("", str(shared), flags=MS_SHARED)
    (shared / "sub").mkdir()
    descriptor = os.open(shared, os.O_PATH | os.O_DIRECTORY)
    syscalls.bind(descriptor, target, read_only=True)
    os.close(descriptor)
    tmpfs(str(shared / "sub"))
    (shared / "sub" / "inside").touch()
    assert os.listdir(f"{target}/sub") == []
    assert mounted(target).propagation == ()


def test_a_read_only_copy_is_seen_by_nobody_and_leaves_no_trace(place, source_fd):
    tmpfs(str(place / "source" / "sub"))
    (place / "source" / "sub" / "inside").write_text("there")
    for path in (place / "source" / "file", place / "source"):
        os.utime(path, ns=(1, path.stat().st_mtime_ns))
    before = syscalls.read_mountinfo()
    copy = syscalls.read_only_copy(source_fd)
    try:
        assert syscalls.read_mountinfo() == before
        assert Path(f"/proc/self/fd/{copy}/file").read_text() == "here"
        assert sorted(os.listdir(f"/proc/self/fd/{copy}")) == ["file", "sub"]
        for name in ("new", "sub/new"):
            with pytest.raises(OSError) as caught:
                os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=copy)
            assert caught.value.errno == errno.EROFS
        assert syscalls.is_mount_root("sub", dir_fd=copy)
    finally:
        os.close(copy)
    assert [os.stat(path).st_atime_ns for path in (place / "source", place / "source" / "file")] == [1, 1]


def test_a_bind_takes_the_directory_that_was_opened_not_the_name(place, source_fd, target):
    (place / "source").rename(place / "moved")
    (place / "source").symlink_to("/etc")
    syscalls.bind(source_fd, target)
    assert sorted(os.listdir(target)) == ["file", "sub"]


def test_a_bind_that_fails_leaves_no_mount_and_no_descriptor(place, source_fd):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        syscalls.bind(source_fd, str(place / "nowhere"))
    assert os.listdir("/proc/self/fd") == before
    assert under(syscalls.read_mountinfo(), str(place)) == []


def test_is_mount_root_tells_mounts_from_directories(place, target):
    assert syscalls.is_mount_root(target) is False
    tmpfs(target)
    assert syscalls.is_mount_root(target) is True
    directory = os.open(place, os.O_PATH)
    try:
        assert syscalls.is_mount_root("target", dir_fd=directory) is True
        assert syscalls.is_mount_root("", dir_fd=directory) is False
    finally:
        os.close(directory)


def test_is_mount_root_sees_a_bind_of_the_same_device(place, source_fd, target):
    syscalls.mount(str(place / "source"), target, "", MS_BIND)
    assert os.stat(target).st_dev == os.stat(place).st_dev
    assert syscalls.is_mount_root(target) is True


def test_is_mount_root_does_not_follow_a_symlink_and_raises_for_nothing(place, target):
    tmpfs(target)
    (place / "link").symlink_to(target)
    assert syscalls.is_mount_root(str(place / "link")) is False
    with pytest.raises(FileNotFoundError):
        syscalls.is_mount_root(str(place / "nothing"))


def test_rename_to_new_replaces_nothing_not_even_an_empty_directory(place):
    (place / "a").mkdir()
    (place / "b").mkdir()
    directory = os.open(place, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            syscalls.rename_to_new("a", "b", dir_fd=directory)
        syscalls.rename_to_new("a", "c", dir_fd=directory)
    finally:
        os.close(directory)
    assert sorted(os.listdir(place)) == ["b", "c"]


def test_rename_to_new_works_where_the_file_system_knows_no_flags(place, monkeypatch):
    def knows_no_flags(result, path):
        raise OSError(errno.EINVAL, "no", path)

    monkeypatch.setattr(syscalls, "_check", knows_no_flags)
    monkeypatch.setattr(syscalls._libc, "renameat2", lambda *arguments: -1)
    (place / "a").mkdir()
    (place / "b").mkdir()
    directory = os.open(place, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            syscalls.rename_to_new("a", "b", dir_fd=directory)
        syscalls.rename_to_new("a", "c", dir_fd=directory)
    finally:
        os.close(directory)
    assert sorted(os.listdir(place)) == ["b", "c"]
