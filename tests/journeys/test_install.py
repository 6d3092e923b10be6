"""scripts/install and scripts/uninstall: below a directory, and for real on a host that only the test sees.

That host is a mount namespace in which /etc, /usr and /run are the test's own to change; its systemctl notes what it is
asked. Nothing outside of it is touched.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
SYSTEMCTL = """#!/bin/sh
echo "$*" >> {place}/asked
case "$*" in "-q is-active volfs.service") [ -e {place}/active ] ;; *is-active*) false ;; esac
"""
PREPARE = """
mount --make-rprivate /
for place in etc usr; do
    mkdir -p "$1/$place" "$1/$place.work"
    mount -t overlay -o "lowerdir=/$place,upperdir=$1/$place,workdir=$1/$place.work" overlay "/$place"
done
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
echo ready
exec sleep infinity
"""


def run(*words, **environment):
    """Exit code and everything it said."""
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        cwd="/",
    )
    return done.returncode, done.stdout


def install(*words, **environment):
    return run(PROJECT / "scripts" / "install", *words, **environment)


def uninstall(*words, **environment):
    return run(PROJECT / "scripts" / "uninstall", *words, **environment)


def files(place):
    return sorted(
        str(path.relative_to(place))
        for path in place.rglob("*")
        if "venv-" not in str(path) and (path.is_symlink() or not path.is_dir())
    )


# Below a directory


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """What install makes below an empty directory."""
    stage = tmp_path_factory.mktemp("install") / "stage"
    code, said = install("--sockets", DESTDIR=str(stage))
    assert code == 0, said
    assert said.splitlines()[-1] == f"scripts/install: volfs 0.1.0 is installed as {stage}/usr/local/bin/volfs"
    return stage


@pytest.fixture
def stage(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / "stage", symlinks=True))


def test_below_a_directory_everything_has_its_place_and_the_program_runs(stage):
    assert files(stage) == [
        "etc/default/volfs",
        "etc/systemd/system/volfs-plugin.socket",
        "etc/systemd/system/volfs.service",
        "etc/systemd/system/volfs.socket",
        "sbin/mount.volfs",
        "sbin/umount.fuse.volfs",
        "usr/local/bin/volfs",
        "usr/local/lib/volfs/current",
        "usr/local/lib/volfs/installed",
        "usr/local/lib/volfs/mount.volfs",
        "usr/local/lib/volfs/umount.fuse.volfs",
        "usr/local/lib/volfs/volfs",
    ]
    assert os.readlink(stage / "sbin" / "mount.volfs") == "/usr/local/lib/volfs/mount.volfs"
    library = stage / "usr/local/lib/volfs"
    assert run(library / "volfs", "--version") == (0, "volfs 0.1.0\n")
    assert "usage: mount.volfs" in run(library / "mount.volfs")[1]
    assert "usage: umount.fuse.volfs" in run(library / "umount.fuse.volfs")[1]
    assert PROJECT not in [Path(path) for path in run_python(library, "import sys; print(*sys.path, sep='\\n')")]
    missing = "import importlib, pkgutil, volfs\nfor one in pkgutil.walk_packages(volfs.__path__, 'volfs.'):\n"
    assert (
        run_python(library, missing + "    if not one.name.endswith('__main__'): importlib.import_module(one.name)")
        == []
    )


def run_python(library, text):
    code, said = run(library / "current" / "bin" / "python", "-I", "-c", text)
    assert code == 0, said
    return said.splitlines()


def test_the_units_say_what_systemd_needs_to_know(stage):
    unit = (stage / "etc/systemd/system/volfs.service").read_text().splitlines()
    for line in (
        "Type=notify",
        "Before=docker.service podman.service",
        "ExecStart=/usr/local/lib/volfs/volfs serve",
        "Restart=on-failure",
        "KillMode=mixed",
        "WantedBy=multi-user.target",
    ):
        assert line in unit
    assert not [line for line in unit if re.match("(Requires=|BindsTo|Private|Protect)", line)]


def test_a_second_install_changes_nothing_and_uninstall_leaves_nothing(stage):
    before = [(path, (stage / path).lstat().st_size) for path in files(stage)]
    venv = os.readlink(stage / "usr/local/lib/volfs/current")
    assert install(DESTDIR=str(stage))[0] == 0
    assert [(path, (stage / path).lstat().st_size) for path in files(stage)] == before
    assert os.readlink(stage / "usr/local/lib/volfs/current") == venv
    code, said = uninstall(DESTDIR=str(stage))
    assert (code, said) == (0, f"scripts/uninstall: volfs is uninstalled; the data stays in {stage}/var/lib/volfs\n")
    assert os.listdir(stage) == []


def test_what_somebody_changed_or_added_is_kept_and_the_data_too(stage):
    data = stage / "srv" / "volfs" / "volumes" / "db" / "_data"
    data.mkdir(parents=True)
    (data / "file").write_text("kept")
    (stage / "etc/default/volfs").write_text("VOLFS_ROOT=/srv/volfs\n")
    drop_in = stage / "etc/systemd/system/volfs.service.d" / "mine.conf"
    drop_in.parent.mkdir()
    drop_in.touch()
    (stage / "usr/local/bin/mine").touch()
    assert install(DESTDIR=str(stage))[0] == 0
    code, said = uninstall(DESTDIR=str(stage))
    assert code == 0
    assert said.splitlines() == [
        f"scripts/uninstall: kept, because it was changed: {stage}/etc/default/volfs",
        f"scripts/uninstall: volfs is uninstalled; the data stays in {stage}/srv/volfs",
    ]
    assert files(stage) == [
        "etc/default/volfs",
        "etc/systemd/system/volfs.service.d/mine.conf",
        "srv/volfs/volumes/db/_data/file",
        "usr/local/bin/mine",
    ]


@pytest.mark.parametrize("path", ["sbin/mount.volfs", "etc/systemd/system/volfs.service", "usr/local/bin/volfs"])
def test_a_file_of_somebody_else_is_in_the_way_and_nothing_is_touched(tmp_path, path):
    theirs = tmp_path / path
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    code, said = install(DESTDIR=str(tmp_path))
    assert code == 1
    assert said == f"scripts/install: {theirs} is there, and not as install left it: move it away first\n"
    assert files(tmp_path) == [path]


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("install", ["--magic"], 'what is "--magic"? It takes --prefix DIR, --sockets and --no-start'),
        ("install", ["--prefix", "here"], "--prefix takes an absolute path"),
        ("install", ["--prefix"], "--prefix takes an absolute path"),
        ("uninstall", ["--magic"], 'what is "--magic"? It takes --prefix DIR'),
        ("uninstall", ["--prefix=/nowhere/at/all"], "volfs is not installed in /nowhere/at/all"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_one_line(script, words, said):
    assert run(PROJECT / "scripts" / script, *words) == (1, f"scripts/{script}: {said}\n")


@pytest.mark.parametrize("script", ["install", "uninstall"])
def test_an_ordinary_user_is_told_to_use_sudo(script):
    somebody = ["unshare", "--user", PROJECT / "scripts" / script]
    assert run(*somebody) == (1, f"scripts/{script}: only root can do this: sudo scripts/{script}\n")


# On a host


class Host:
    """A mount namespace with an /etc, a /usr and a /run that can be changed, kept by a process that sleeps."""

    def __init__(self, place):
        self.place = place
        layers = place / "layers"
        layers.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", layers], check=True)  # an overlay's upper cannot be an overlay
        (place / "systemctl").write_text(SYSTEMCTL.format(place=place))
        (place / "systemctl").chmod(0o755)
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", PREPARE, "sh", layers], stdout=subprocess.PIPE, text=True
        )
        assert self.holder.stdout.readline() == "ready\n"

    def run(self, *words):
        """A command of the repository's scripts, or any other, on this host."""
        path = f"{self.place}:{os.environ['PATH']}:/usr/sbin:/sbin"
        return run("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", *words, PATH=path)

    def script(self, name, *words):
        code, said = self.run(PROJECT / "scripts" / name, *words)
        assert code == 0, said
        return [line.partition(": ")[2] for line in said.splitlines()]

    def asked(self):
        """What systemctl was asked since this was called the last time."""
        asked = self.place / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        asked.write_text("")
        return [line for line in lines if "is-active" not in line]

    def end(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
        syscalls.detach(str(self.place / "layers"))


@pytest.fixture
def host(pristine, tmp_path):
    host = Host(tmp_path)
    yield host
    host.run("umount", "-l", tmp_path / "view")
    host.end()


def test_on_a_host_with_systemd_the_service_is_installed_started_upgraded_and_taken_away(host, tmp_path, eventually):
    root, view, log = (tmp_path / name for name in ("root", "view", "log"))
    view.mkdir()
    host.script("install")
    assert host.asked() == ["daemon-reload", "-q enable volfs.service", "start volfs.service"]
    for unit in ("volfs.service", "volfs.socket", "volfs-plugin.socket"):
        if unit != "volfs.service":
            host.script("install", "--sockets", "--no-start")
        assert host.run("systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{unit}") == (0, ""), unit
    assert host.asked() == ["daemon-reload"] * 2
    (host.place / "active").touch()
    assert any("systemd takes the sockets over" in line for line in host.script("install"))
    assert host.asked() == ["daemon-reload", "-q enable volfs.service volfs.socket volfs-plugin.socket"]

    # A line of fstab, served by the program that was installed
    table = tmp_path / "fstab"
    table.write_text(f"{root} {view} volfs run-dir={tmp_path}/run,log={log},nofail,_netdev 0 0\n")
    assert host.run("mount", "-T", table, view) == (0, "")
    assert host.run("volfs", "--host", tmp_path / "run" / "volfs.sock", "create", "db") == (0, "db\n")
    assert host.run("cat", view / "db" / "opts.json")[0] == 0

    # An upgrade: another version is in use, and whoever serves goes on with the new one
    library = "/usr/local/lib/volfs"
    rename = f"cd {library} && new=$(readlink current) && mv $new venv-old && ln -sfn venv-old current && echo $new"
    new = host.run("sh", "-c", rename)[1].strip()
    host.script("install")
    assert host.run("sh", "-c", f"cd {library} && echo venv-*; readlink current")[1].split() == [new, new]
    eventually(lambda: "daemon replaced" in log.read_text() and log.read_text().count(" ready ") == 2)
    assert host.run("ls", view) == (0, "db\n")

    # Not while it serves, and then all of it
    code, said = host.run(PROJECT / "scripts" / "uninstall")
    assert code == 1
    assert re.fullmatch(r"scripts/uninstall: volfs still serves \(pid \d+\): unmount its view or stop it.*\n", said)
    assert host.run("umount", view) == (0, "")
    host.asked()
    assert host.script("uninstall") == ["volfs is uninstalled; the data stays in /var/lib/volfs"]
    assert host.asked() == [
        *(f"-q disable --now {unit}" for unit in ("volfs-plugin.socket", "volfs.socket", "volfs.service")),
        "daemon-reload",
    ]
    places = ["/usr/local", "/usr/sbin", "/etc/systemd", "/etc/default"]
    assert host.run("find", *places, "-name", "*volfs*") == (0, "")
    assert (root / "volumes" / "db" / "_data").is_dir()
    assert "Traceback" not in log.read_text()


def test_where_systemd_does_not_run_the_units_are_put_in_place_and_install_says_so(host):
    host.run("umount", "/run")
    host.run("mount", "-t", "tmpfs", "tmpfs", "/run")
    said = host.script("install")
    assert "systemd does not run here: its units are in place, and `volfs serve` starts it by hand" in said
    assert host.asked() == []
    assert host.run("test", "-e", "/etc/systemd/system/volfs.service")[0] == 0
    assert host.run("volfs", "--version")[0] == 0
