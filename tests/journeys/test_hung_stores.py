"""Stores that hang, with many callers waiting for them: everything about other volumes goes on as quickly as before."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import UnixConnection, until
from tests.journeys.test_check import run
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
ROUNDS = 30
SLOWER = 25  # times the median of before: what hangs would take seconds, and a median of before a few milliseconds

WAITS = (  # what callers do with a volume that hangs; each tries again and again, whatever it is told
    "os.stat(f'{view}/hung/_data/x{number}')",
    "open(f'{view}/hung/_data/file').read()",
    "os.stat(f'{view}/mounting/_data')",
    "os.listdir(f'{view}/hung/_data')",
)
CALLER = """
import os, sys, time
view = sys.argv[1]
print("there", flush=True)
for number in range(10000):
    try: {}
    except OSError: time.sleep(0.05)
"""


class Hung:
    """A daemon of which two volumes are on a store, another daemon's view, that can be stopped."""

    def __init__(self, serve, plane, tmp_path):
        self.plugin_socket = tmp_path / "plugin.sock"
        self.served = serve("--data-plane", plane, "--plugin-socket", str(self.plugin_socket))
        self.store = serve("--data-plane", "fuse")
        self.store.create("slow")
        device = self.store.view / "slow" / "_data" / "directory"
        device.mkdir()
        bind = {"type": "none", "o": "bind"}
        self.served.create("hung", DriverOpts={**bind, "device": str(device)})
        self.served.create("mounting", DriverOpts={**bind, "device": str(self.store.view / "slow" / "_data" / "none")})
        self.served.create("fine")
        (self.served.view / "hung" / "_data" / "file").write_bytes(b"x" * 100_000)
        self.stopped = 0
        self.callers = []
        self.connections = []

    def hang(self):
        self.stopped = self.store.daemon
        os.kill(self.stopped, signal.SIGSTOP)

    def look(self, many):
        """So many processes wait for the store."""
        for number in range(many):
            text = CALLER.format(WAITS[number % len(WAITS)])
            command = [sys.executable, "-S", "-c", text, self.served.view]
            self.callers.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        for one in self.callers:
            assert one.stdout.readline() == b"there\n"

    def call(self, many):
        """So many processes wait for the store, and half as many connections for a mount."""
        self.look(many)
        for number in range(many // 2):
            self.ask(self.plugin_socket, "POST /VolumeDriver.Mount", {"Name": "mounting", "ID": f"u{number}"})

    def ask(self, path, what, body=None):
        """Sends a request whose answer nobody reads."""
        text = json.dumps(body).encode() if body else b""
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(path))
        about = f"Host: a\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
        one.sendall(f"{what} HTTP/1.1\r\n{about}\r\n\r\n".encode() + text)
        self.connections.append(one)

    def add_disks(self, many):
        """Volumes that an administrator has mounted a disk on, whole, which is on the store."""
        made = []
        for number in range(many):
            disk = self.store.view / "slow" / "_data" / f"disk{number}"
            (disk / "_data").mkdir(parents=True)
            self.served.create(f"disk{number}")
            made.append((disk, self.served.root / "volumes" / f"disk{number}"))
        for disk, directory in made:
            descriptor = os.open(disk, os.O_PATH)
            syscalls.bind(descriptor, str(directory))
            os.close(descriptor)

    def end(self):
        if self.stopped:
            os.kill(self.stopped, signal.SIGCONT)
        for one in self.callers:
            one.kill()
        for one in self.callers:
            one.wait()
            one.stdout.close()
        for one in self.connections:
            one.close()


@pytest.fixture
def hung(serve, tmp_path):
    """Makes a `Hung`, which is let go after the test."""
    made = []

    def make(plane):
        made.append(Hung(serve, plane, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.end()


def life(served, name):
    """What people do with volumes, each with the time it took; everything must succeed."""
    view = served.view
    deeds = {
        "create": lambda: served.create(name),
        "list": lambda: served.request("GET", "/volumes"),
        "inspect": lambda: served.request("GET", "/volumes/fine"),
        "ls": lambda: os.listdir(view),
        "meta": lambda: (view / name / "meta").read_bytes(),
        "write": lambda: (view / name / "_data" / "file").write_bytes(b"x" * 200_000),
        "read": lambda: (view / name / "_data" / "file").read_bytes(),
        "room": lambda: os.statvfs(view),
        "df": lambda: measured(served, name),
        "meta of the hung": lambda: (view / "hung" / "meta").read_bytes(),
        "remove": lambda: served.request("DELETE", f"/volumes/{name}"),
    }
    for deed, act in deeds.items():
        began = time.monotonic()
        act()
        yield deed, time.monotonic() - began


def measured(served, name):
    connection = UnixConnection(served.socket)
    with contextlib.closing(connection):
        connection.request("GET", f"/volfs/usage?name={name}")
        lines = connection.getresponse().read().splitlines()
    assert json.loads(lines[-1]) == {"End": True}


def lives(served, prefix):
    """Times by deed."""
    times = {}
    for number in range(ROUNDS):
        for deed, took in life(served, f"{prefix}{number}"):
            times.setdefault(deed, []).append(took)
    return {deed: sorted(took) for deed, took in times.items()}


@pytest.mark.parametrize(("plane", "callers"), [("bind", 10), ("fuse", 40)])
def test_while_a_store_hangs_everything_else_is_as_quick_as_before_and_a_stop_and_a_start_work(hung, plane, callers):
    one = hung(plane)
    served = one.served
    before = lives(served, "before")
    one.hang()
    one.call(callers)
    after = lives(served, "after")
    usual = sum(took[len(took) // 2] for took in before.values()) / len(before)
    for deed, took in after.items():
        assert took[len(took) // 2] < SLOWER * max(before[deed][len(before[deed]) // 2], usual), deed
        # All but the two slowest: others use this machine, and what waits for the store would all be as slow.
        assert took[-3] < SLOWER * max(before[deed][-1], usual), deed
    assert served.stop() == 0
    served.start()
    assert served.request("GET", "/volumes/hung")[0] == 200
    assert sorted(os.listdir(served.view)) == ["fine", "hung", "mounting"]
    (served.view / "fine" / "_data" / "file").write_text("kept")


MANY = 24  # more than there are threads of any kind at once


def test_many_stores_that_hang_at_once_keep_nobody_else_waiting_for_a_thread(hung):
    """Each in every way there is: somebody mounts it, looks at it, measures it, removes it."""
    one = hung("bind")
    served = one.served
    one.add_disks(MANY)
    before = lives(served, "before")
    one.hang()
    for number in range(MANY):
        name = f"disk{number}"
        one.ask(one.plugin_socket, "POST /VolumeDriver.Mount", {"Name": name, "ID": "u"})
        one.ask(served.socket, f"GET /volfs/usage?name={name}")
        one.ask(served.socket, "GET /volumes/mounting")
        one.ask(served.socket, f"DELETE /volumes/{name}")
    after = lives(served, "after")
    usual = sum(took[len(took) // 2] for took in before.values()) / len(before)
    for deed, took in after.items():
        assert took[len(took) // 2] < SLOWER * max(before[deed][len(before[deed]) // 2], usual), deed
        assert took[-3] < SLOWER * max(before[deed][-1], usual), deed
    assert served.stop() == 0
    assert "killed" not in served.log()


@pytest.mark.parametrize("plane", ["bind", "fuse"])
def test_a_daemon_ends_by_itself_while_a_store_hangs_and_lets_everybody_go(hung, plane):
    """Not because the keeper's patience is over; who waits in the view is free, though the store still hangs."""
    one = hung(plane)
    served = one.served
    one.hang()
    one.look(6)
    until(lambda: in_kernel(children(served.keeper.pid)[-1]))
    os.kill(served.keeper.pid, signal.SIGHUP)
    served.ready(2)
    until(lambda: in_kernel(children(served.keeper.pid)[-1]))
    assert served.stop() == 0
    assert served.log().count("killed") == 0
    if plane == "fuse":  # where the kernel has the data they wait for the store itself
        for caller in one.callers:
            caller.kill()
        until(lambda: all(caller.poll() is not None for caller in one.callers))
    assert served.mounts() == []


def children(pid):
    """The oldest first; a daemon of which a thread waits in the kernel stays one."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def in_kernel(pid):
    """Whether a thread of the process waits for an answer of a FUSE file system."""
    waits = [Path(one, "wchan").read_text() for one in Path(f"/proc/{pid}/task").iterdir()]
    return any("request_wait_answer" in one for one in waits)


READER = """
import os, sys
files = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]
print("open", flush=True)
sys.stdin.readline()
for file in files:
    if not os.fork():
        os.posix_fadvise(file, 0, 1 << 18, os.POSIX_FADV_WILLNEED)
        os.read(file, 1)
        os._exit(0)
print("reading", flush=True)
sys.stdin.read()
"""


def test_what_is_read_ahead_from_a_store_that_hangs_keeps_no_other_volumes_reader_waiting(hung, client):
    """The kernel sends a dozen requests at a time that nobody waits for; these would be those."""
    one = hung("fuse")
    data = one.served.view / "hung" / "_data"
    paths = [data / f"f{number}" for number in range(40)]
    for path in paths:
        path.write_bytes(b"x" * 300_000)
    (one.served.view / "fine" / "_data" / "big").write_bytes(b"y" * 3_000_000)
    reader = client(READER, *paths)
    assert reader.line() == "open"
    Path("/proc/sys/vm/drop_caches").write_text("1")
    one.hang()
    try:
        assert reader.say("") == "reading"
        read = subprocess.run(["dd", "bs=1M", f"if={one.served.view}/fine/_data/big", "of=/dev/null"], timeout=20)
        assert read.returncode == 0
    finally:
        one.end()
    reader.finish()


def test_a_damaged_volume_whose_disk_hangs_keeps_no_other_from_being_mended(hung):
    """For who only looks through the view they are looked at one after the other, but not behind one that hangs."""
    one = hung("bind")
    served = one.served
    bind = {"type": "none", "o": "bind", "device": "/usr"}
    for name in ("aa", "bb"):
        served.create(name, DriverOpts=bind)
    good = (served.root / "volumes" / "bb" / "opts.json").read_text()
    disk = one.store.view / "slow" / "_data" / "damaged"
    (disk / "_data").mkdir(parents=True)  # without the opts.json that belongs there
    descriptor = os.open(disk, os.O_PATH)
    syscalls.bind(descriptor, str(served.root / "volumes" / "aa"))
    os.close(descriptor)
    (served.root / "volumes" / "bb" / "opts.json").write_text("{")
    for name in ("aa", "bb"):
        assert served.request("GET", f"/volumes/{name}")[1]["Status"]["State"] == "damaged"
        assert not (served.view / name / "_data").exists()
    one.hang()
    until(lambda: in_kernel(served.daemon))  # the look at aa
    (served.root / "volumes" / "bb" / "opts.json").write_text(good)
    until(lambda: (served.view / "bb" / "_data").exists())


def test_a_create_that_meets_what_hangs_under_its_name_keeps_no_other_change_waiting(hung):
    """An administrator has mounted a disk there, of which volfs knows nothing yet."""
    hung = hung("bind")
    disk = hung.store.view / "slow" / "_data" / "disk"
    (disk / "_data").mkdir(parents=True)
    (hung.served.root / "volumes" / "nas").mkdir()
    descriptor = os.open(disk, os.O_PATH)
    syscalls.bind(descriptor, str(hung.served.root / "volumes" / "nas"))
    os.close(descriptor)
    hung.hang()
    time.sleep(1.5)  # the kernel remembers attributes for a second
    for _ in range(3):
        hung.ask(hung.served.socket, "POST /volumes/create", {"Name": "nas"})
    time.sleep(0.5)
    lived = []
    changes = threading.Thread(target=lambda: lived.extend(lives(hung.served, "other")), daemon=True)
    changes.start()
    changes.join(60)
    assert lived, hung.served.log()


def test_check_names_the_volumes_that_hang_who_uses_them_and_what_to_do(hung):
    one = hung("bind")
    served = one.served
    one.add_disks(1)
    one.hang()
    done = run(served, "--format", "json")
    found = {one["Volume"]: one for one in json.loads(done.stdout)}
    assert {name: one["Code"] for name, one in found.items()} == dict.fromkeys(
        ("hung", "mounting", "disk0"), "volume-hangs"
    )
    [mount] = [mount for mount in syscalls.read_mountinfo() if mount.mountpoint == str(one.store.view)]
    assert "in use by the view" in found["hung"]["Meaning"]
    assert f"/sys/fs/fuse/connections/{mount.device[2:]}/abort" in found["hung"]["Remedy"]
    assert f"{one.store.view}/slow/_data/none does not answer" in found["mounting"]["Meaning"]
    one.end()
    assert run(served, "--format", "json").stdout == "[]\n"
