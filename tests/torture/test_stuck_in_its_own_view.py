"""A keeper and its daemon killed together, while a thread of the daemon waits for the view that the daemon serves."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, until
from volfs.keeper import claims
from volfs.mount import syscalls
from volfs.mount.mountinfo import at

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
# A keeper, as far as lock and view go, and a daemon that answers FUSE_INIT alone, and looks into its own view.
STUCK = """
import os, struct, sys, threading
from volfs.keeper import claims, fuse
root, view = sys.argv[1:]
claims.lock_root(root, view)
connection = fuse.mount_view(root, view)
if daemon := os.fork():
    print(daemon, flush=True)
    os.waitpid(daemon, 0)
unique = connection.init[8:16]
body = struct.pack("=IIIIHHIIHHIII", 7, 31, 0, 0, 12, 9, 1 << 17, 1, 32, 0, 0, 0, 0).ljust(64, b"\\0")
os.write(connection.descriptor, struct.pack("=Ii", 16 + len(body), 0) + unique + body)
threading.Thread(target=os.stat, args=(view + "/anything",)).start()
os.read(connection.descriptor, 1 << 20)
print("stuck", flush=True)
os.read(connection.descriptor, 1 << 20)
"""


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_next_start_ends_the_view_that_a_killed_daemon_is_stuck_in(tmp_path, caplog):
    root, view = tmp_path / "root", tmp_path / "view"
    view.mkdir()
    keeper = subprocess.Popen([sys.executable, "-c", STUCK, root, view], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    try:
        daemon = int(keeper.stdout.readline())
        assert keeper.stdout.readline() == "stuck\n"
        keeper.kill()
        keeper.wait()
        os.kill(daemon, signal.SIGKILL)
        until(lambda: Path(f"/proc/{daemon}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        assert os.listdir(f"/proc/{daemon}/task") != [str(daemon)], "no thread of it was left"
        os.close(claims.lock_root(str(root), str(view)))
    finally:
        if mounted(view):
            syscalls.unmount(str(view), syscalls.MNT_FORCE | syscalls.MNT_DETACH)
        keeper.stdout.close()
    assert "a view whose daemon is stuck is ended" in caplog.text
    assert not mounted(view)
    until(lambda: not is_there(daemon))


def mounted(view: Path) -> bool:
    return at(syscalls.read_mountinfo(), str(view)) is not None
