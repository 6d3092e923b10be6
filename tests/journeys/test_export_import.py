"""Volumes moved between hosts: real daemons, `volfs export | volfs import`, and everything that can go wrong."""

import contextlib
import json
import os
import pty
import signal
import subprocess

import pytest

from tests.archive.archives import directory, entry, manifest, member, sealed
from tests.archive.hostile import HOSTILE, MUST_NOT_BE_THERE
from tests.conftest import until
from tests.journeys.transfers import (
    SPARSE,
    data_of,
    exported,
    fingerprint,
    in_progress,
    make_every_kind,
    make_socket,
    names,
    start,
    users,
    volfs,
)
from volfs.mount import syscalls
from volfs.mount.syscalls import is_mount_root
from volfs.volume.store import Store

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
WRONG = (  # one of each kind; tests/archive tries them all
    "absolute name",
    "name with dots",
    "through a symlink",
    "through a symlink that was a directory",
    "hard link out",
    "hard link to what is not there",
    "hard link through a symlink",
    "a size that lies, too large",
    "a wrong checksum",
    "another archive behind the end",
    "no archive",
    "options that there are not",
)
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=8m"}


def write(served, name, **files):
    for path, text in files.items():
        (data_of(served, name) / path).write_text(text)


def read(served, name):
    return {path.name: path.read_text() for path in data_of(served, name).iterdir()}


def filled(served, name, megabytes=8):
    """A volume with more data than fits into all the pipes on the way."""
    served.create(name)
    (data_of(served, name) / "big").write_bytes(os.urandom(megabytes << 20))


@contextlib.contextmanager
def running(served, *words, **how):
    """`volfs` in the middle of its work."""
    process = start(served, *words, **how)
    try:
        yield process
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        process.wait()


def fed(process, text):
    process.stdin.write(text)
    process.stdin.flush()
    return process


# What arrives


def test_a_tree_with_every_kind_of_file_arrives_as_it_was(serve, tmp_path):
    here, there = serve(), serve()
    here.create("db", Labels={"team": "web", "empty": ""}, DriverOpts={})
    make_every_kind(data_of(here, "db"))
    before = fingerprint(data_of(here, "db"))
    make_socket(data_of(here, "db"))
    os.utime(data_of(here, "db"), ns=(1, 1_234_567_890_123_456_791))
    reading = start(here, "export", "db")
    writing = start(there, "import", stdin=reading.stdout)
    reading.stdout.close()
    assert writing.communicate(timeout=60) == (b"db\n", b"")
    said = reading.stderr.read().decode()
    reading.stderr.close()
    assert (reading.wait(60), writing.returncode) == (0, 0)
    assert said == "volfs: warning: db: ./socket: socket ignored\n"
    assert fingerprint(data_of(there, "db")) == before
    assert (data_of(there, "db") / "sparse").stat().st_blocks * 512 < 1 << 20 < SPARSE
    old, new = (served.request("GET", "/volumes/db")[1] for served in (here, there))
    for one in (old, new):
        del one["Mountpoint"]
    assert old == new
    assert json.loads((there.root / "volumes/db/meta.json").read_text())["Labels"] == {"team": "web", "empty": ""}
    assert users(here, "db") == [] and in_progress(there) == []


def test_an_archive_is_small_and_any_tar_reads_it(served, tmp_path):
    served.create("db")
    make_every_kind(data_of(served, "db"))
    archive = exported(served, "db")
    assert len(archive) < 1 << 20
    tree = tmp_path / "by hand"
    tree.mkdir()
    subprocess.run(
        ["tar", "-C", tree, "-x", "--xattrs", "--xattrs-include=*", "--acls", "-f", "-"], input=archive, check=True
    )
    assert fingerprint(tree / "volumes" / "db") == fingerprint(data_of(served, "db"))
    assert json.loads((tree / "volfs" / "manifest.json").read_text())["Volumes"][0]["Name"] == "db"


def test_reading_a_volume_leaves_its_times_alone(served):
    served.create("db")
    write(served, "db", file="x")
    os.utime(data_of(served, "db") / "file", ns=(5, 5))
    exported(served, "db")
    assert os.stat(data_of(served, "db") / "file").st_atime_ns == 5


def test_all_volumes_in_one_stream_with_their_options_and_times(serve):
    here, there = serve(), serve()
    here.create("aa", Labels={"a": "1"})
    here.create("bb", DriverOpts=TMPFS)
    here.create("a.b-c_d")
    write(here, "aa", file="one")
    with open(here.view / "bb" / "_data" / "file", "w") as file:
        file.write("two")
    archive = exported(here, "--all")
    code, out, said = volfs(there, "import", stdin=archive)
    assert (code, out) == (0, b"a.b-c_d\naa\nbb\n")
    assert said == "volfs: warning: bb: what is in a tmpfs is gone as soon as nobody uses the volume\n"
    for name in ("aa", "bb", "a.b-c_d"):
        old, new = (served.request("GET", f"/volumes/{name}")[1] for served in (here, there))
        for key in ("Labels", "Options", "CreatedAt", "Driver"):
            assert old[key] == new[key]
    assert read(there, "aa") == {"file": "one"}
    assert users(there, "bb") == [] and not is_mount_root(str(data_of(there, "bb")))
    assert in_progress(there) == []


def test_data_goes_where_the_options_put_it(serve, tmp_path):
    here, there = serve(), serve()
    places = [tmp_path / "here", tmp_path / "there"]
    for place in places:
        place.mkdir()
    here.create("bound", DriverOpts={"type": "none", "o": "bind", "device": str(places[0])})
    (places[0] / "file").write_text("x")
    archive = exported(here, "bound").replace(str(places[0]).encode(), str(places[0]).encode())
    assert volfs(there, "import", "--no-data", stdin=archive)[:2] == (0, b"bound\n")
    there.request("DELETE", "/volumes/bound")
    there.create("bound", DriverOpts={"type": "none", "o": "bind", "device": str(places[1])})
    assert volfs(there, "import", "--merge", stdin=archive)[0] == 0
    assert (places[1] / "file").read_text() == "x" and os.listdir(data_of(there, "bound")) == []


def test_records_alone(serve):
    here, there = serve(), serve()
    here.create("db", Labels={"a": "1"})
    write(here, "db", file="x")
    assert volfs(there, "import", stdin=exported(here, "db", "--no-data"))[0] == 0
    assert names(there) == ["db"] and read(there, "db") == {}
    assert volfs(there, "import", "--no-data", "--rename", "db=two", stdin=exported(here, "db"))[0] == 0
    assert names(there) == ["db", "two"] and read(there, "two") == {}
    assert there.request("GET", "/volumes/two")[1]["Labels"] == {"a": "1"}


def test_compressed_by_the_name_of_the_file_and_recognised_by_its_first_bytes(served, tmp_path):
    served.create("db")
    write(served, "db", file="x" * 100_000)
    for position, (ending, magic) in enumerate(
        [(".tar", b"volfs/manifest"), (".tar.zst", b"\x28\xb5\x2f\xfd"), (".tgz", b"\x1f\x8b")]
    ):
        file = tmp_path / f"archive{ending}"
        assert volfs(served, "export", "db", "-o", file) == (0, b"", "")
        assert file.read_bytes().startswith(magic) and file.stat().st_mode & 0o777 == 0o600
        assert volfs(served, "import", file, "--rename", f"db=f{position}")[0] == 0
        assert volfs(served, "import", "--rename", f"db=p{position}", stdin=file.read_bytes())[0] == 0
        assert read(served, f"f{position}") == read(served, f"p{position}") == read(served, "db")
    assert sorted(os.listdir(tmp_path)) == ["archive.tar", "archive.tar.zst", "archive.tgz"]


# Names that are taken


def test_an_existing_name_is_refused_before_anything_is_read(served):
    served.create("db")
    write(served, "db", file="old")
    with running(served, "import", stdin=subprocess.PIPE) as process:
        fed(process, manifest(entry("aa"), entry("db")))
        assert process.wait(30) == 2  # and our end of the pipe is still open
        assert "db exists already" in process.stderr.read().decode()
    assert names(served) == ["db"] and read(served, "db") == {"file": "old"} and in_progress(served) == []


def test_another_name_and_what_cannot_be_one(served):
    served.create("db")
    archive = exported(served, "db")
    assert volfs(served, "import", "--rename", "db=new", stdin=archive)[:2] == (0, b"new\n")
    code, _, said = volfs(served, "import", "--rename", "nope=x1", stdin=archive)
    assert code == 1 and "no such volume in the archive" in said
    code, _, said = volfs(served, "import", "--rename", "db=../x", stdin=archive)
    assert code == 125 and "invalid characters" in said
    code, _, said = volfs(served, "import", "--rename", "db=new", stdin=archive)
    assert code == 2 and "new exists already" in said
    two = sealed(manifest(entry("aa"), entry("bb")) + directory("volumes/aa/") + directory("volumes/bb/"))
    code, _, said = volfs(served, "import", "--rename", "aa=bb", stdin=two)
    assert code == 125 and "same name" in said
    assert names(served) == ["db", "new"]


def test_a_merge_brings_the_files_of_the_archive_and_leaves_the_others(serve):
    here, there = serve(), serve()
    here.create("db", Labels={"a": "new"})
    write(here, "db", both="new", only_there="new")
    (data_of(here, "db") / "dir").mkdir()
    (data_of(here, "db") / "dir" / "inner").write_text("new")
    there.create("db", Labels={"a": "old"})
    (data_of(there, "db") / "dir").symlink_to("/tmp")  # an import does not go through it
    write(there, "db", both="old", mine="old")
    assert volfs(there, "import", "--merge", stdin=exported(here, "db"))[0] == 0
    (data_of(there, "db") / "dir" / "inner").unlink()
    (data_of(there, "db") / "dir").rmdir()
    assert read(there, "db") == {"both": "new", "only_there": "new", "mine": "old"}
    assert there.request("GET", "/volumes/db")[1]["Labels"] == {"a": "old"}
    assert users(there, "db") == [] and not os.path.exists("/tmp/inner")


def test_a_directory_in_the_way_of_a_file_stops_a_merge_before_it_begins(serve):
    here, there = serve(), serve()
    here.create("db")
    write(here, "db", aa="new", zz="new")
    there.create("db")
    write(there, "db", aa="old")
    (data_of(there, "db") / "zz").mkdir()
    code, _, said = volfs(there, "import", "--merge", stdin=exported(here, "db"))
    assert code == 2 and 'has the file "zz"' in said
    assert (data_of(there, "db") / "aa").read_text() == "old" and users(there, "db") == []


def test_a_name_that_is_taken_meanwhile_leaves_none_of_them(served):
    body = manifest(entry("aa"), entry("bb")) + directory("volumes/aa/") + member("volumes/aa/file", data=b"x")
    whole = sealed(body + directory("volumes/bb/"))
    with running(served, "import", stdin=subprocess.PIPE) as process:
        fed(process, body)
        until(lambda: in_progress(served))
        served.create("bb")
        fed(process, whole[len(body) :]).stdin.close()
        assert process.wait(30) == 2
        assert "bb" in process.stderr.read().decode()
    assert names(served) == ["bb"] and in_progress(served) == []


# What must not arrive


def test_a_hostile_archive_leaves_nothing(served):
    served.create("old")
    table = served.mounts()
    watched = {path: os.stat(path) for path in ("/etc/passwd", "/etc", "/tmp", str(data_of(served, "old")))}
    some = {name: start(served, "import", stdin=subprocess.PIPE) for name in WRONG}
    for name, process in some.items():
        text, word = HOSTILE[name]
        out, said = process.communicate(text, timeout=60)
        assert process.returncode == 125 and out == b"", name
        assert word in said.decode() and said.count(b"\n") == 1, (name, said)
    assert names(served) == ["old"] and in_progress(served) == []
    assert sorted(os.listdir(served.root / "volumes")) == ["metadata.mdb", "metadata.mdb-lock", "old"]
    assert not os.path.lexists(MUST_NOT_BE_THERE) and served.mounts() == table
    for path, before in watched.items():
        assert (before.st_mode, before.st_uid, before.st_ino) == (lambda now: (now.st_mode, now.st_uid, now.st_ino))(
            os.stat(path)
        )


def test_an_archive_that_is_cut_or_altered_leaves_nothing(served):
    served.create("db")
    write(served, "db", one="x" * 3000, two="y" * 200_000)
    archive = exported(served, "db")
    last = archive.index(b"volfs/checksum.json")  # cut before, in and after the checksum, and in the end itself
    tries = [archive[:cut] for cut in (1, 511, 512, last, last + 512, last + 1024, last + 1536)]
    for program in ("cat", "zstd", "gzip"):
        text = subprocess.run([program], input=archive, capture_output=True, check=True).stdout
        middle = bytearray(text)
        middle[len(text) // 2] ^= 0x10
        tries += [bytes(middle), text[: len(text) // 3]]
        tries += [text[:-3]] if program != "cat" else []
    for text in tries:
        code, out, said = volfs(served, "import", "--rename", "db=new", stdin=text)
        assert (code, out) == (125, b"") and "nothing was imported" in said, said
    assert names(served) == ["db"] and in_progress(served) == []


def test_a_volume_that_cannot_be_filled_is_not_there(serve):
    here, there = serve(), serve()
    here.create("aa")
    here.create("small", DriverOpts=TMPFS)
    with open(here.view / "small" / "_data" / "file", "wb") as file:
        file.write(bytes(1) + os.urandom(3 << 20))
    archive = exported(here, "--all")
    before = b'"o": "size=8m"'
    assert archive.count(before) == 1
    body = archive[: archive.index(b"volfs/checksum.json")].replace(before, b'"o": "size=1m"')
    code, out, said = volfs(there, "import", stdin=sealed(body))
    assert (code, out) == (125, b"") and "small could not be filled" in said and "no space is left" in said
    assert names(there) == [] and there.mounts() == [str(there.view)]
    until(lambda: not in_progress(there))  # its tree is deleted behind the answer


# In use, and in the middle


def test_a_volume_is_in_use_while_it_is_exported_and_may_be_in_use(served):
    filled(served, "db")
    with running(served, "export", "db") as process, open(data_of(served, "db") / "log", "w") as log:
        until(lambda: users(served, "db"))
        [user] = users(served, "db")
        assert user["Kind"] == "tool" and user["Id"].startswith("export-")
        code, _, said = volfs(served, "rm", "db")
        assert code == 2 and user["Id"] in said
        log.write("goes on")
        process.stdout.read()
        assert process.wait(30) == 0
    until(lambda: not users(served, "db"))


def test_a_volume_of_a_running_container_is_exported(served, docker):
    served.create("db")
    docker.run("-d", "--name", "user", "-v", f"{served.view}/db/_data:/data", "volfs-test-busybox", "sh", "-c",
               "echo x > /data/file; exec sleep 1000")  # fmt: skip
    until(lambda: (data_of(served, "db") / "file").exists())
    assert volfs(served, "import", "--rename", "db=copy", stdin=exported(served, "db"))[0] == 0
    assert read(served, "copy") == {"file": "x\n"}
    docker("rm", "-f", "user")


def test_an_export_that_is_ended_leaves_no_user(served):
    filled(served, "db", 2)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        with running(served, "export", "db") as process:
            until(lambda: users(served, "db"))
            process.send_signal(number)
            assert process.wait(30) == (-9 if number == signal.SIGKILL else 130)
        until(lambda: not users(served, "db"))
    assert volfs(served, "rm", "db")[0] == 0


def test_a_reader_that_has_left_ends_an_export_without_a_word(served):
    filled(served, "db", 2)
    with running(served, "export", "db") as process:
        process.stdout.read(100)
        process.stdout.close()
        assert process.wait(30) == 141 and process.stderr.read() == b""
    until(lambda: not users(served, "db"))


def test_a_path_that_could_not_be_made_again_is_no_part_of_an_archive(served):
    served.create("db")
    above = os.open(data_of(served, "db"), os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=above)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    code, _, said = volfs(served, "export", "db")
    assert code == 125 and "too long for an archive" in said and said.count("\n") == 1


def test_a_file_that_is_not_whole_gets_no_name(served, tmp_path):
    filled(served, "db", 2)
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "a.tar"
    target.write_text("of yesterday")
    syscalls.mount("none", str(tmp_path / "out"), "tmpfs", 0, "size=1m")
    try:
        code, _, said = volfs(served, "export", "db", "-o", target)
        assert code == 125 and "No space left" in said and os.listdir(tmp_path / "out") == []
    finally:
        syscalls.detach(str(tmp_path / "out"))
    served.request("POST", "/volumes/create", {"Name": "gone"})
    data_of(served, "gone").rmdir()
    code, _, said = volfs(served, "export", "db", "gone", "-o", target)
    assert code == 125 and "gone" in said
    assert target.read_text() == "of yesterday" and os.listdir(tmp_path / "out") == ["a.tar"]


def test_a_daemon_that_is_killed_ends_an_export_and_forgets_its_user(served):
    served.create("db", DriverOpts=TMPFS)
    with open(served.view / "db" / "_data" / "big", "wb") as file:
        file.write(os.urandom(4 << 20))
    with running(served, "export", "db") as process:
        until(lambda: any(one["Kind"] == "tool" for one in users(served, "db")))
        served.kill_daemon()
        served.ready(2)
        assert [one["Kind"] for one in users(served, "db") if one["Kind"] != "view"] == []
        out, said = process.communicate(timeout=30)
        assert process.returncode == 125 and b"the daemon went away" in said
    code, _, said = volfs(served, "import", "--rename", "db=x1", stdin=out)
    assert code == 125 and "nothing was imported" in said


def test_an_import_that_is_ended_leaves_nothing_after_the_next_start(served):
    body = manifest() + directory("volumes/db/") + member("volumes/db/file", data=b"x" * 600)
    for number in (signal.SIGTERM, signal.SIGKILL):
        assert in_progress(served) == []
        with running(served, "import", stdin=subprocess.PIPE) as process:
            fed(process, body)
            until(lambda: list(served.root.glob("volumes/.importing-*/0/_data")))
            assert names(served) == []
            process.send_signal(number)
            process.wait(30)
        assert names(served) == [] and sorted(os.listdir(served.view)) == []
    served.kill_daemon()
    served.ready(2)
    until(lambda: not in_progress(served))
    assert names(served) == []


def test_a_daemon_that_starts_meanwhile_leaves_an_import_alone(served):
    body = manifest() + directory("volumes/db/") + member("volumes/db/file", data=b"x" * 600)
    whole = sealed(body)
    with running(served, "import", stdin=subprocess.PIPE) as process:
        fed(process, body)
        until(lambda: in_progress(served))
        for times in (2, 3):
            served.kill_daemon()
            served.ready(times)
        assert in_progress(served)
        fed(process, whole[len(body) :]).stdin.close()
        assert process.stdout.read() == b"db\n" and process.wait(30) == 0
    assert read(served, "db") == {"file": "x" * 600} and in_progress(served) == []


def test_a_daemon_that_stops_takes_the_user_of_an_export_away_itself(served):
    filled(served, "db")
    with running(served, "export", "db") as process:
        until(lambda: users(served, "db"))
        assert served.stop() == 0
        _, said = process.communicate(timeout=30)
        assert process.returncode == 125 and b"the daemon went away" in said
    store = Store(served.root / "volumes/metadata.mdb")
    assert store.references("db") == []  # and not only once the next restore has seen it
    store.close()


# At a terminal


def on_a_terminal(served, *words, stdout=None, seconds=30):
    """(exit code, what the terminal shows) of `volfs` whose errors, and by default all, go to a terminal."""
    ours, theirs = pty.openpty()
    process = start(served, *words, stdin=theirs, stdout=stdout or theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: everybody at the other end has left
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    return process.wait(seconds), shown.decode()


def test_a_terminal_gets_progress_and_never_an_archive(served, tmp_path):
    filled(served, "db", 2)
    code, shown = on_a_terminal(served, "export", "db")
    assert code == 125 and "-o FILE" in shown and "manifest" not in shown
    code, shown = on_a_terminal(served, "export", "db", "-o", tmp_path / "a.tar")
    assert code == 0 and "db   " in shown and "B/s" in shown and "\n" not in shown
    code, shown = on_a_terminal(served, "import", tmp_path / "a.tar", "--rename", "db=new")
    assert code == 0 and "to disk   2." in shown and shown.endswith("new\r\n")
    code, shown = on_a_terminal(served, "import")
    assert code == 125 and "name a FILE" in shown
