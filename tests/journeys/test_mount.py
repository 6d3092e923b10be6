"""`mount -t volfs`, lines of fstab, and `umount`: volfs as mount(8) knows other file systems."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import UnixConnection
from volfs.keeper.claims import is_served
from volfs.mount import syscalls
from volfs.mount.mountinfo import under

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
HELPERS = {"mount.volfs": "volfs.cli.mount", "umount.fuse.volfs": "volfs.cli.umount"}


def has_ended(pid):
    """Also where nobody reaps it: without an init its parent is not there for that."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Host:
    """A root, a view and what mount(8) needs to know volfs, in a directory of the test's own."""

    def __init__(self, place):
        self.place = place
        self.root, self.view, self.log, self.run = (place / name for name in ("root", "view", "log", "run"))
        self.view.mkdir()

    def do(self, *words):
        """Runs a command and returns its exit code and everything it said."""
        done = subprocess.run(
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            cwd="/",
        )
        return done.returncode, done.stdout

    def options(self, *more):
        return ",".join([f"run-dir={self.run}", f"log={self.log}", *more])

    def mount(self, *more, flags=(), root=None, view=None):
        return self.do("mount", "-t", "volfs", root or self.root, view or self.view, *flags, "-o", self.options(*more))

    def fstab(self, *more):
        table = self.place / "fstab"
        table.write_text(f"{self.root} {self.view} volfs {self.options('nofail,_netdev', *more)} 0 0\n")
        return table

    def create(self, name):
        connection = UnixConnection(self.run / "volfs.sock")
        connection.request("POST", "/volumes/create", f'{{"Name": "{name}"}}', {"Content-Type": "application/json"})
        assert connection.getresponse().status == 201
        connection.close()

    def keeper(self):
        """The pid in the lock of the root."""
        return int((self.root / "volfs.lock").read_text().partition('"pid": ')[2].partition(",")[0])

    def mounts(self):
        return [mount.mountpoint for mount in under(syscalls.read_mountinfo(), str(self.place))]

    def clean_up(self):
        if is_served(str(self.root)):
            os.kill(self.keeper(), signal.SIGTERM)
        for mountpoint in reversed(self.mounts()):
            syscalls.detach(mountpoint)
        for view in self.place.glob("view*"):
            self.do("umount", "-i", "--fake", view)  # what mount(8) has noted of it in its utab


@pytest.fixture(scope="module")
def helpers(tmp_path_factory):
    """mount(8) looks for its helpers in /sbin only: they are there while the module's tests run."""
    place = tmp_path_factory.mktemp("helpers")
    with ExitStack() as stack:
        for name, module in HELPERS.items():
            program = place / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m {module} "$@"\n')
            program.chmod(0o755)
            link = Path("/sbin", name)
            if link.is_symlink() and not link.exists():  # of tests that were killed
                link.unlink()
            if not link.exists():  # otherwise volfs is installed on this machine, and its own are tried
                link.symlink_to(program)
                stack.callback(link.unlink)
        yield


@pytest.fixture
def host(helpers, tmp_path, eventually):
    host = Host(tmp_path)
    yield host
    host.clean_up()
    eventually(lambda: not is_served(str(host.root)))
    assert host.mounts() == []
    assert not host.log.exists() or "Traceback" not in host.log.read_text()


def test_mount_returns_when_the_view_answers_and_umount_when_everything_has_ended(host, eventually):
    assert host.mount() == (0, "")
    host.create("db")
    (host.view / "db" / "_data" / "file").write_text("kept")
    keeper = host.keeper()
    assert len(host.mounts()) == 2
    assert host.do("umount", host.view) == (0, "")
    eventually(lambda: has_ended(keeper))
    assert host.mounts() == []
    assert os.listdir(host.run) == []
    assert "the view was unmounted" in host.log.read_text()
    assert host.mount() == (0, "")
    assert (host.view / "db" / "_data" / "file").read_text() == "kept"


def test_a_line_of_fstab_is_mounted_by_its_directory_and_once_only(host):
    table = host.fstab("idle=10m,group=daemon,mode=0755")
    assert host.do("mount", "-T", table, host.view) == (0, "")
    state = os.stat(host.view)
    assert (state.st_gid, state.st_mode & 0o777) == (1, 0o755)
    keeper = host.keeper()
    assert host.do("mount", "-a", "-T", table) == (0, "")
    assert host.keeper() == keeper
    assert host.mounts() == [str(host.view)]


def test_a_killed_daemon_comes_back_under_a_mount_too(host, eventually):
    assert host.mount()[0] == 0
    host.create("db")
    children = Path(f"/proc/{host.keeper()}/task/{host.keeper()}/children")
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    assert os.listdir(host.view) == ["db"]
    eventually(lambda: host.log.read_text().count(" ready ") == 2)


def test_what_a_mount_says_later_is_in_its_log(host, eventually):
    code, said = host.mount(flags=["-v"])
    assert code == 0
    assert f"{host.root} is served at {host.view} by pid {host.keeper()}, which logs to {host.log}" in said
    assert " ready " in host.log.read_text()
    assert os.stat(host.log).st_mode & 0o777 == 0o600, "the names of volumes tell about a host"
    os.kill(host.keeper(), signal.SIGHUP)
    eventually(lambda: "daemon replaced" in host.log.read_text())


def test_a_view_where_somebody_is_inside_is_busy_and_can_be_unmounted_lazily(host, client, eventually):
    assert host.mount()[0] == 0
    host.create("db")
    (host.view / "db" / "_data" / "file").write_text("kept")
    inside = client(
        "import os, sys\nos.chdir(sys.argv[1]); print('inside', flush=True); sys.stdin.readline()\n"
        "print(open('db/meta').read(10), flush=True)\n",
        host.view,
    )
    assert inside.line() == "inside"
    code, said = host.do("umount", host.view)
    assert (code, said.count("\n")) == (32, 1)
    assert f"{host.view} is busy" in said
    assert (host.view / "db" / "meta").exists()
    keeper = host.keeper()
    assert host.do("umount", "-l", host.view) == (0, "")
    assert host.mounts() == []
    assert inside.say("go on") == "{", "who is inside may finish"
    inside.finish()
    eventually(lambda: not is_served(str(host.root)))
    eventually(lambda: has_ended(keeper))


def test_an_unmount_past_the_helper_ends_the_keeper_as_well(host, eventually):
    assert host.mount()[0] == 0
    assert host.do("umount", "-i", host.view) == (0, "")
    eventually(lambda: not is_served(str(host.root)))
    assert host.mounts() == []
    assert os.listdir(host.run) == []


def test_a_view_that_volfs_serve_has_is_mounted_again_and_umount_says_so(helpers, served):
    done = subprocess.run(["/sbin/umount.fuse.volfs", served.view], capture_output=True, text=True, timeout=60)
    assert done.returncode == 32
    assert "was mounted again by the volfs that serves it" in done.stderr
    assert served.mounts() == [str(served.view)]


def test_two_views_on_one_host_need_sockets_of_their_own_and_are_told(host, tmp_path):
    assert host.mount()[0] == 0
    (tmp_path / "view2").mkdir()
    code, said = host.mount(root=tmp_path / "root2", view=tmp_path / "view2")
    assert (code, said.count("\n")) == (32, 1), said
    assert f"somebody answers on the socket {host.run}/volfs.sock already" in said
    assert "run-dir=" in said
    again = host.do(
        "mount", "-t", "volfs", tmp_path / "root2", tmp_path / "view2", "-o", f"run-dir={tmp_path}/run2,log={host.log}"
    )
    assert again == (0, "")
    assert host.do("umount", tmp_path / "view2") == (0, "")
    assert host.mounts() == [str(host.view)]


def test_fake_does_nothing(host):
    assert host.mount(flags=["-f"]) == (0, "")
    assert host.do("/sbin/mount.volfs", host.root, host.view, "-f") == (0, "")
    assert not host.root.exists()
    assert host.mounts() == []


def test_what_cannot_be_mounted_is_one_line_and_leaves_nothing(host):
    (host.place / "file").touch()
    (host.place / "full").mkdir()
    (host.place / "full" / "precious").touch()
    for code, said, result in (
        (1, 'no option "idel=5m"', host.mount("idel=5m")),
        (1, '"soon" is not a length of time', host.mount("idle=soon")),
        (1, 'no group "no-such-group"', host.mount("group=no-such-group")),
        (1, '"none" is not the absolute path', host.do("mount", "-t", "volfs", "none", host.view)),
        (1, "usage: mount.volfs", host.do("/sbin/mount.volfs")),
        (1, "usage: mount.volfs", host.do("/sbin/mount.volfs", host.root)),
        (32, "is not a directory: give another ROOT", host.mount(root=host.place / "file")),
        (32, "is not a directory", host.do("/sbin/mount.volfs", host.root, host.place / "absent")),
        (32, "is not a directory", host.do("/sbin/mount.volfs", host.root, host.place / "file")),
        (32, "is not empty", host.mount(view=host.place / "full")),
        (32, "cannot be written", host.do("/sbin/mount.volfs", host.root, host.view, "-o", "log=/proc/volfs.log")),
        (1, "usage: umount.fuse.volfs", host.do("/sbin/umount.fuse.volfs")),
        (32, "is not a view of volfs", host.do("/sbin/umount.fuse.volfs", host.view)),
    ):
        assert (result[0], result[1].count("\n")) == (code, 1), result
        assert said in result[1]
    assert host.mounts() == []


def test_a_root_and_a_view_that_are_taken_are_named_with_who_has_them(host, tmp_path):
    assert host.mount()[0] == 0
    (tmp_path / "view2").mkdir()
    for root, view in ((host.root, tmp_path / "view2"), (tmp_path / "root2", host.view)):
        code, said = host.do("/sbin/mount.volfs", root, view, "-o", host.options())
        assert (code, said.count("\n")) == (32, 1), said
        assert f"served already, by volfs with pid {host.keeper()}" in said
    assert host.mounts() == [str(host.view)]
