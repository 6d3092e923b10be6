"""An ordinary user runs volfs with fusermount3: no capability, no bind, and everything works in `_data`."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from volfs.mount import syscalls
from volfs.mount.syscalls import detach

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
PROJECT = Path(__file__).resolve().parents[2]
ORDINARY = 65534

EVERYTHING = r"""
import errno, os, sys
os.chdir(sys.argv[1])
with open("file", "w") as file:
    file.write("0123456789"); file.flush(); os.fsync(file.fileno())
assert open("file").read() == "0123456789"
os.truncate("file", 4); assert os.stat("file").st_size == 4
with open("file", "r+b") as file:
    file.seek(2); file.write(b"xx"); file.truncate(3)
assert open("file").read() == "01x"
os.rename("file", "renamed"); os.link("renamed", "linked"); assert os.stat("linked").st_nlink == 2
assert os.path.samefile("renamed", "linked")
os.symlink("renamed", "symlink"); assert os.readlink("symlink") == "renamed"; assert open("symlink").read() == "01x"
os.mkdir("directory", 0o750); os.rename("linked", "directory/linked")
try: os.rmdir("directory")
except OSError as error: assert error.errno == errno.ENOTEMPTY
else: raise AssertionError
os.unlink("directory/linked"); os.rmdir("directory"); assert not os.path.exists("directory")
os.chmod("renamed", 0o640); assert os.stat("renamed").st_mode & 0o777 == 0o640
os.chown("renamed", -1, os.getgid())
try: os.chown("renamed", 0, 0)
except PermissionError: pass
else: raise AssertionError
os.utime("renamed", ns=(1_000_000_001, 2_000_000_002)); assert os.stat("renamed").st_mtime_ns == 2_000_000_002
os.setxattr("renamed", "user.a", b"1"); assert os.getxattr("renamed", "user.a") == b"1"
assert "user.a" in os.listxattr("renamed"); os.removexattr("renamed", "user.a")
assert os.statvfs(".").f_blocks > 0
for number in range(1000): os.close(os.open(f"many-{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
assert len([name for name in os.listdir(".") if name.startswith("many-")]) == 1000
for number in range(1000): os.unlink(f"many-{number}")
try: os.close(os.open(".", os.O_TMPFILE | os.O_RDWR))
except OSError as error: assert error.errno in (errno.EOPNOTSUPP, errno.EISDIR), error
os.unlink("symlink"); os.unlink("renamed"); assert os.listdir(".") == []
print("everything")
"""


@pytest.fixture
def fuse_for_everybody():
    """udev's usual mode of /dev/fuse, for the time of a test."""
    before = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
    os.chmod("/dev/fuse", 0o666)
    yield
    os.chmod("/dev/fuse", before)


@pytest.fixture
def program(open_place):
    """The project at a place that every user can reach, wherever the clone is."""
    place = open_place / "project"
    place.mkdir()
    descriptor = os.open(PROJECT, os.O_PATH)
    syscalls.bind(descriptor, str(place))
    os.close(descriptor)
    yield place
    detach(str(place))


@pytest.fixture
def ordinary(open_place, program, serve, fuse_for_everybody):
    """A daemon of an ordinary user."""
    home = open_place / "home"
    home.mkdir()
    os.chown(home, ORDINARY, ORDINARY)
    python = program / Path(sys.executable).relative_to(PROJECT)
    return serve(directory=home, user=ORDINARY, python=python, project=program)


def as_user(text, *arguments):
    result = subprocess.run(
        ["/usr/bin/python3", "-c", text, *map(str, arguments)],
        user=ORDINARY,
        group=ORDINARY,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_an_ordinary_user_has_volumes_with_everything_in_them(ordinary):
    ordinary.create("db", Labels={"a": "1"})
    assert Path(f"/proc/{ordinary.daemon}").stat().st_uid == ORDINARY
    assert as_user("import os, sys; print(*os.listdir(sys.argv[1]))", ordinary.view) == "db"
    assert '"a": "1"' in as_user("import sys; print(open(sys.argv[1]).read())", ordinary.view / "db" / "meta")
    assert as_user(EVERYTHING, ordinary.view / "db" / "_data") == "everything"
    ordinary.kill_daemon()
    assert as_user(EVERYTHING, ordinary.view / "db" / "_data") == "everything"
    as_user("import sys; open(sys.argv[1], 'w').write('kept')", ordinary.view / "db" / "_data" / "file")
    assert (ordinary.root / "volumes" / "db" / "_data" / "file").read_text() == "kept"
    assert ordinary.mounts() == [str(ordinary.view)], "an ordinary user can bind nothing"


def test_a_volume_with_mount_options_is_refused_by_the_kernel_and_never_served_as_a_plain_directory(ordinary):
    ordinary.create("scratch", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    said = as_user(
        "import sys\ntry: open(sys.argv[1], 'w')\nexcept OSError as error: print(error.errno)",
        ordinary.view / "scratch" / "_data" / "file",
    )
    assert said in ("1", "5", "13"), "a write to the disk below would be lost to who mounts it later"
    assert os.listdir(ordinary.root / "volumes" / "scratch" / "_data") == []


def test_stopping_leaves_nothing_of_an_ordinary_users_daemon(ordinary):
    daemon = ordinary.daemon
    assert ordinary.stop() == 0
    assert ordinary.mounts() == []
    assert not ordinary.socket.exists()
    assert not Path(f"/proc/{daemon}").exists()
