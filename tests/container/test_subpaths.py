"""Parts of volumes: found inside of the volume, whatever those who can write in it do meanwhile, and bound."""

import errno
import os
import socket
import subprocess
import sys
import time

import pytest

from volfs.container.subpaths import Subpaths
from volfs.errors import HostError
from volfs.mount.syscalls import can_mount, detach, is_mount_root, open_beneath

pytestmark = pytest.mark.skipif(not can_mount(), reason="needs CAP_SYS_ADMIN")
SWAP = """
import ctypes, sys
libc, exchange, here = ctypes.CDLL(None), 2, -100
print("swapping", flush=True)
while True:
    libc.renameat2(here, sys.argv[1].encode(), here, sys.argv[2].encode(), exchange)
"""


@pytest.fixture
def data(tmp_path):
    """The data of a volume, beside that of another."""
    for name in ("db", "other"):
        (tmp_path / "volumes" / name / "_data" / "part" / "sub").mkdir(parents=True)
    return tmp_path / "volumes" / "db" / "_data"


@pytest.fixture
def subpaths(tmp_path):
    made = Subpaths(tmp_path)
    yield made
    for container in made.containers():
        made.keep_only(container, ())
    assert made.containers() == []


@pytest.fixture
def swap():
    """Exchanges two names, as fast as it can, until the test is over."""
    started = []

    def start(one, two):
        process = subprocess.Popen([sys.executable, "-c", SWAP, str(one), str(two)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "swapping\n"

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def identity(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino


def bound(subpaths, data, subpath, container="c1", **options):
    place = subpaths.place(container, "db", subpath)
    subpaths.bind(place, str(data), subpath, follow=False, **options)
    return place


# What can be bound


def test_a_directory_is_bound_and_is_the_same_directory(subpaths, data):
    (data / "part" / "file").write_text("in the volume")
    place = bound(subpaths, data, "part")
    assert identity(place) == identity(data / "part")
    (place / "new").write_text("through the bind")
    assert (data / "part" / "new").read_text() == "through the bind"


def test_a_file_and_a_socket_are_bound_too(subpaths, data):
    (data / "part" / "file").write_text("in the volume")
    assert bound(subpaths, data, "part/file").read_text() == "in the volume"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "sock"))
        assert identity(bound(subpaths, data, "sock")) == identity(data / "sock")


def test_a_fifo_is_no_source(subpaths, data):
    os.mkfifo(data / "fifo")
    with pytest.raises(OSError) as refused:
        bound(subpaths, data, "fifo")
    assert refused.value.errno == errno.ENOTSUP


def test_symlinks_that_stay_inside_are_followed(subpaths, data):
    (data / "link").symlink_to("part/../part")
    (data / "part" / "up").symlink_to("../part/sub")
    assert identity(bound(subpaths, data, "link")) == identity(data / "part")
    assert identity(bound(subpaths, data, "link/up")) == identity(data / "part" / "sub")


@pytest.mark.parametrize(
    "subpath", ["..", "../other", "/etc", "part/../..", "part/../../../other/_data", "out", "away/_data", "part/here/x"]
)
def test_what_leads_out_is_refused(subpaths, data, subpath):
    (data / "out").symlink_to("/etc")
    (data / "away").symlink_to("../../other")
    (data / "part" / "here").symlink_to(f"{data}/part/..")
    with pytest.raises(OSError) as refused:
        bound(subpaths, data, subpath)
    assert refused.value.errno == errno.EXDEV
    assert subpaths.containers() == []


def test_a_magic_link_is_refused():
    proc = os.open("/proc", os.O_PATH)
    try:
        with pytest.raises(OSError) as refused:
            open_beneath(proc, f"self/fd/{proc}")
    finally:
        os.close(proc)
    assert refused.value.errno in (errno.ELOOP, errno.EXDEV)


def test_what_is_not_there_leaves_no_place_behind(subpaths, data):
    with pytest.raises(FileNotFoundError):
        bound(subpaths, data, "nothing")
    assert subpaths.containers() == []


def test_setuid_files_and_devices_of_a_container_keep_their_meaning(subpaths, data):
    place = bound(subpaths, data, "part")
    assert not os.statvfs(place).f_flag & (os.ST_NOSUID | os.ST_NODEV)


# A part that is swapped while it is looked for


@pytest.mark.parametrize("target", ["/etc", "../../other/_data/part", "ABSOLUTE"])
@pytest.mark.parametrize("subpath", ["part", "part/sub/..", "part/sub"])
def test_a_symlink_swapped_in_at_the_wrong_moment_leads_nowhere(data, swap, target, subpath):
    other = data.parent.parent / "other" / "_data" / "part"
    (data / "link").symlink_to(str(other) if target == "ABSOLUTE" else target)
    inside = {identity(data / "part"), identity(data / "part" / "sub")}
    base = os.open(data, os.O_PATH)
    swap(data / "part", data / "link")
    found, refused, fooled, tries = 0, 0, 0, 0
    end = time.monotonic() + 60
    try:
        while tries < 5_000 or not (found and refused and fooled):
            assert time.monotonic() < end, f"the attack did not come about: {found} {refused} {fooled}"
            tries += 1
            fooled += _path_leads_out(data / subpath, inside)
            try:
                descriptor = open_beneath(base, subpath)
            except OSError as error:
                # Where the swap was seen, or the kernel could not make sure for a thousand times.
                assert error.errno in (errno.EXDEV, errno.EAGAIN), error
                refused += 1
            else:
                status = os.fstat(descriptor)
                os.close(descriptor)
                assert (status.st_dev, status.st_ino) in inside
                found += 1
    finally:
        os.close(base)


def _path_leads_out(path, inside):
    """Whether the same path, looked up as a path, ends outside: that the attack is one."""
    try:
        return identity(path) not in inside
    except FileNotFoundError:  # /etc has no `sub`
        return True


def test_what_is_bound_during_the_attack_is_always_inside(subpaths, data, swap):
    (data / "link").symlink_to("../../other/_data/part")
    inside = identity(data / "part")
    swap(data / "part", data / "link")
    done = {"bound": 0, "refused": 0}
    end = time.monotonic() + 60
    while sum(done.values()) < 1_000 or not all(done.values()):
        assert time.monotonic() < end
        try:
            place = bound(subpaths, data, "part")
        except OSError as error:
            assert error.errno == errno.EXDEV
            done["refused"] += 1
        else:
            assert is_mount_root(str(place))
            assert identity(place) == inside
            subpaths.remove(place)
            done["bound"] += 1


# Again, replaced, taken away


def test_bound_again_it_is_left_as_it_is(subpaths, data):
    place = bound(subpaths, data, "part")
    with open(place / "open", "w") as file:
        assert bound(subpaths, data, "part") == place
        file.write("still")
    assert (data / "part" / "open").read_text() == "still"
    assert detach(str(place))
    assert not is_mount_root(str(place))
    bound(subpaths, data, "part")
    assert is_mount_root(str(place))


@pytest.mark.parametrize("then", ["directory", "file"])
def test_a_part_that_was_made_anew_is_bound_anew(subpaths, data, then):
    bound(subpaths, data, "part/sub")
    (data / "part" / "sub").rename(data / "old")
    (data / "part" / "sub").mkdir() if then == "directory" else (data / "part" / "sub").write_text("a file")
    place = bound(subpaths, data, "part/sub")
    assert identity(place) == identity(data / "part" / "sub")


def test_only_what_is_still_wanted_stays(subpaths, data):
    part, sub = bound(subpaths, data, "part"), bound(subpaths, data, "part/sub")
    other = bound(subpaths, data, "part", container="c2")
    subpaths.keep_only("c1", [sub])
    assert (part.exists(), is_mount_root(str(sub)), is_mount_root(str(other))) == (False, True, True)
    subpaths.keep_only("c1", ())
    assert subpaths.containers() == ["c2"]
    assert (data / "part" / "sub").is_dir(), "nothing of the volume is deleted"


def test_a_place_that_holds_something_of_its_own_is_never_emptied(subpaths, data):
    place = bound(subpaths, data, "part")
    detach(str(place))
    (place / "stray").write_text("whose?")
    with pytest.raises(HostError, match="cannot be cleared"):
        subpaths.keep_only("c1", ())
    assert (place / "stray").read_text() == "whose?"
    (place / "stray").unlink()


def test_what_is_no_place_of_ours_is_nobodys(subpaths, tmp_path):
    subpaths.keep_only("c1", ())
    (tmp_path / "container-mounts").touch()
    assert subpaths.containers() == []
    (tmp_path / "container-mounts").unlink()
    (tmp_path / "container-mounts").mkdir()
    (tmp_path / "container-mounts" / "file").touch()
    subpaths.keep_only("file", ())
    (tmp_path / "container-mounts" / "file").unlink()


def test_nobody_can_look_into_the_places_and_whoever_has_the_name_can_pass(subpaths, data):
    before = os.umask(0o077)
    try:
        place = bound(subpaths, data, "part")
    finally:
        os.umask(before)
    for directory in (place.parent, place.parent.parent):
        assert directory.stat().st_mode & 0o777 == 0o701
