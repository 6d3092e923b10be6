"""`volfs serve --observe` beside a real dockerd: what Docker does is seen, and Docker's files are never touched."""

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT, UnixConnection, until
from tests.journeys.docker_daemon import IMAGE, Docker
from tests.journeys.observing import Observing, content, everything_in, never_read, traces
from tests.journeys.test_docker_root import Engine
from tests.observe.docker_root import DockerFiles
from volfs.dockerroot.source import read_metadata
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
ASLEEP = (IMAGE, "/bin/sleep", "600")
TMPFS = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m")


@pytest.fixture
def observe(tmp_path):
    """Starts observers; after the test none is left, no mount is left, and none has logged a traceback."""
    started = []

    def start(root, *arguments, **options):
        place = tmp_path / f"observing{len(started)}"
        place.mkdir()
        observing = Observing.__new__(Observing)
        started.append(observing)
        observing.__init__(place, root, *arguments, **options)
        return observing

    yield start
    for one in started:
        one.clean_up()
        assert one.mounts() == []
        assert "Traceback" not in one.log(), one.log()


@pytest.fixture
def clean(docker):
    """The dockerd with no container and no volume."""
    for names, take in ((docker("ps", "-aq"), ("rm", "-f")), (local_volumes(docker), ("volume", "rm"))):
        words = names.split() if isinstance(names, str) else names
        if words:
            docker(*take, *words)
    return docker


@pytest.fixture
def observing(observe, clean):
    return observe(clean.place / "data")


def local_volumes(docker):
    return docker("volume", "ls", "-q", "--filter", "driver=local").split()


@contextlib.contextmanager
def engine_of(docker):
    """dockerd's API."""
    engine = Engine(docker)
    with contextlib.closing(engine.connection):
        yield engine


def volfs(observing, *words):
    command = [sys.executable, "-m", "volfs", *words, "--host", str(observing.socket)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT)
    return done.returncode, done.stdout + done.stderr


# What Docker does is seen


def test_volumes_are_seen_with_what_docker_knows_of_them(observing, clean):
    clean("volume", "create", "--label", "team=web", "--label", "空=", "db")
    clean("volume", "create", *TMPFS, "scratch")
    observing.shows("db", "scratch")
    fields = ("Name", "Driver", "Labels", "Options", "Mountpoint", "Scope")
    with engine_of(clean) as engine:
        said = {
            one["Name"]: one
            for one in engine.request("GET", "/volumes?filters=%7B%22driver%22:[%22local%22]%7D")["Volumes"]
        }
    for name in ("db", "scratch"):
        assert [observing.meta(name)[field] for field in fields] == [said[name][field] for field in fields]
    assert (observing.view / "scratch" / "opts.json").read_text().startswith('{"MountType":"tmpfs","MountOpts":"size')
    _, listed = observing.request("GET", "/volumes?filters=" + '{"label":["team=web"]}'.replace('"', "%22"))
    assert [one["Name"] for one in listed["Volumes"]] == ["db"]
    clean("volume", "rm", "db")
    observing.shows("scratch")


def test_who_uses_a_volume_is_seen_by_name_and_state(observing, clean):
    clean("volume", "create", "db")
    clean.run("-d", "--name", "web", "-v", "db:/data", *ASLEEP)
    clean("create", "--name", "spare", "--network", "none", "-v", "db:/data", "-v", "own:/own", *ASLEEP)
    until(lambda: observing.meta("own"))
    until(lambda: observing.users("db") == {"web": "running", "spare": "created"})
    assert observing.users("own") == {"spare": "created"}
    clean("stop", "-t", "0", "web")
    until(lambda: observing.users("db") == {"web": "exited", "spare": "created"})
    clean("rm", "-f", "web", "spare")
    until(lambda: observing.users("db") == {})


def test_the_data_is_the_volumes_own_while_a_container_writes(observing, clean):
    clean.run("-d", "--name", "web", "-v", "db:/data", *ASLEEP)
    until(lambda: observing.meta("db"))
    for number in range(3):
        clean("exec", "web", "/bin/sh", "-c", f"echo {number} > /data/file")
        assert (observing.data("db") / "file").read_text() == f"{number}\n"
    assert observing.data("db").stat().st_ino == (clean.place / "data/volumes/db/_data").stat().st_ino


def test_a_volume_with_options_shows_its_data_while_docker_has_it_mounted(observing, clean):
    clean("volume", "create", *TMPFS, "scratch")
    until(lambda: observing.state("scratch") == "unmounted")
    assert sorted(os.listdir(observing.view / "scratch")) == ["meta", "opts.json"]
    for text in ("one", "two"):
        clean.run(
            "-d", "--name", "web", "-v", "scratch:/data", IMAGE, "/bin/sh", "-c", f"echo {text} > /data/f; sleep 9"
        )
        until(lambda: observing.state("scratch") == "ok")
        until(lambda text=text: (observing.data("scratch") / "f").read_text() == text + "\n")
        with pytest.raises(OSError, match="Read-only"):
            (observing.data("scratch") / "g").touch()
        clean("rm", "-f", "web")
        until(lambda: not observing.data("scratch").exists())
        assert observing.state("scratch") == "unmounted"
        assert [one for one in observing.mounts() if one.endswith("scratch/_data")] == []


def test_a_name_that_is_given_again_shows_the_new_volume(observing, clean):
    for number in range(5):
        clean("volume", "create", "--label", f"n={number}", "db")
        (clean.place / "data/volumes/db/_data" / f"file{number}").touch()
        until(lambda number=number: (observing.meta("db") or {"Labels": None})["Labels"] == {"n": str(number)})
        assert os.listdir(observing.data("db")) == [f"file{number}"]
        clean("volume", "rm", "db")


def test_events_tell_what_docker_did(observing, clean):
    connection = UnixConnection(observing.socket)
    with contextlib.closing(connection):
        connection.request("GET", "/events")
        answer = connection.getresponse()
        clean("volume", "create", "db")
        assert b'"Action":"create"' in answer.readline()
        clean("volume", "rm", "db")
        assert b'"Action":"destroy"' in answer.readline()


# Nothing can be changed


@pytest.mark.parametrize("plane", ["bind", "fuse"])
def test_nobody_writes_through_the_view_root_neither(observe, clean, plane):
    clean("volume", "create", "db")
    data = clean.place / "data/volumes/db/_data"
    (data / "file").write_text("theirs")
    observing = observe(clean.place / "data", "--data-plane", plane)
    shown = observing.data("db")
    assert (shown / "file").read_text() == "theirs"
    for change in (
        lambda: (shown / "file").write_text("mine"),
        lambda: (shown / "file").unlink(),
        lambda: (shown / "file").chmod(0o777),
        lambda: os.utime(shown / "file"),
        lambda: os.setxattr(shown / "file", "user.a", b""),
        lambda: (shown / "new").mkdir(),
        lambda: (shown / "file").rename(shown / "new"),
        lambda: (observing.view / "new").mkdir(),
        lambda: (observing.view / "db").rmdir(),
        lambda: (observing.view / "db" / "meta").write_text(""),
    ):
        with pytest.raises(OSError) as refused:
            change()
        assert refused.value.errno == errno.EROFS
    assert ((data / "file").read_text(), os.listdir(data)) == ("theirs", ["file"])


@pytest.mark.parametrize("plane", ["bind", "fuse"])
def test_who_asks_for_it_can_write(observe, clean, plane):
    clean("volume", "create", "db")
    observing = observe(clean.place / "data", "--writable", "--data-plane", plane)
    (observing.data("db") / "file").write_text("mine")
    assert (clean.place / "data/volumes/db/_data/file").read_text() == "mine"
    with pytest.raises(OSError):
        (observing.view / "new").mkdir()


def test_a_mount_that_comes_later_in_a_volume_opens_no_way_to_write(observing, clean, tmp_path):
    clean("volume", "create", "db")
    below = clean.place / "data/volumes/db/_data/below"
    below.mkdir()
    until(lambda: observing.meta("db"))
    assert os.listdir(observing.data("db")) == ["below"]
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", below], check=True)
    try:
        with pytest.raises(OSError, match="Read-only"):
            (observing.data("db") / "below" / "file").touch()
    finally:
        subprocess.run(["umount", below], check=True)


def test_volumes_are_changed_with_docker_and_volfs_says_so(observing, clean):
    clean("volume", "create", "db")
    until(lambda: observing.meta("db"))
    why = f"volfs: this volfs observes {clean.place}/data: change volumes with docker\n"
    for words in (
        ("create", "new"),
        ("create", "-d", "sshfs", "new"),
        ("rm", "db"),
        ("rm", "-f", "db"),
        ("prune", "-f"),
    ):
        assert volfs(observing, *words) == (125, why), words
    code, said = volfs(observing, "ls")
    assert (code, said.splitlines()[1].split()[:3]) == (0, ["db", "local", "ok"])
    assert local_volumes(clean) == ["db"]


@pytest.mark.parametrize("where", ["view", "run"])
def test_a_place_of_ours_is_not_made_in_dockers_root(clean, tmp_path, where):
    root = clean.place / "data"
    places = {"view": tmp_path / "view", "run": tmp_path / "run", where: root / "mine"}
    command = [sys.executable, "-m", "volfs", "serve", "--observe", root]
    command += ["--view", places["view"], "--run-dir", places["run"]]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=PROJECT)
    assert (done.returncode, "nothing is to be changed" in done.stderr) == (125, True), done.stderr
    assert not (root / "mine").exists()


# Whatever ends and starts


def test_the_view_outlives_its_daemon_and_knows_what_happened_meanwhile(observing, clean):
    clean("volume", "create", "stays")
    clean("volume", "create", "goes")
    clean("volume", "create", *TMPFS, "scratch")
    (clean.place / "data/volumes/stays/_data/file").write_text("here")
    observing.shows("goes", "scratch", "stays")
    assert (observing.data("stays") / "file").read_text() == "here"
    with open(observing.data("stays") / "file") as held:
        for killed in range(2, 4):
            os.kill(observing.keeper.pid, signal.SIGSTOP)
            os.kill(observing.daemon, signal.SIGKILL)
            clean("volume", "create", f"new{killed}")
            clean("volume", "rm", "goes" if killed == 2 else "new2")
            os.kill(observing.keeper.pid, signal.SIGCONT)
            observing.ready(killed)
            observing.shows(f"new{killed}", "scratch", "stays")
            assert (observing.data("stays") / "file").read_text() == "here"
        assert held.read() == "here"
    clean.run("-d", "--name", "web", "-v", "scratch:/data", *ASLEEP)
    until(lambda: observing.state("scratch") == "ok")
    assert observing.stop() == 0
    assert (clean.place / "data/volumes/scratch/_data").is_mount(), "Docker's mounts are Docker's"
    observing.start()
    assert observing.users("scratch") == {"web": "running"}


def test_the_mirror_may_be_lost_at_any_time(observing, clean):
    clean("volume", "create", "db")
    until(lambda: observing.meta("db"))
    before = observing.view.joinpath("db").stat().st_ino
    mirror = observing.root / "observed.mdb"
    for damage in (lambda: shutil.rmtree(observing.root), lambda: mirror.write_bytes(b"junk" * 5000)):
        observing.stop()
        damage()
        observing.start()
        observing.shows("db")
        assert observing.view.joinpath("db").stat().st_ino != before, "numbers are never used again"


def test_a_dockerd_that_is_stopped_and_started_is_followed(observing, clean):
    clean("volume", "create", "--label", "a=1", "db")
    until(lambda: observing.meta("db"))
    for end in (signal.SIGTERM, signal.SIGKILL):
        clean.process.send_signal(end)
        clean.process.wait(60)
        assert observing.meta("db")["Labels"] == {"a": "1"}
        containerd = clean.place / "exec/containerd/containerd.pid"
        until(lambda at=containerd: not at.exists() or not Path(f"/proc/{at.read_text()}").exists())
        clean.process = subprocess.Popen(clean.process.args, stdout=clean._log, stderr=clean._log)
        clean.wait()
        clean("volume", "create", f"new-{end.name}")
        until(lambda end=end: observing.meta(f"new-{end.name}"))
    assert sorted(os.listdir(observing.view)) == sorted(local_volumes(clean))


def test_a_root_that_appears_later_is_waited_for(observe, tmp_path):
    observing = observe(tmp_path / "later")
    assert os.listdir(observing.view) == []
    until(lambda: f"waited for directory={tmp_path}/later/volumes" in observing.log())
    files = DockerFiles(tmp_path / "later").begin()
    files.create("db", labels={"a": "1"})
    observing.shows("db")
    os.rename(files.root, tmp_path / "away")
    until(lambda: observing.state("db") == "missing")
    assert os.listdir(observing.view / "db") == ["meta", "opts.json"]
    os.rename(tmp_path / "away", files.root)
    until(lambda: observing.state("db") == "ok")
    assert observing.data("db").is_dir()
    until(lambda: observing.log().count("Docker's volumes are there") == 2)
    assert observing.log().count("waited for") == 2
    assert "volume missing" not in observing.log()


def test_a_volume_whose_directory_is_taken_away_is_missing_until_it_is_back(observe, tmp_path):
    files = DockerFiles(tmp_path / "docker").begin()
    files.create("db")
    files.create("other")
    files.container("a" * 64, "db", name="web")
    observing = observe(files.root)
    os.rename(files.root / "volumes" / "db", tmp_path / "away")
    until(lambda: observing.state("db") == "missing")
    until(lambda: "volume missing volume=db used_by=web" in observing.log())
    assert os.listdir(observing.view / "db") == ["meta", "opts.json"]
    observing.stop()
    observing.start()
    assert (observing.state("db"), observing.state("other")) == ("missing", "ok")
    os.rename(tmp_path / "away", files.root / "volumes" / "db")
    until(lambda: observing.state("db") == "ok")
    assert observing.users("db") == {"web": "running"}


def test_observers_and_a_volfs_with_volumes_of_its_own_run_side_by_side(observe, serve, clean):
    clean("volume", "create", "db")
    first, second, own = observe(clean.place / "data"), observe(clean.place / "data"), serve()
    own.create("mine")
    assert [os.listdir(one.view) for one in (first, second, own)] == [["db"], ["db"], ["mine"]]


# Docker's files


def test_beside_500_volumes_the_view_ends_equal_and_dockers_files_as_without_volfs(observe, tmp_path):
    found, listed = [], []
    for observed in (True, False):
        docker = Docker(Path(tempfile.mkdtemp(prefix="volfs-docker-")))
        try:
            docker.wait()
            observing = observe(docker.place / "data") if observed else None
            with looking(observing), engine_of(docker) as engine:
                run_500(engine)
            names = local_volumes(docker)
            if observing is not None:
                observing.shows(*names)
                records, _ = read_metadata(docker.place / "data/volumes/metadata.db")
                assert {name: observing.meta(name)["Labels"] for name in names} == {
                    record.name: record.labels for record in records
                }
                assert observing.stop() == 0
            listed.append(sorted(names))
            docker.process.terminate()
            docker.process.wait(60)
            found.append(content(docker.place / "data/volumes"))
        finally:
            docker.stop()
    assert len(listed[0]) == 100
    assert listed[0] == listed[1]
    assert found[0] == found[1]


def run_500(engine):
    """Makes 500 volumes and removes most of them, some names twice."""
    for number in range(500):
        labels = {"n": str(number)} if number % 2 else None
        options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"} if number % 5 == 0 else None
        engine.create(f"vol-{number:03d}", Labels=labels, DriverOpts=options)
        if number % 7 == 3:
            engine.remove(f"vol-{number - 2:03d}")
            engine.create(f"vol-{number - 2:03d}", Labels={"again": "1"})
        if number >= 100:
            engine.remove(f"vol-{number - 100:03d}")


@contextlib.contextmanager
def looking(observing):
    """Somebody goes through the whole view all the time."""
    stop = threading.Event()

    def look():
        while observing is not None and not stop.is_set():
            for at, _, files in os.walk(observing.view):
                for name in files:
                    with contextlib.suppress(OSError):
                        Path(at, name).read_bytes()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("plane", ["bind", "fuse"])
def test_looking_leaves_no_trace_not_even_an_access_time(observe, clean, plane):
    root = clean.place / "data"
    clean("volume", "create", "--label", "a=1", "db")
    clean("volume", "create", *TMPFS, "scratch")
    clean.run("--name", "web", "-v", "db:/data", IMAGE, "/bin/sh", "-c", "mkdir /data/below; echo x > /data/below/file")
    paths = [str(root), *everything_in(root / "volumes"), *everything_in(root / "containers")]
    said = content(root / "volumes")
    never_read(paths)
    before = traces(paths)
    observing = observe(root, "--data-plane", plane)
    assert (observing.data("db") / "below" / "file").read_text() == "x\n"
    assert observing.users("db") == {"web": "exited"}
    observing.kill_daemon()
    observing.ready(2)
    assert os.listdir(observing.data("db")) == ["below"]
    code, figures = volfs(observing, "df")
    assert (code, figures.splitlines()[1].split()[:2]) == (0, ["db", "2B"])
    assert observing.stop() == 0
    assert traces(paths) == before
    assert content(root / "volumes") == said


READING = {
    "openat", "openat2", "newfstatat", "statx", "stat", "lstat", "access", "faccessat2", "readlink", "readlinkat",
    "getdents64", "read", "pread64", "fstat", "statfs", "fstatfs", "lseek", "close", "inotify_add_watch", "open_tree",
    "mount_setattr", "fcntl", "ioctl",
}  # fmt: skip
MAY_SAY_ANYTHING = {"execve", "read", "write", "pread64", "sendto", "sendmsg", "recvfrom", "recvmsg", "writev"}


def test_no_call_that_could_change_something_is_made_on_dockers_files(observe, clean, tmp_path):
    root, trace = str(clean.place / "data"), tmp_path / "trace"
    clean("volume", "create", "--label", "a=1", "db")
    clean("volume", "create", *TMPFS, "scratch")
    tracer = ("strace", "-D", "-f", "-qq", "-y", "-s", "4096", "-e", "trace=%file,%desc", "-o", str(trace))
    observing = observe(root, tracer=tracer)
    clean.run("-d", "--name", "web", "-v", "db:/data", "-v", "scratch:/s", *ASLEEP)
    until(lambda: observing.users("db") == {"web": "running"})
    until(lambda: observing.state("scratch") == "ok")
    assert (os.listdir(observing.data("db")), os.listdir(observing.data("scratch"))) == ([], [])
    volfs(observing, "df")
    volfs(observing, "rm", "db")
    clean("rm", "-f", "web")
    clean("volume", "rm", "scratch")
    observing.shows("db")
    assert observing.stop() == 0
    until(lambda: "+++ exited" in trace.read_text() or not _traced(trace))
    calls = list(calls_on(root, trace.read_text(errors="replace")))
    assert {"openat", "getdents64", "inotify_add_watch", "pread64"} <= {name for name, _ in calls}, "nothing was traced"
    writing = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)")
    assert [
        line for name, line in calls if name not in READING or (name.startswith("openat") and writing.search(line))
    ] == []


def _traced(trace):
    before = trace.stat().st_size
    time.sleep(0.3)
    return trace.stat().st_size != before


def calls_on(root, trace):
    """(name, line) of each traced call that has a path below `root`, or a descriptor of one."""
    texts = re.compile(r'"(?:[^"\\]|\\.)*"')
    for line in trace.splitlines():
        named = re.match(r"\d+ +(?:<\.\.\. )?(\w+)[( ]", line)
        if named is None:
            continue
        name = named[1]
        by_descriptor = f"<{root}" in texts.sub('""', line)
        by_path = name not in MAY_SAY_ANYTHING and any(text.startswith(f'"{root}') for text in texts.findall(line))
        if by_descriptor or by_path:
            yield name, line
