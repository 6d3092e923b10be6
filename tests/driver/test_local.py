"""The root of the local driver, and how a volume appears and disappears."""

import errno
import json
import os
import stat
from contextlib import contextmanager

import pytest

from volfs.driver.local import Description, LocalDriver, Scan
from volfs.errors import HostError, InUse, Invalid, NotFound
from volfs.mount import syscalls

needs_mounts = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
PLAIN = Description(created=1_700_000_000)
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"}


def volumes(root):
    return root / "volumes"


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


@contextmanager
def small_tmpfs(directory, data):
    directory.mkdir()
    syscalls.mount("none", str(directory), "tmpfs", 0, data)
    try:
        yield
    finally:
        syscalls.detach(str(directory))


def test_prepare_makes_dockers_layout_and_can_be_repeated(root):
    driver = LocalDriver(root / "deep")
    driver.prepare()
    volumes(root / "deep").chmod(0o777)
    driver.prepare()
    assert stat.S_IMODE(volumes(root / "deep").stat().st_mode) == 0o701
    assert driver.scan() == Scan([], [], [])


def test_a_root_that_is_a_file_is_refused_clearly(tmp_path):
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(HostError, match=f"the root {wrong} cannot be used: .*(is a file|Not a directory)"):
            LocalDriver(wrong).prepare()


@needs_mounts
def test_a_root_that_is_read_only_is_refused_clearly(root, tmp_path):
    LocalDriver(root).prepare()
    syscalls.mount(str(root), str(root), "", 0x1000)
    syscalls.mount("", str(root), "", 0x1000 | 0x20 | 0x1)
    with pytest.raises(HostError, match="volumes is not writable"):
        LocalDriver(root).prepare()


@needs_mounts
def test_a_root_that_is_full_is_refused_clearly(tmp_path):
    with small_tmpfs(tmp_path / "full", "nr_inodes=2"), pytest.raises(HostError, match="No space left") as caught:
        LocalDriver(tmp_path / "full" / "root").prepare()
    assert caught.value.errno == errno.ENOSPC


def test_a_root_that_is_not_there_cannot_be_listed_and_has_no_volumes(root):
    driver = LocalDriver(root)
    with pytest.raises(HostError, match="cannot be listed"):
        driver.scan()
    assert not driver.exists("db")
    for act in (driver.describe, driver.unmount, lambda name: driver.mount(name, None)):
        with pytest.raises(NotFound, match="volume db not found"):
            act("db")


def test_a_scan_tells_volumes_from_work_and_strangers(driver, root):
    for name in ("b.b", "aa", "Zz", "a", "-x", "lost+found", ".hidden", ".creating-1", ".removing-7.1"):
        (volumes(root) / name).mkdir()
    (volumes(root) / "link").symlink_to("aa")
    for name in ("file", "metadata.mdb", "metadata.db", "backingFsBlockDev"):
        (volumes(root) / name).touch()
    found = driver.scan()
    assert sorted(found.names) == ["Zz", "aa", "b.b"]
    assert found.work == [".creating-1", ".removing-7.1"]
    assert found.ignored == ["-x", "a", "file", "link", "lost+found"]


def test_a_scan_opens_no_volume(driver, root, monkeypatch):
    (volumes(root) / "db").mkdir()
    monkeypatch.setattr(os, "open", None)
    monkeypatch.setattr(os, "stat", None)
    monkeypatch.setattr(os, "lstat", None)
    assert driver.scan().names == ["db"]


def test_a_created_volume_lies_there_as_docker_makes_it(driver, root):
    old = os.umask(0o077)
    try:
        driver.create("db", Description(PLAIN.created, options=TMPFS, labels={"a": "1"}))
    finally:
        os.umask(old)
    made = volumes(root) / "db"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (made, *made.iterdir())}
    assert modes == {"db": 0o701, "_data": 0o755, "opts.json": 0o600, "meta.json": 0o600}
    text = (made / "opts.json").read_bytes()
    assert text == b'{"MountType":"tmpfs","MountOpts":"size=64k","MountDevice":"tmpfs","Quota":{"Size":0}}'
    assert json.loads((made / "meta.json").read_bytes()) == {
        "Driver": "local",
        "CreatedAt": "2023-11-14T22:13:20Z",
        "Labels": {"a": "1"},
        "Options": TMPFS,
    }
    assert driver.mountpoint("db") == str(made / "_data")
    assert driver.exists("db")


@pytest.mark.parametrize("options", [None, {}, {"type": "", "device": ""}, {"size": "0"}, TMPFS])
@pytest.mark.parametrize("labels", [None, {}, {"k": "<&>\u2028é\x01"}])
def test_what_was_created_is_described_word_for_word(driver, options, labels):
    description = Description(PLAIN.created, "local", labels, options)
    driver.create("db", description)
    assert driver.describe("db") == description


def test_without_options_there_is_no_opts_json(driver, root):
    driver.create("db", PLAIN)
    assert sorted(os.listdir(volumes(root) / "db")) == ["_data", "meta.json"]


@pytest.mark.parametrize("kind", ["mkdir", "touch", "symlink"])
def test_a_taken_name_is_refused_and_what_has_it_is_left_alone(driver, root, kind):
    path = volumes(root) / "db"
    path.symlink_to("nowhere") if kind == "symlink" else getattr(path, kind)()
    with pytest.raises(FileExistsError):
        driver.create("db", PLAIN)
    assert os.listdir(volumes(root)) == ["db"]


def test_a_name_taken_in_the_last_moment_is_not_replaced(driver, root, monkeypatch):
    driver.create("db", PLAIN)
    write(volumes(root) / "db" / "_data" / "file", "mine")
    monkeypatch.setattr("volfs.driver.local._refuse_taken", lambda name, volumes: None)
    with pytest.raises(FileExistsError):
        driver.create("db", PLAIN)
    assert (volumes(root) / "db" / "_data" / "file").read_text() == "mine"
    assert os.listdir(volumes(root)) == ["db"]


def test_options_and_names_that_are_wrong_leave_nothing(driver, root):
    for name, options in (("db", {"x": "1"}), ("db", {"type": "tmpfs"}), ("../db", None), (".creating-1", None)):
        with pytest.raises(Invalid):
            driver.create(name, Description(1, options=options))
    with pytest.raises(Invalid, match="must be text"):
        driver.create("db", Description(1, labels={"a": "\ud800"}))
    assert os.listdir(volumes(root)) == []


@needs_mounts
def test_a_full_disk_is_named_with_the_volume_and_nothing_is_left(root):
    root.parent.mkdir(exist_ok=True)
    with small_tmpfs(root, "nr_inodes=5"):
        driver = LocalDriver(root)
        driver.prepare()
        with pytest.raises(HostError, match="volume db cannot be created: No space left") as caught:
            driver.create("db", Description(1, options=TMPFS))
        assert caught.value.errno == errno.ENOSPC
        assert os.listdir(volumes(root)) == []


@pytest.mark.parametrize("call", range(1, 6))
def test_a_sync_that_fails_leaves_no_volume(driver, root, monkeypatch, call):
    real, calls = os.fsync, []

    def failing(descriptor):
        calls.append(descriptor)
        if len(calls) == call:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(HostError, match="volume db cannot be created: Input/output error"):
        driver.create("db", Description(1, options=TMPFS))
    assert os.listdir(volumes(root)) == []


def test_a_volume_is_synced_before_it_has_its_name_and_its_name_before_create_returns(driver, root, monkeypatch):
    seen = []
    real = os.fsync

    def noting(descriptor):
        seen.append((os.readlink(f"/proc/self/fd/{descriptor}").rsplit("/", 1)[1], driver.exists("db")))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    driver.create("db", Description(1, options=TMPFS))
    names = [(".creating" if name.startswith(".creating-") else name, there) for name, there in seen]
    assert names == [
        ("opts.json", False),
        ("meta.json", False),
        ("_data", False),
        (".creating", False),
        ("volumes", True),
    ]


def test_only_a_real_directory_is_a_volume(driver, root):
    (volumes(root) / "file").touch()
    (root / "outside").mkdir()
    (volumes(root) / "link").symlink_to(root / "outside")
    for name in ("file", "link", "nothing"):
        assert not driver.exists(name)
        for act in (driver.describe, driver.unmount, lambda n: driver.mount(n, None), lambda n: driver.remove(n, 1)):
            with pytest.raises(NotFound):
                act(name)
    assert not driver.exists("../outside")
    with pytest.raises(Invalid):
        driver.describe("../outside")


def test_remove_renames_and_deletes_nothing(driver, root):
    driver.create("db", PLAIN)
    write(volumes(root) / "db" / "_data" / "file", "mine")
    assert driver.remove("db", 7) == ".removing-7"
    assert driver.scan() == Scan([], [".removing-7"], [])
    assert (volumes(root) / ".removing-7" / "_data" / "file").read_text() == "mine"
    with pytest.raises(NotFound):
        driver.remove("db", 7)


def test_remove_replaces_no_older_work(driver, root):
    works = []
    for name in ("aa", "bb", "cc"):
        driver.create(name, PLAIN)
        works.append(driver.remove(name, 7))
    assert works == [".removing-7", ".removing-7.1", ".removing-7.2"]
    assert driver.scan().work == works


@needs_mounts
@pytest.mark.parametrize("where", ["_data/sub", ".", "_data"])
def test_a_mount_inside_refuses_remove_before_anything_is_touched(driver, root, where):
    driver.create("db", PLAIN)
    data = volumes(root) / "db" / "_data"
    (data / "sub").mkdir()
    write(data / "file", "mine")
    target = os.path.normpath(volumes(root) / "db" / where)
    syscalls.mount("none", target, "tmpfs")
    with pytest.raises(InUse, match="volume db is in use"):
        driver.remove("db", 7)
    syscalls.unmount(target)
    assert (data / "file").read_text() == "mine"
    driver.remove("db", 7)


@needs_mounts
def test_a_mount_is_found_also_when_the_root_is_reached_over_a_symlink(driver, root):
    driver.create("db", PLAIN)
    syscalls.mount("none", driver.mountpoint("db"), "tmpfs")
    (root.parent / "link").symlink_to(root)
    with pytest.raises(InUse, match="its data is still mounted"):
        LocalDriver(root.parent / "link").remove("db", 7)


@needs_mounts
def test_a_mount_in_a_volume_with_a_longer_name_does_not_matter(driver):
    driver.create("db", PLAIN)
    driver.create("db2", PLAIN)
    syscalls.mount("none", driver.mountpoint("db2"), "tmpfs")
    assert driver.remove("db", 7)
