"""A daemon that stands by takes over when the one that serves ends; nothing of it is seen otherwise."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def switches(pid: int) -> int:
    """How often the threads of a process have gone to sleep since they began."""
    return sum(
        int(line.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


@pytest.fixture
def standby(served, eventually):
    """The pid of the one that stands by; it has loaded all that it needs and sleeps."""
    eventually(lambda: len(children(served.keeper.pid)) == 2)
    pid = children(served.keeper.pid)[1]

    def waits() -> bool:  # wchan, see proc(5): where in the kernel its first thread sleeps
        return "skb" in Path(f"/proc/{pid}/wchan").read_text()

    eventually(waits)
    return pid


def test_it_takes_over_when_the_daemon_is_killed_and_another_stands_by_then(served, standby, eventually):
    served.create("db")
    served.kill_daemon()
    served.ready(2)
    assert served.daemon == standby
    assert '"Name": "db"' in (served.view / "db" / "meta").read_text()
    eventually(lambda: len(children(served.keeper.pid)) == 2)


def test_when_it_is_killed_itself_nobody_notices_and_the_daemon_is_still_replaced(served, standby, eventually):
    daemon = served.daemon
    os.kill(standby, signal.SIGKILL)
    eventually(lambda: "stood by has ended" in served.log())
    assert served.daemon == daemon
    served.kill_daemon()
    served.ready(2)
    assert os.listdir(served.view) == []


def test_it_ends_with_its_keeper_however_that_ends(served, standby, eventually):
    daemon = served.daemon
    served.keeper.kill()
    served.keeper.wait()
    eventually(lambda: not Path(f"/proc/{standby}").exists() and not Path(f"/proc/{daemon}").exists())
    served.start()
    eventually(lambda: len(children(served.keeper.pid)) == 2)
    left = children(served.keeper.pid)
    assert served.stop() == 0
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]


def test_at_rest_the_keeper_and_the_one_that_stands_by_sleep(served, standby):
    resting = served.keeper.pid, standby
    before = [switches(pid) for pid in resting]
    time.sleep(3)
    assert [switches(pid) for pid in resting] == before


def test_an_upgrade_that_cannot_be_loaded_leaves_the_daemon_that_serves_and_one_that_can_replaces_it(
    serve, tmp_path, eventually
):
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "volfs", project / "volfs")
    served = serve(project=project)
    served.create("db")
    daemon = served.daemon
    program = project / "volfs" / "daemon" / "__main__.py"
    good = program.read_text()
    program.write_text("raise SystemExit('half of a file')\n")
    served.keeper.send_signal(signal.SIGHUP)
    eventually(lambda: "is not replaced" in served.log())
    assert served.daemon == daemon
    assert (served.view / "db" / "meta").exists()
    program.write_text(good)
    served.keeper.send_signal(signal.SIGHUP)
    served.ready(2)
    assert served.daemon != daemon
    assert (served.view / "db" / "meta").exists()
