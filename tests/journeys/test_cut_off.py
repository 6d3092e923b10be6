"""A run of the tests that is ended in the middle: whoever ends it does not have to clean up after it."""

import signal
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, until
from volfs.mount import syscalls
from volfs.mount.mountinfo import under

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")

TEST = """
import os, time
from pathlib import Path
from tests.conftest import serve

def test_it(serve):
    served = serve()
    served.create("memory", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    os.stat(served.view / "memory" / "_data")
    Path("PLACE", "there").write_text(f"{served.keeper.pid} {served.daemon}")
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_leaves_no_mount_and_no_daemon(tmp_path, number):
    (tmp_path / "test_it.py").write_text(TEST.replace("PLACE", str(tmp_path)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path}/base"]
    command += ["-c", PROJECT / "pyproject.toml", "--rootdir", PROJECT, tmp_path / "test_it.py"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as running:
        until(lambda: (tmp_path / "there").exists() and (tmp_path / "there").read_text())
        assert len(under(syscalls.read_mountinfo(), str(tmp_path))) == 3
        running.send_signal(number)
        said = running.communicate(timeout=60)[0]
    assert running.returncode == 2, said
    assert under(syscalls.read_mountinfo(), str(tmp_path)) == []
    for pid in (tmp_path / "there").read_text().split():
        until(lambda pid=pid: not is_alive(pid), 10)


def is_alive(pid):
    """Whether there is such a process, which is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
