"""What a volume's options name is mounted on its data: real tmpfs, ext4 and binds; network addresses as text."""

import errno
import os
import socket
from pathlib import Path

import pytest

from volfs.driver import attach
from volfs.driver.local import Description
from volfs.driver.options import MountSource
from volfs.errors import HostError, InUse, Invalid, NotFound
from volfs.mount import syscalls
from volfs.mount.mountinfo import at, under

needs_mounts = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
PLAIN = Description(created=1_700_000_000)
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"}
NFS = {"type": "nfs", "device": ":/x", "o": "addr=nas"}


def volumes(root):
    return root / "volumes"


def mounted(path):
    return at(syscalls.read_mountinfo(), str(path))


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_a_plain_volume_is_its_directory(driver):
    driver.create("db", PLAIN)
    for options in (None, {}, {"size": "0"}, {"type": "", "device": ""}):
        assert driver.mount("db", options) == driver.mountpoint("db")
    assert mounted(driver.mountpoint("db")) is None
    driver.unmount("db")


@pytest.mark.parametrize("options", [None, TMPFS])
def test_data_that_is_a_symlink_is_never_used(driver, root, options):
    (root / "outside").mkdir()
    driver.create("db", PLAIN)
    data = volumes(root) / "db" / "_data"
    data.rmdir()
    with pytest.raises(NotFound, match="volume db has no _data"):
        driver.mount("db", options)
    data.symlink_to(root / "outside")
    with pytest.raises(HostError, match="volume db: its _data is not a directory"):
        driver.mount("db", options)
    driver.unmount("db")
    assert mounted(root / "outside") is None


@needs_mounts
def test_a_tmpfs_volume_is_mounted_once_and_unmounted_whole(driver):
    driver.create("db", Description(1, options=TMPFS))
    assert driver.mount("db", TMPFS) == driver.mount("db", TMPFS) == driver.mountpoint("db")
    data = driver.mountpoint("db")
    assert len(under(syscalls.read_mountinfo(), data)) == 1
    assert "size=64k" in mounted(data).super_options
    syscalls.mount("none", data, "tmpfs")
    with open(f"{data}/open", "w"):
        driver.unmount("db")
    driver.unmount("db")
    assert under(syscalls.read_mountinfo(), data) == []


def test_without_privilege_there_is_nothing_to_unmount(driver, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(syscalls, "unmount", refuse)
    driver.create("db", PLAIN)
    driver.unmount("db")


@needs_mounts
def test_a_mount_that_may_not_be_taken_away_is_an_error(driver, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    driver.create("db", PLAIN)
    driver.mount("db", TMPFS)
    with monkeypatch.context() as patched:
        patched.setattr(syscalls, "unmount", refuse)
        with pytest.raises(HostError, match="volume db cannot be unmounted: Operation not permitted"):
            driver.unmount("db")


@needs_mounts
def test_release_unmounts_what_nobody_uses_and_refuses_otherwise(driver):
    driver.release("nothing")
    driver.create("db", PLAIN)
    driver.release("db")
    data = driver.mount("db", TMPFS)
    syscalls.mount("none", data, "tmpfs")
    with open(f"{data}/open", "w"), pytest.raises(InUse, match="has its data open"):
        driver.release("db")
    Path(data, "sub").mkdir()
    syscalls.mount("none", f"{data}/sub", "tmpfs")
    with pytest.raises(InUse, match='mounted at "_data/sub"'):
        driver.release("db")
    assert len(under(syscalls.read_mountinfo(), data)) == 3
    syscalls.unmount(f"{data}/sub")
    driver.release("db")
    assert mounted(data) is None
    driver.remove("db", 7)


@needs_mounts
def test_an_ext4_volume_keeps_its_files_over_an_unmount(driver, ext4):
    options = {"type": "ext4", "device": ext4, "o": "noatime"}
    driver.create("db", Description(1, options=options))
    data = Path(driver.mount("db", options))
    assert (mounted(data).fstype, mounted(data).source) == ("ext4", ext4)
    assert "noatime" in mounted(data).options
    write(data / "file", "kept")
    driver.unmount("db")
    assert os.listdir(data) == []
    driver.mount("db", options)
    assert (data / "file").read_text() == "kept"


@pytest.fixture
def shared(root):
    """A directory with another mount inside, to be bound."""
    source = root.parent / "source"
    (source / "sub").mkdir(parents=True)
    syscalls.mount("none", str(source / "sub"), "tmpfs")
    (source / "sub" / "inner").touch()
    return source


@needs_mounts
@pytest.mark.parametrize(("word", "inner"), [("bind", []), ("rbind", ["inner"])])
def test_a_bind_volume_shows_the_directory_and_rbind_what_is_mounted_in_it(driver, shared, word, inner):
    driver.create("db", PLAIN)
    data = Path(driver.mount("db", {"type": "none", "device": str(shared), "o": word}))
    write(data / "file", "through")
    assert (shared / "file").read_text() == "through"
    assert os.listdir(data / "sub") == inner


@needs_mounts
def test_a_bind_volume_has_the_flags_that_were_asked_for(driver, shared):
    driver.create("db", PLAIN)
    data = driver.mount("db", {"type": "none", "device": str(shared), "o": "bind,ro,nosuid,nodev,noexec,private"})
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(mounted(data).options)
    assert mounted(data).propagation == ()
    with pytest.raises(OSError) as caught:
        Path(data, "file").touch()
    assert caught.value.errno == errno.EROFS
    write(shared / "file", "the source stays writable")


@needs_mounts
@pytest.mark.parametrize(
    ("word", "propagation"), [("shared", "shared:"), ("slave", "master:"), ("unbindable", "unbin")]
)
def test_a_volume_has_the_propagation_that_was_asked_for(driver, word, propagation):
    driver.create("db", PLAIN)
    driver.mount("db", {**TMPFS, "o": "shared"})
    outer = driver.mountpoint("db")
    driver.create("other", PLAIN)
    data = driver.mount("other", {"type": "none", "device": outer, "o": f"bind,{word}"})
    assert any(found.startswith(propagation) for found in mounted(data).propagation)


@needs_mounts
def test_a_mount_whose_second_step_fails_is_taken_back(driver, shared):
    driver.create("db", PLAIN)
    with pytest.raises(HostError, match=r"failed to mount local volume: remount .*Invalid argument") as caught:
        driver.mount("db", {"type": "none", "device": str(shared), "o": "bind,shared,private"})
    assert caught.value.errno == errno.EINVAL
    assert mounted(driver.mountpoint("db")) is None


@needs_mounts
def test_a_failed_mount_speaks_dockers_words_without_secrets(driver):
    driver.create("db", PLAIN)
    options = {"type": "nosuchfs", "device": "//user:hunter2@h/s", "o": "ro,user=me,password=hunter2"}
    with pytest.raises(HostError) as caught:
        driver.mount("db", options)
    assert str(caught.value) == (
        f"failed to mount local volume: mount //user:********@h/s:{driver.mountpoint('db')}, "
        "flags: 0x1, data: user=me,password=********: No such device"
    )
    assert caught.value.errno == errno.ENODEV


def test_a_volume_without_a_device_cannot_be_mounted(driver):
    driver.create("db", PLAIN)
    with pytest.raises(Invalid, match="missing device in volume options"):
        driver.mount("db", {"type": "tmpfs", "device": ""})


@pytest.mark.parametrize(
    ("source", "data", "device"),
    [
        (("nfs", ":/x", "addr=localhost,rw"), "addr=127.0.0.1,rw", ":/x"),
        (("nfs4", "localhost:/x", "addr=localhost"), "addr=127.0.0.1", "localhost:/x"),
        (("nfs", "localhost:/x", "rw"), "rw", "localhost:/x"),
        (("nfs", ":/x", "addr=10.1.2.3"), "addr=10.1.2.3", ":/x"),
        (("nfs", ":/x", "addr=fe80::1"), "addr=fe80::1", ":/x"),
        (("cifs", "//localhost/a%20b", "username=u"), "username=u", "//127.0.0.1/a b"),
        (("cifs", "//localhost/s", "addr=localhost"), "addr=127.0.0.1", "//localhost/s"),
        (("cifs", "//10.1.2.3/a%20b", ""), "", "//10.1.2.3/a%20b"),
        (("cifs", "//[fe80::1]/s", ""), "", "//[fe80::1]/s"),
        (("ext4", "/dev/x", "addr=localhost"), "addr=localhost", "/dev/x"),
    ],
)
def test_network_addresses_are_resolved_as_docker_resolves_them(source, data, device):
    found = attach.resolved(MountSource(*source))
    assert (found.o, found.device) == (data, device)


@pytest.mark.parametrize("host", ["name.invalid", "a" * 80, "a..b", "a\0b"])
def test_an_address_that_cannot_be_resolved_says_so(driver, monkeypatch, host):
    real = socket.getaddrinfo

    def offline(name, *arguments):
        if name == "name.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(name, *arguments)

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    driver.create("db", PLAIN)
    with pytest.raises(HostError, match="error resolving passed in network volume address"):
        driver.mount("db", {**NFS, "o": f"addr={host}"})
