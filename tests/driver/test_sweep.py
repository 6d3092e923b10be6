"""Trees are deleted whole, and nothing besides them; and they are measured as Docker does."""

import errno
import os
from pathlib import Path

import pytest

from volfs.driver import sweep as sweep_module
from volfs.driver.local import Description, Scan
from volfs.errors import HostError, Invalid
from volfs.mount import syscalls

needs_mounts = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
PLAIN = Description(created=1_700_000_000)
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"}


def volumes(root):
    return root / "volumes"


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_sweep_deletes_a_tree_and_can_be_repeated(driver, root):
    driver.create("db", PLAIN)
    data = volumes(root) / "db" / "_data"
    for number in range(20):
        (data / f"d{number}" / "e" / "f").mkdir(parents=True)
        write(data / f"d{number}" / "e" / "file", "x")
    (data / os.fsdecode(b"\xff\n")).touch()
    os.mkfifo(data / "fifo")
    work = driver.remove("db", 7)
    driver.sweep(work)
    driver.sweep(work)
    assert os.listdir(volumes(root)) == []


def test_sweep_does_not_follow_a_symlink(driver, root):
    (root / "outside").mkdir()
    (root / "outside" / "file").touch()
    driver.create("db", PLAIN)
    (volumes(root) / "db" / "_data" / "link").symlink_to(root / "outside")
    driver.sweep(driver.remove("db", 7))
    (volumes(root) / ".removing-8").symlink_to(root / "outside")
    driver.sweep(".removing-8")
    assert os.listdir(volumes(root)) == []
    assert os.listdir(root / "outside") == ["file"]


@pytest.mark.parametrize("work", ["db", "..", ".removing-1/../../x", "metadata.mdb", ".removing-\0"])
def test_sweep_deletes_work_only(driver, work):
    with pytest.raises(Invalid):
        driver.sweep(work)


def test_sweep_manages_a_tree_four_thousand_directories_deep(driver, root):
    driver.create("db", PLAIN)
    here = os.open(driver.mountpoint("db"), os.O_RDONLY)
    for _ in range(4_000):
        os.mkdir("d", dir_fd=here)
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    driver.sweep(driver.remove("db", 7))
    assert os.listdir(volumes(root)) == []


@needs_mounts
@pytest.mark.parametrize("kind", ["tmpfs", "bind", "file"])
def test_sweep_stops_at_a_mount_and_goes_on_when_it_is_gone(driver, root, kind):
    driver.create("db", PLAIN)
    work = driver.remove("db", 7)
    outside = root / "outside"
    outside.mkdir()
    (outside / "mine").touch()
    inside = volumes(root) / work / "_data" / "a"
    inside.parent.joinpath("other").touch()
    if kind == "file":
        inside.touch()
        syscalls.mount(str(outside / "mine"), str(inside), "", 0x1000)
    else:
        inside.mkdir()
        syscalls.mount(str(outside), str(inside), "tmpfs", 0x1000 if kind == "bind" else 0)
        (inside / "kept").touch()
    with pytest.raises(HostError, match=r"cannot delete .removing-7.*something is mounted inside") as caught:
        driver.sweep(work)
    assert caught.value.errno == errno.EBUSY
    assert kind == "file" or (inside / "kept").exists()
    syscalls.unmount(str(inside))
    driver.sweep(work)
    assert os.listdir(volumes(root)) == []
    assert (outside / "mine").exists()


def test_a_directory_that_moves_away_meanwhile_stops_the_sweep(driver, root, monkeypatch):
    (root / "outside").mkdir()
    (volumes(root) / ".removing-7" / "a" / "b").mkdir(parents=True)
    real = sweep_module._clear

    def moving(directory):
        if os.readlink(f"/proc/self/fd/{directory}").endswith("/b"):
            (volumes(root) / ".removing-7" / "a" / "b").rename(root / "outside" / "b")
        return real(directory)

    monkeypatch.setattr(sweep_module, "_clear", moving)
    with pytest.raises(HostError, match="somebody moved it"):
        driver.sweep(".removing-7")
    assert os.listdir(root / "outside") == ["b"]


def test_files_that_appear_meanwhile_are_deleted_too_but_not_for_ever(driver, root, monkeypatch):
    work = volumes(root) / ".removing-7"
    (work / "a").mkdir(parents=True)
    real, rounds = sweep_module._clear, []

    def writing(directory):
        found = real(directory)
        rounds.append(directory)
        if len(rounds) < 5 or endless:
            (work / "a" / f"new{len(rounds)}").touch()
        return found

    monkeypatch.setattr(sweep_module, "_clear", writing)
    endless = True
    with pytest.raises(HostError, match="Directory not empty"):
        driver.sweep(".removing-7")
    endless = False
    rounds.clear()
    driver.sweep(".removing-7")
    assert os.listdir(volumes(root)) == []


def test_a_crash_while_creating_leaves_work_that_sweep_deletes(driver, root):
    read, child_end = os.pipe()
    child = os.fork()
    if child == 0:
        syscalls.rename_to_new = lambda *arguments, **options: os._exit(9)
        try:
            driver.create("db", Description(1, options=TMPFS))
        finally:
            os._exit(1)
    os.close(read)
    os.close(child_end)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert driver.scan().names == []
    (work,) = driver.scan().work
    assert sorted(os.listdir(volumes(root) / work)) == ["_data", "meta.json", "opts.json"]
    driver.sweep(work)
    assert driver.scan() == Scan([], [], [])


def test_the_size_counts_links_once_sparse_files_full_and_no_symlink_target(driver):
    driver.create("db", PLAIN)
    data = Path(driver.mountpoint("db"))
    (data / "a" / "b").mkdir(parents=True)
    write(data / "file", "x" * 10)
    write(data / "a" / "b" / "linked", "x" * 100)
    os.link(data / "a" / "b" / "linked", data / "again")
    (data / "sparse").touch()
    os.truncate(data / "sparse", 1 << 30)
    (data / "link").symlink_to("/etc")
    assert driver.measure("db").apparent == 10 + 100 + (1 << 30) + len("/etc")


def test_the_size_of_a_deep_tree_takes_no_path(driver):
    driver.create("db", PLAIN)
    here = os.open(driver.mountpoint("db"), os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("directory", dir_fd=here)
        below = os.open("directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    bottom = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(bottom, b"deep")
    os.close(bottom)
    os.close(here)
    assert driver.measure("db").apparent == 4
    driver.sweep(driver.remove("db", 7))


@needs_mounts
def test_the_size_leaves_out_other_mounts(driver):
    driver.create("db", PLAIN)
    data = Path(driver.mountpoint("db"))
    (data / "sub").mkdir()
    syscalls.mount("none", str(data / "sub"), "tmpfs")
    write(data / "sub" / "file", "x")
    assert driver.measure("db").apparent == 0
