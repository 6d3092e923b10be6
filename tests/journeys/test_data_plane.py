"""`_data` in the view: bound on first touch however that comes, gone when idle, and harmless to the host's users."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from volfs.mount.syscalls import detach, unmount


def _bound(served):
    """The volumes whose data is bound in the view."""
    return {Path(mountpoint).parent.name for mountpoint in served.mounts() if mountpoint.endswith("/_data")}


def _real(served, name):
    return Path(served.root, "volumes", name, "_data")


def test_the_first_touch_binds_whatever_it_is(served):
    def write(data):
        (data / "file").write_text("kept")

    def look_by_descriptor(data):
        descriptor = os.open(data, os.O_PATH)
        try:
            os.fstat(descriptor)
        finally:
            os.close(descriptor)

    touches = {
        "stat": os.stat,
        "ls": os.listdir,
        "write": write,
        "mkdir": lambda data: os.mkdir(data / "made"),
        "access": lambda data: os.access(data, os.R_OK),
        "missing": lambda data: (data / "missing").exists(),
        "descriptor": look_by_descriptor,
        "cd": lambda data: subprocess.run(["ls"], cwd=data, check=True, stdout=subprocess.DEVNULL),
    }
    for name, touch in touches.items():
        served.create(f"by-{name}")
        assert f"by-{name}" not in _bound(served)
        touch(served.view / f"by-{name}" / "_data")
        assert f"by-{name}" in _bound(served), name
    assert (_real(served, "by-write") / "file").read_text() == "kept"
    assert os.listdir(_real(served, "by-mkdir")) == ["made"]
    for name in touches:
        assert os.path.samestat(os.stat(served.view / f"by-{name}" / "_data"), os.stat(_real(served, f"by-{name}")))


def test_a_file_opened_as_the_very_first_touch_outlives_the_daemon(served):
    served.create("db")
    with open(served.view / "db" / "_data" / "file", "w") as file:
        assert os.fstat(file.fileno()).st_dev == os.stat(_real(served, "db")).st_dev
        for number in range(3):
            served.kill_daemon()
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
    assert (_real(served, "db") / "file").read_text() == "0\n1\n2\n"


def test_listing_volumes_binds_nothing(served):
    for name in ("one", "two"):
        served.create(name)
    subprocess.run(["ls", "-lR", "--ignore=_data", served.view], check=True, stdout=subprocess.DEVNULL)
    for name in ("one", "two"):
        os.listdir(served.view / name)
        (served.view / name / "meta").read_text()
    assert _bound(served) == set()


def test_a_bind_that_somebody_unmounted_comes_back_with_the_next_touch(served, eventually):
    served.create("db")
    data = served.view / "db" / "_data"
    (data / "file").write_text("kept")
    os.stat(data)
    for _ in range(2):
        unmount(str(data))
        assert (data / "file").read_text() == "kept"
        eventually(lambda: os.stat(data).st_dev == os.stat(_real(served, "db")).st_dev)
        assert _bound(served) == {"db"}


def test_idle_binds_go_and_those_in_use_stay(serve, eventually, client):
    served = serve("--idle", "0.3")
    for name in ("open", "cwd", "idle"):
        served.create(name)
        os.stat(served.view / name / "_data")
    served.create("memory", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    with open(served.view / "memory" / "_data" / "file", "w"):
        pass
    holder = client(
        "import os, sys; os.chdir(sys.argv[1]); file = open(sys.argv[2], 'w')\n"
        "print('held', flush=True); sys.stdin.read(); file.write('kept'); file.close(); open('here', 'w').close()",
        served.view / "cwd" / "_data",
        served.view / "open" / "_data" / "file",
    )
    assert holder.line() == "held"
    eventually(lambda: _bound(served) <= {"open", "cwd"})
    eventually(lambda: str(_real(served, "memory")) not in served.mounts())
    assert json.loads((served.view / "memory" / "meta").read_text())["UsedBy"] == []
    for name in ("later", "much-later"):  # several rounds of expiry go by before each of these is gone again
        served.create(name)
        os.stat(served.view / name / "_data")
        eventually(lambda name=name: name not in _bound(served))
        assert _bound(served) == {"open", "cwd"}
    holder.finish()
    assert (_real(served, "open") / "file").read_text() == "kept"
    assert (_real(served, "cwd") / "here").exists()
    eventually(lambda: _bound(served) == set())
    os.stat(served.view / "idle" / "_data")
    assert "idle" in _bound(served)


HOLD = """
import os, sys
files = [open(path + "/held", "w") for path in sys.argv[2:]]
os.stat(sys.argv[1])
os.chdir(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
for file in files:
    file.write("kept")
    file.close()
open("here", "w").close()
"""


def test_with_more_binds_than_wanted_the_unused_ones_go_and_not_one_in_use(serve, eventually, client):
    served = serve("--max-binds", "8")
    names = [f"v{number:03}" for number in range(120)]
    for name in names:
        served.create(name)
    used = names[:12]  # more than are wanted, and touched first
    holder = client(HOLD, *(served.view / name / "_data" for name in used))
    assert holder.line() == "held"
    for name in names[12:]:
        os.stat(served.view / name / "_data")
    eventually(lambda: len(_bound(served)) <= len(used) + 8)
    assert set(used) <= _bound(served)
    for name in names:  # whatever is gone comes back
        eventually(lambda name=name: os.stat(served.view / name / "_data").st_dev == os.stat(served.root).st_dev)
    assert set(used) <= _bound(served)
    served.kill_daemon()
    holder.finish()
    for name in names[-12:]:  # what was in use is looked at again when others come
        os.stat(served.view / name / "_data")
    eventually(lambda: len(_bound(served)) <= 8)
    assert (_real(served, used[0]) / "here").exists()
    for name in used[1:]:
        assert (_real(served, name) / "held").read_text() == "kept"


def test_a_volume_whose_bind_is_not_to_be_had_keeps_no_other_bound(serve, eventually, client):
    served, other = serve("--max-binds", "4"), serve("--data-plane", "fuse")
    other.create("slow")
    served.create("hung", DriverOpts={"type": "none", "o": "bind", "device": str(other.view / "slow" / "_data")})
    stopped = other.daemon
    os.kill(stopped, signal.SIGSTOP)
    try:
        waiting = client("import os, sys\ntry: os.stat(sys.argv[1])\nexcept OSError: pass", f"{served.view}/hung/_data")
        for number in range(30):
            served.create(f"v{number}")
            os.stat(served.view / f"v{number}" / "_data")
        eventually(lambda: len(_bound(served)) <= 4)
    finally:
        os.kill(stopped, signal.SIGCONT)
    waiting.finish()


def test_a_volume_with_mount_options_is_mounted_on_first_touch_and_shows_its_own_room(served):
    served.create("memory", DriverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size=3m,mode=0751"})
    assert str(_real(served, "memory")) not in served.mounts()
    data = served.view / "memory" / "_data"
    attributes = os.stat(data)
    assert stat.S_IMODE(os.stat(data).st_mode) == 0o751
    room = os.statvfs(data)
    assert room.f_blocks * room.f_frsize == 3 << 20
    assert str(_real(served, "memory")) in served.mounts()
    assert stat.S_IMODE(attributes.st_mode) == 0o751
    (data / "file").write_text("kept")
    assert (_real(served, "memory") / "file").read_text() == "kept"
    with open(data / "much", "wb") as much, pytest.raises(OSError) as full:
        much.write(b"\0" * (4 << 20))
    assert full.value.errno == errno.ENOSPC


def test_a_setuid_program_and_a_device_in_data_are_powerless_through_the_view(serve, open_place, as_ordinary_user):
    served = serve("--mode", "0755", directory=open_place / "served")
    served.root.chmod(0o711)
    served.create("db")
    real, seen = _real(served, "db"), served.view / "db" / "_data"
    shutil.copy("/usr/bin/id", real / "id")
    (real / "id").chmod(0o4755)
    os.mknod(real / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.stat(seen)
    assert as_ordinary_user(real / "id", "-u").stdout == "0\n", "the test needs a place without nosuid"
    assert as_ordinary_user(seen / "id", "-u").stdout == "65534\n"
    (real / "null").read_bytes()
    with pytest.raises(PermissionError):
        (seen / "null").read_bytes()
    with pytest.raises(PermissionError):  # also where nothing is bound yet, or not any more
        unmount(str(seen))
        (seen / "null").read_bytes()


def test_data_works_through_fuse_where_nothing_may_be_bound(serve):
    served = serve("--data-plane", "fuse")
    served.create("db")
    real, seen = _real(served, "db"), served.view / "db" / "_data"
    (seen / "directory").mkdir(mode=0o750)
    file = seen / "directory" / "file"
    file.write_text("first")
    with open(file, "a") as more:
        more.write(" second")
        os.fsync(more.fileno())
    os.setxattr(file, "user.colour", b"red")
    os.rename(file, seen / "renamed")
    os.link(seen / "renamed", seen / "linked")
    os.symlink("renamed", seen / "symlink")
    os.truncate(seen / "linked", 5)
    os.chmod(seen / "renamed", 0o640)
    os.utime(seen / "renamed", (1, 2))
    os.rmdir(seen / "directory")
    assert sorted(os.listdir(seen)) == sorted(os.listdir(real)) == ["linked", "renamed", "symlink"]
    assert (real / "renamed").read_text() == (seen / "symlink").read_text() == "first"
    assert os.getxattr(real / "renamed", "user.colour") == os.getxattr(seen / "renamed", "user.colour") == b"red"
    for place in (real, seen):
        status = os.stat(place / "renamed")
        assert (stat.S_IMODE(status.st_mode), status.st_nlink, status.st_mtime) == (0o640, 2, 2)
    os.unlink(seen / "renamed")
    assert sorted(os.listdir(real)) == ["linked", "symlink"]
    assert _bound(served) == set()


def test_through_fuse_a_killed_daemon_is_waited_for(serve):
    served = serve("--data-plane", "fuse")
    served.create("db")
    seen = served.view / "db" / "_data"
    (seen / "directory").mkdir()
    for number in range(3):
        served.kill_daemon()
        (seen / "directory" / f"{number}").write_text("kept")
        assert len(os.listdir(seen / "directory")) == number + 1
    assert sorted(os.listdir(_real(served, "db") / "directory")) == ["0", "1", "2"]


OPENS = """
import contextlib, os, sys, time
data, refused, done = sys.argv[1], [], 0
print("there", flush=True)
while sys.stdin.readline():  # a line for each daemon
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        for path, flags in ((data, os.O_DIRECTORY), (data + "/file", 0), (data + "/new", os.O_CREAT | os.O_WRONLY)):
            try:
                opened = os.open(path, flags)
                os.stat(path)
                done += 1
            except OSError as error:
                refused.append((path, error.errno))
                continue
            with contextlib.suppress(OSError):  # what is open ends with its daemon
                os.close(opened)
    print(len([one for one in open("/proc/self/mountinfo") if data in one]), done, refused, flush=True)
"""


def test_who_does_not_see_the_binds_opens_whatever_is_there_while_daemons_are_killed(served):
    """A container that is given the whole view has a copy of its mount table."""
    served.create("db")
    (_real(served, "db") / "file").write_text("kept")
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", OPENS]
    with subprocess.Popen(
        [*command, served.view / "db" / "_data"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as inside:
        assert inside.stdout.readline() == "there\n"
        os.stat(served.view / "db" / "_data")
        for number in range(8):
            inside.stdin.write("go\n")
            inside.stdin.flush()
            time.sleep(0.1 * number)
            served.kill_daemon()
            binds, done, refused = inside.stdout.readline().split(maxsplit=2)
            assert (binds, refused) == ("0", "[]\n")
            assert int(done) > 10
        inside.stdin.close()
    assert _bound(served) == {"db"}


def test_a_volume_whose_mount_is_refused_says_so_and_disturbs_no_other(served):
    served.create("fine")
    served.create("broken", DriverOpts={"type": "ext4", "device": "/nonexistent/device"})
    with pytest.raises(OSError) as refused:
        os.listdir(served.view / "broken" / "_data")
    assert refused.value.errno == errno.EIO
    with pytest.raises(OSError):
        (served.view / "broken" / "_data" / "file").write_text("lost")
    assert os.listdir(_real(served, "broken")) == []
    (served.view / "fine" / "_data" / "file").write_text("kept")
    assert json.loads((served.view / "broken" / "meta").read_text())["UsedBy"] == []
    assert "volume=broken" in served.log()
    assert "/nonexistent/device" in served.log()


def test_a_store_that_hangs_delays_neither_other_volumes_nor_its_own_control_files(serve, client):
    """The store of `hung` is a volume of another daemon, which is stopped."""
    served, other = serve(), serve("--data-plane", "fuse")
    other.create("slow")
    served.create("hung", DriverOpts={"type": "none", "o": "bind", "device": str(other.view / "slow" / "_data")})
    served.create("fine")
    stopped = other.daemon
    os.kill(stopped, signal.SIGSTOP)
    try:
        waiting = client("import os, sys\ntry: os.stat(sys.argv[1])\nexcept OSError: pass", f"{served.view}/hung/_data")
        (served.view / "fine" / "_data" / "file").write_text("kept")
        assert json.loads((served.view / "hung" / "meta").read_text())["Name"] == "hung"
        assert sorted(os.listdir(served.view)) == ["fine", "hung"]
    finally:
        os.kill(stopped, signal.SIGCONT)
    waiting.finish()


SILENT = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
assert libc.mount(b"silent", sys.argv[1].encode(), b"fuse", 0, options) == 0
begin = os.read(fuse, 1 << 20)
unique, major, minor, ahead = struct.unpack_from("=QxxxxxxxxxxxxxxxxxxxxxxxxIII", begin, 8)
answer = struct.pack("=IIIIHHIIHHIIII", 7, 31, ahead, 0, 16, 12, 1 << 16, 1, 0, 0, 0, 0, 0, 0) + bytes(8)
os.write(fuse, struct.pack("=IiQ", 16 + len(answer), 0, unique) + answer)
print("mounted", flush=True)
os.read(fuse, 1 << 20)
print("asked", flush=True)
sys.stdin.read()
"""


def test_a_daemon_killed_while_a_store_does_not_answer_is_followed_by_the_next(served, client, tmp_path, eventually):
    """A thread that waits for a request that was taken and not answered outlives the SIGKILL of its process."""
    (tmp_path / "silent").mkdir()
    silent = client(SILENT, tmp_path / "silent")
    try:
        assert silent.line() == "mounted"
        device = str(tmp_path / "silent" / "store")
        served.create("hung", DriverOpts={"type": "none", "o": "bind", "device": device})
        served.create("fine")
        waiting = client("import os, sys\ntry: os.stat(sys.argv[1])\nexcept OSError: pass", f"{served.view}/hung/_data")
        assert silent.line() == "asked"
        killed = served.daemon
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: served.log().count(" ready ") == 2)
        assert Path(f"/proc/{killed}").exists(), "the store was to hold it"
        (served.view / "fine" / "_data" / "file").write_text("kept")
        assert sorted(os.listdir(served.view)) == ["fine", "hung"]
        silent.close()  # now all its requests fail
        waiting.finish()
        eventually(lambda: not Path(f"/proc/{killed}").exists())
    finally:
        silent.close()
        detach(str(tmp_path / "silent"))
