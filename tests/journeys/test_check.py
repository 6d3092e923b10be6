"""`volfs check` beside a daemon, and after one that died: what it says, and what it leaves alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.conftest import until
from volfs.mount import syscalls
from volfs.mount.mountinfo import at

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}


def run(served, *words):
    command = [sys.executable, "-m", "volfs", "check", "--root", served.root, "--plugin-path", "/nonexistent", *words]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def codes(served):
    done = run(served, "--format", "json")
    assert done.returncode in (0, 1), done.stderr
    return [(one["Code"], one["Volume"]) for one in json.loads(done.stdout)]


def crash(served):
    """The keeper and the daemon die at one moment: the view stays mounted, dead."""
    daemon = served.daemon
    os.kill(served.keeper.pid, signal.SIGSTOP)
    os.kill(daemon, signal.SIGKILL)
    served.keeper.kill()
    served.keeper.wait()


def test_a_served_root_is_clean_while_volumes_come_and_go(served):
    served.create("db", Labels={"a": "1"})
    served.create("scratch", DriverOpts=TMPFS)
    assert os.listdir(served.view / "scratch" / "_data") == []
    stop = threading.Event()

    def churn():
        number = 0
        while not stop.is_set():
            number += 1
            served.create(f"v{number}", Labels={"n": str(number)}, DriverOpts=TMPFS if number % 2 else None)
            if number > 5:
                served.request("DELETE", f"/volumes/v{number - 5}")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(5):
            assert codes(served) == [], run(served).stdout
    finally:
        stop.set()
        thread.join()
    assert "Traceback" not in served.log()


def test_beside_a_daemon_problems_are_told_and_nothing_is_repaired(served):
    served.create("db")
    (served.root / "volumes" / "db").chmod(0o755)
    done = run(served, "--repair")
    assert done.returncode == 125
    assert "mode-wrong" in done.stdout
    assert done.stderr.count("\n") == 1
    assert f"is in use by volfs with pid {served.keeper.pid}" in done.stderr
    assert (served.root / "volumes" / "db").stat().st_mode & 0o777 == 0o755


def test_a_directory_that_went_and_came_back_under_a_daemon(served):
    served.create("db")
    aside = (served.root / "volumes" / "db").rename(served.root / "aside")
    assert codes(served) == [("entry-without-directory", "db")]
    aside.rename(served.root / "volumes" / "db")
    assert codes(served) == []


def test_a_dead_view_and_what_a_crash_left_are_told_and_cleared_away(served):
    served.create("db")
    served.create("scratch", DriverOpts=TMPFS)
    for name in ("db", "scratch"):
        os.listdir(served.view / name / "_data")
    crash(served)
    found = codes(served)
    assert ("view-dead", "") in found
    assert ("mount-leaked", "scratch") in found
    assert {code for code, _ in found} == {"view-dead", "mount-leaked"}
    done = run(served, "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"detached the dead view {served.view}" in done.stdout
    assert at(syscalls.read_mountinfo(), str(served.view)) is None
    assert served.mounts() == []
    assert run(served, "--repair").stdout == f"nothing is wrong with {served.root}\n"
    served.start()
    assert sorted(os.listdir(served.view)) == ["db", "scratch"]


def test_a_repair_keeps_a_daemon_out_and_the_other_way_round(served):
    served.create("db")
    assert served.stop() == 0
    shutil.rmtree(served.root / "volumes" / "db")
    assert codes(served) == [("entry-without-directory", "db")]
    served.start()
    until(lambda: served.request("GET", "/volumes/db")[1]["Status"]["State"] == "missing")
    assert codes(served) == [("entry-without-directory", "db")]


def test_twenty_thousand_volumes_are_checked_in_seconds(served, capsys):
    assert served.stop() == 0
    for number in range(20_000):
        directory = served.root / "volumes" / f"vol-{number:05d}"
        (directory / "_data").mkdir(parents=True)
        directory.chmod(0o701)
    served.start()
    began = time.monotonic()
    assert codes(served) == []
    with capsys.disabled():
        print(f"\n20,000 volumes checked in {time.monotonic() - began:.1f} s")


def test_a_volume_that_is_mended_is_seen_to_be_so_by_who_only_looks_at_the_view(served):
    served.create("db")
    (served.view / "db" / "_data" / "file").write_text("kept")

    def seen():
        return json.loads((served.view / "db" / "meta").read_text())["Status"]["State"]

    aside = (served.root / "volumes" / "db").rename(served.root / "aside")
    assert served.stop() == 0
    served.start()
    assert seen() == "missing"
    aside.rename(served.root / "volumes" / "db")
    until(lambda: seen() == "ok")
    assert (served.view / "db" / "_data" / "file").read_text() == "kept"


def test_what_the_view_has_mounted_without_a_bind_is_in_use(serve):
    served = serve("--data-plane", "fuse")
    served.create("scratch", DriverOpts=TMPFS)
    (served.view / "scratch" / "_data" / "file").write_text("x")
    assert served.mounts() == [str(served.view), f"{served.root}/volumes/scratch/_data"]
    assert codes(served) == []
