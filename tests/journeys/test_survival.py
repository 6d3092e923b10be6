"""What the view's users notice when its processes end, and what is left when it is stopped."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import volfs
from tests.conftest import PROJECT
from volfs.mount.mountinfo import under
from volfs.mount.syscalls import read_mountinfo

KILLS = 60
PACKAGE = {"PYTHONPATH": str(Path(volfs.__file__).parent.parent)}
USERS = Path(__file__).with_name("view_users.py")


def _alive(pid):
    return Path(f"/proc/{pid}").exists()


def _nothing_left(served, daemon):
    """No mount, no socket, no process, and nothing that the next start would stumble over."""
    assert served.mounts() == []
    assert not served.socket.exists()
    assert not _alive(daemon)
    assert os.listdir(served.view) == []


@pytest.fixture
def said(tmp_path):
    """Runs `volfs serve` that is expected to end by itself: its exit code and what it says."""

    def run(root, view, *arguments):
        command = [sys.executable, "-m", "volfs", "serve", "--plugin-socket", "none", "--root", str(root)]
        command += ["--view", str(view), "--run-dir", str(tmp_path / "other-run"), *arguments]
        environment = {**os.environ, **PACKAGE}
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        return result.returncode, result.stderr

    return run


# Kills


def test_sixty_kills_of_the_daemon_fail_no_operation_of_four_users(served, eventually):
    for number in range(40):
        served.create(f"volume-{number:02}")
    choose = random.Random(2)
    users = subprocess.Popen(
        [sys.executable, str(USERS), str(served.view), str(served.root), str(served.socket)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert users.stdout.readline() == "at work\n"
        for number in range(KILLS):
            if number % 10 == 9:  # an upgrade in between
                ready = served.log().count(" ready ")
                served.keeper.send_signal(signal.SIGHUP)
                eventually(lambda ready=ready: served.log().count(" ready ") > ready)
            served.kill_daemon()
            # Half of the kills hit a daemon on its way up, half one that serves.
            ready = served.log().count(" ready ") + 1
            if choose.random() < 0.5:
                eventually(lambda ready=ready: served.log().count(" ready ") >= ready)
        served.request("GET", "/_ping")
        said, _ = users.communicate(timeout=120)
    finally:
        users.kill()
        users.wait()
    report = json.loads(said)
    print(f"{report['done']}, longest wait {report['longest']:.2f} s")
    assert report["failures"] == []
    assert min(report["done"].values()) > 20
    assert set(report["done"]) == {"ls", "stat", "cat", "write", "ask"}


def test_a_change_that_was_answered_is_there_after_a_kill(served):
    for number in range(5):
        served.create(f"kept-{number}")
        served.kill_daemon()
        assert f"kept-{number}" in os.listdir(served.view)
        assert served.request("DELETE", f"/volumes/kept-{number}")[0] == 204
        served.kill_daemon()
        assert os.listdir(served.view) == []
        assert not (served.view / f"kept-{number}").exists()


def test_sighup_replaces_the_daemon_and_an_open_file_reads_on(served, eventually):
    served.create("db")
    with open(served.view / "db" / "meta", "rb", buffering=0) as meta:
        first, before = meta.read(10), served.daemon
        served.keeper.send_signal(signal.SIGHUP)
        eventually(lambda: "daemon replaced" in served.log())
        served.ready(2)
        assert served.daemon != before
        assert not _alive(before)
        assert json.loads(first + meta.read())["Name"] == "db"


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_stopping_leaves_nothing_and_who_is_inside_keeps_what_they_have(serve, client, number):
    served = serve()
    for name in ("db", "idle"):
        served.create(name)
    served.create("memory", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    for name in ("db", "memory"):
        os.stat(served.view / name / "_data")
    inside = client(
        "import os, sys\nview = sys.argv[1]\n"
        "os.chdir(view + '/db/_data'); file = open('file', 'w'); meta = open(view + '/db/meta')\n"
        "here = os.open(view, os.O_RDONLY); print('inside', flush=True); sys.stdin.readline()\n"
        "file.write('kept'); file.close(); open('later', 'w').close(); print(sorted(os.listdir('.')), flush=True)\n"
        "try: os.listdir(here); print('still there', flush=True)\n"
        "except OSError as error: print(error.errno, flush=True)\n",
        served.view,
    )
    assert inside.line() == "inside"
    daemon = served.daemon
    if number == signal.SIGINT:
        served.keeper.send_signal(number)
        code = served.keeper.wait(30)
    else:
        code = served.stop()
    assert code == 0
    _nothing_left(served, daemon)
    assert inside.say("go on") == "['file', 'later']"
    assert inside.line() != "still there"
    inside.finish()
    assert Path(served.root, "volumes", "db", "_data", "file").read_text() == "kept"
    served.start()
    assert sorted(os.listdir(served.view)) == ["db", "idle", "memory"]
    assert (served.view / "db" / "_data" / "file").read_text() == "kept"


def test_ctrl_c_for_the_whole_process_group_stops_in_order(tmp_path, eventually):
    """A terminal sends SIGINT to every process in the foreground."""
    run, view, log = tmp_path / "run", tmp_path / "view", tmp_path / "log"
    command = [sys.executable, "-m", "volfs", "serve", "--root", tmp_path / "root", "--view", view, "--run-dir", run]
    with log.open("w") as output:
        keeper = subprocess.Popen(
            [*map(str, command), "--plugin-socket", "none"],
            stdout=output,
            stderr=output,
            process_group=0,
            env={**os.environ, **PACKAGE},
        )
    try:
        eventually(lambda: " ready " in log.read_text())
        os.killpg(keeper.pid, signal.SIGINT)
        assert keeper.wait(30) == 0
    finally:
        if keeper.poll() is None:
            keeper.terminate()
            keeper.wait()
    assert "Traceback" not in log.read_text()
    assert under(read_mountinfo(), str(view)) == []
    assert os.listdir(run) == []


def test_stopping_while_a_daemon_is_on_its_way_up_leaves_nothing(served):
    served.create("db")
    (served.view / "db" / "_data" / "file").write_text("kept")
    for _ in range(4):
        served.kill_daemon()
    daemon = served.daemon
    assert served.stop() == 0
    _nothing_left(served, daemon)
    served.start()
    assert (served.view / "db" / "_data" / "file").read_text() == "kept"


@pytest.mark.parametrize("word", [signal.SIGKILL, signal.SIGHUP])
def test_stopping_just_when_a_daemon_ends_leaves_no_mount_of_a_volume(served, word):
    served.create("db", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    (served.view / "db" / "_data" / "file").write_text("x")
    assert len(served.mounts()) == 3
    os.kill(served.keeper.pid, signal.SIGSTOP)
    if word == signal.SIGKILL:
        os.kill(served.daemon, word)
    else:
        os.kill(served.keeper.pid, word)
    served.keeper.terminate()
    os.kill(served.keeper.pid, signal.SIGCONT)
    assert served.keeper.wait(30) == 0
    assert served.mounts() == []


def test_a_killed_keeper_takes_its_daemon_along_and_the_next_start_works(served, eventually):
    served.create("db")
    data = served.view / "db" / "_data"
    (data / "file").write_text("kept")
    daemon = served.daemon
    served.keeper.kill()
    served.keeper.wait()
    eventually(lambda: not _alive(daemon))
    assert served.mounts() == []
    served.start()
    assert (data / "file").read_text() == "kept"


def test_killed_together_they_leave_a_dead_view_that_the_next_start_takes_away(served, eventually):
    served.create("db")
    data = served.view / "db" / "_data"
    (data / "file").write_text("kept")
    daemon = served.daemon
    served.keeper.send_signal(signal.SIGSTOP)  # it cannot start the next one
    os.kill(daemon, signal.SIGKILL)
    served.keeper.kill()
    served.keeper.wait()
    eventually(lambda: not _alive(daemon))
    assert str(data) in served.mounts()
    served.start()
    assert "detached a dead view" in served.log()
    assert (data / "file").read_text() == "kept"


def test_it_starts_again_after_a_stop_and_shows_the_same_numbers(served):
    served.create("db", Labels={"a": "b"})
    before = os.stat(served.view / "db").st_ino, (served.view / "db" / "meta").read_text()
    for _ in range(2):
        assert served.stop() == 0
        served.start()
    assert (os.stat(served.view / "db").st_ino, (served.view / "db" / "meta").read_text()) == before


# Refusing


def test_a_catalogue_of_a_newer_volfs_is_refused_with_one_line(served, said):
    assert served.stop() == 0
    edit = (
        "import lmdb, sys\n"
        "with lmdb.open(sys.argv[1], subdir=False, max_dbs=5) as env, env.begin(write=True) as write:\n"
        "    assert write.put(b'format', b'999', db=env.open_db(b'system', txn=write))\n"
    )
    subprocess.run([sys.executable, "-c", edit, served.root / "volumes" / "metadata.mdb"], check=True)
    code, message = said(served.root, served.view)
    assert code == 125
    assert message.count("\n") == 1
    assert message.startswith("volfs: ")
    assert "999" in message
    assert served.mounts() == []


def test_a_second_volfs_on_the_same_root_or_view_is_refused_and_told_who_is_first(served, said, tmp_path):
    served.create("db")
    for root, view in ((served.root, tmp_path / "view2"), (tmp_path / "root2", served.view)):
        code, message = said(root, view)
        assert code == 125
        assert message.count("\n") == 1, message
        assert f"pid {served.keeper.pid} " in message
    assert (served.view / "db" / "meta").exists()
    assert served.mounts() == [str(served.view)]


def test_a_view_inside_of_the_root_or_not_empty_is_refused(said, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    (tmp_path / "file").touch()
    for root, view, word in (
        (tmp_path / "root", tmp_path / "root" / "view", "inside"),
        (tmp_path / "view" / "root", tmp_path / "view", "inside"),
        (tmp_path / "root", tmp_path / "full", "empty"),
        (tmp_path / "root", tmp_path / "file", "not a directory"),
        (tmp_path / "file", tmp_path / "view", "not a directory"),
    ):
        code, message = said(root, view)
        assert (code, message.count("\n")) == (125, 1), message
        assert word in message
    assert under(read_mountinfo(), str(tmp_path)) == []


def test_an_upgrade_that_writes_longer_texts_is_read_whole_by_who_had_read_the_old_ones(serve, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "volfs", project / "volfs")
    served = serve(project=project)
    for name in ("db", "then", "last"):
        served.create(name)  # what a daemon owes for a change, the next one sends: nothing is owed for the first one
    before = (served.view / "db" / "meta").read_text()
    os.stat(served.view / "db" / "meta")  # a read lets the kernel ask again for the size; this makes it sure of it
    tree = project / "volfs" / "view" / "tree.py"
    tree.write_text(tree.read_text().replace("indent=2", "indent=8"))
    served.keeper.send_signal(signal.SIGHUP)
    served.ready(2)
    after = (served.view / "db" / "meta").read_text()
    assert len(after) > len(before)
    assert json.loads(after) == json.loads(before)
