"""The view as files: what is changed shows at once, names and rights are what a file system would make of them."""

import errno
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from tests.conftest import until

EVERY_CHARACTER = "0azAZ9_.-" + "-_." + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def _refusal(call, *arguments, **options):
    """The errno with which the kernel refuses."""
    with pytest.raises(OSError) as refused:
        call(*arguments, **options)
    return refused.value.errno


def _read(path):
    return Path(path).read_bytes()


def _remove(served, name):
    status, answer = served.request("DELETE", f"/volumes/{name}")
    assert status == 204, answer


# What changes


def test_a_new_volume_shows_at_once_also_to_who_looked_for_it_before(served):
    assert os.listdir(served.view) == []
    for number in range(20):
        name = f"new-{number}"
        assert _refusal(os.stat, served.view / name) == errno.ENOENT
        assert _refusal(os.stat, served.view / name / "_data") == errno.ENOENT
        served.create(name)
        assert stat.S_ISDIR(os.stat(served.view / name).st_mode)
        assert sorted(os.listdir(served.view / name)) == ["_data", "meta", "opts.json"]
        assert len(os.listdir(served.view)) == number + 1


def test_a_removed_volume_is_gone_at_once_for_who_looked_at_all_of_it(served):
    for number in range(20):
        name = f"old-{number}"
        served.create(name)
        files = [served.view / name, *(served.view / name / file for file in ("meta", "opts.json", "_data"))]
        for file in files:
            os.stat(file)
        assert name in os.listdir(served.view)
        _remove(served, name)
        assert [_refusal(os.stat, file) for file in files] == [errno.ENOENT] * 4
        assert os.listdir(served.view) == []
    assert served.mounts() == [str(served.view)]


def test_a_volume_removed_while_its_data_is_in_use_leaves_who_is_inside_what_they_have(served, client):
    served.create("used")
    data = served.view / "used" / "_data"
    os.stat(data)
    (data / "file").write_text("kept")
    inside = client(
        "import os, sys\n"
        "os.chdir(sys.argv[1]); file = open('file', 'r+')\n"
        "print('inside', flush=True)\n"
        "for _ in sys.stdin:\n"
        "    try: os.stat('other'); found = 'found'\n"
        "    except OSError as error: found = error.errno\n"
        "    file.seek(0); print(file.read(), found, flush=True)\n",
        data,
    )
    assert inside.line() == "inside"
    _remove(served, "used")
    assert inside.say("and now?") == f"kept {errno.ENOENT}"
    assert _refusal(os.stat, data / "file") == errno.ENOENT
    assert _refusal(open, data / "file") == errno.ENOENT
    assert _refusal(open, data / "new", "w") == errno.ENOENT
    assert not Path(served.root, "volumes", "used").exists()
    assert served.mounts() == [str(served.view)]
    inside.finish()


def test_a_volume_made_again_with_the_same_name_is_another_one(served):
    served.create("twin", Labels={"which": "first"})
    data = served.view / "twin" / "_data"
    os.stat(data)
    (data / "file").write_text("first")
    first = os.stat(served.view / "twin")
    directory = os.open(served.view / "twin", os.O_RDONLY | os.O_DIRECTORY)
    with open(data / "file") as old:
        _remove(served, "twin")
        served.create("twin", Labels={"which": "second"})
        assert os.stat(served.view / "twin").st_ino != first.st_ino
        assert json.loads(_read(served.view / "twin" / "meta"))["Labels"] == {"which": "second"}
        assert os.listdir(data) == []
        (data / "file").write_text("second")
        assert old.read() == "first"
        assert _refusal(os.stat, "meta", dir_fd=directory) in (errno.ENOENT, errno.ESTALE)
    os.close(directory)
    assert Path(served.root, "volumes", "twin", "_data", "file").read_text() == "second"


def test_meta_changes_at_once_for_who_read_it_before_and_its_size_is_that_of_its_content(served):
    served.create("db", Labels={"team": "ä"}, DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    meta = served.view / "db" / "meta"
    for _ in range(2):
        before = json.loads(_read(meta))
    assert before["UsedBy"] == []
    assert os.stat(meta).st_size == len(_read(meta))
    os.stat(served.view / "db" / "_data")
    after = json.loads(_read(meta))
    assert [user["Kind"] for user in after["UsedBy"]] == ["view"]
    assert os.stat(meta).st_size == len(_read(meta))
    assert {**after, "UsedBy": []} == before


def test_a_file_that_is_open_already_reads_what_is_true_now(served):
    served.create("db")
    with open(served.view / "db" / "meta") as meta:
        assert json.loads(meta.read())["UsedBy"] == []
        os.stat(served.view / "db" / "_data")

        def users():
            meta.seek(0)
            return json.loads(meta.read())["UsedBy"]

        until(users)  # whoever looks is put on record afterwards


def test_a_text_that_changes_while_it_is_read_is_read_as_one_of_the_two(served):
    """The kernel would cut what it caches at the length of before; and the rest of a longer one fits nobody."""
    served.create("one")
    whole = os.path.getsize(served.view / "one" / "meta")
    with (served.view / "one" / "meta").open("rb", buffering=0) as meta:
        first = meta.read(1 << 16)
        assert len(first) == whole
        os.stat(served.view / "one" / "_data")  # the view is a user from now on, which `meta` tells
        until(lambda: _read(served.view / "one" / "meta") != first)
        assert meta.read(1 << 16) == b""
    json.loads(first)


def test_the_views_directory_counts_its_volumes_and_knows_when_they_changed(served):
    empty = os.stat(served.view)
    assert empty.st_nlink == 2
    for name in ("one", "two", "three"):
        served.create(name)
    full = os.stat(served.view)
    assert full.st_nlink == 5
    assert full.st_mtime >= empty.st_mtime
    assert full.st_mtime == int(os.stat(served.root / "volumes").st_mtime)
    _remove(served, "two")
    assert os.stat(served.view).st_nlink == 4
    assert {entry.name: entry.inode() for entry in os.scandir(served.view)} == {
        name: os.stat(served.view / name).st_ino for name in ("one", "three")
    }


def test_a_listing_shows_every_lasting_volume_once_while_others_come_and_go(served):
    _adopting(served, [f"lasting-{number:04}" for number in range(3000)])
    lasting = {f"lasting-{number:04}" for number in range(3000)}
    stop, changes = threading.Event(), []

    def come_and_go():
        while not stop.is_set():
            served.create("coming")
            _remove(served, "coming")
            changes.append(1)

    others = threading.Thread(target=come_and_go)
    others.start()
    try:
        listings = 0
        while listings < 5 or len(changes) < 20:
            names = os.listdir(served.view)
            listings += 1
            assert len(names) == len(set(names))
            assert lasting - set(names) == set()
            assert set(names) - lasting <= {"coming"}
    finally:
        stop.set()
        others.join()


def _adopting(served, names):
    """Volumes made on the disk while nobody serves; the next start adopts them."""
    assert served.stop() == 0
    for name in names:
        Path(served.root, "volumes", name, "_data").mkdir(parents=True)
    served.start()


# Names


def test_a_name_of_allowed_characters_and_at_most_255_bytes_is_a_directory(served):
    for name in ("v" * 255, EVERY_CHARACTER, "v.", "v-", "v_", "v..", "0-0", "CON.txt"):
        served.create(name)
        assert os.listdir(served.view) == [name]
        (served.view / name / "_data" / "file").write_text("kept")
        assert Path(served.root, "volumes", name, "_data", "file").read_text() == "kept"
        assert json.loads(_read(served.view / name / "meta"))["Name"] == name
        _remove(served, name)
        assert _refusal(os.stat, served.view / name) == errno.ENOENT


def test_a_name_that_no_volume_can_have_is_refused_as_a_plain_directory_would(served):
    served.create("there")
    odd = [b"v" * 256, b"v" * 1100, b"\xff\xfe", b"v\n", b" ", b"*", b".hidden", b".creating-1", b"-v", b"metadata.mdb"]
    for name in odd:
        plain = _refusal(os.stat, os.fsencode(served.run_dir) + b"/" + name)
        for parent in (served.view, served.view / "there", served.view / "there" / "_data"):
            assert (name, _refusal(os.stat, os.fsencode(parent) + b"/" + name)) == (name, plain)


# Rights


def _changes_to(view):
    """Every way to change what is not data."""
    volume, meta = view / "db", view / "db" / "meta"
    return {
        "mkdir a volume": lambda: os.mkdir(view / "new"),
        "rmdir a volume": lambda: os.rmdir(volume),
        "rename a volume": lambda: os.rename(volume, view / "other"),
        "create in the view": lambda: open(view / "file", "w"),
        "create in a volume": lambda: open(volume / "file", "w"),
        "mkdir in a volume": lambda: os.mkdir(volume / "directory"),
        "mknod in a volume": lambda: os.mknod(volume / "fifo", stat.S_IFIFO | 0o600),
        "symlink in a volume": lambda: os.symlink("meta", volume / "link"),
        "link in a volume": lambda: os.link(meta, volume / "link"),
        "rename into a volume": lambda: os.rename(meta, volume / "renamed"),
        "write meta": lambda: open(meta, "r+"),
        "append to meta": lambda: open(meta, "a"),
        "truncate meta": lambda: os.truncate(meta, 0),
        "unlink meta": lambda: os.unlink(meta),
        "unlink opts.json": lambda: os.unlink(volume / "opts.json"),
        "rmdir _data": lambda: os.rmdir(volume / "_data"),
        "chmod meta": lambda: os.chmod(meta, 0o666),
        "chown a volume": lambda: os.chown(volume, 1, 1),
        "utime of meta": lambda: os.utime(meta, (0, 0)),
        "chmod the view": lambda: os.chmod(view, 0o777),
    }


def test_what_is_not_data_cannot_be_changed_and_stays_as_it_is(served):
    served.create("db")
    before = _read(served.view / "db" / "meta")
    refused = {what: _refusal(change) for what, change in _changes_to(served.view).items()}
    wrong = {what: errno.errorcode[number] for what, number in refused.items() if number not in (1, 13)}
    assert wrong == {}
    assert sorted(os.listdir(served.view / "db")) == ["_data", "meta", "opts.json"]
    assert _read(served.view / "db" / "meta") == before
    assert stat.S_IMODE(os.stat(served.view).st_mode) == 0o750


def test_nobody_may_move_between_data_and_what_is_not_data(served):
    served.create("db")
    served.create("cache")
    (served.view / "db" / "_data" / "file").write_text("kept")
    os.stat(served.view / "cache" / "_data")
    moves = [
        _refusal(os.rename, served.view / "db" / "_data" / "file", served.view / "db" / "file"),
        _refusal(os.rename, served.view / "db" / "meta", served.view / "db" / "_data" / "meta"),
        _refusal(os.link, served.view / "db" / "meta", served.view / "db" / "_data" / "meta"),
    ]
    assert set(moves) <= {errno.EXDEV, errno.EPERM}
    assert Path(served.root, "volumes", "db", "_data", "file").read_text() == "kept"


def test_an_ordinary_user_sees_nothing_unless_the_mode_says_so(serve, open_place, as_ordinary_user):
    closed, opened = serve(directory=open_place / "closed"), serve("--mode", "0755", directory=open_place / "opened")
    for served in (closed, opened):
        served.root.chmod(0o711)
        served.create("db", DriverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})
    refused = as_ordinary_user("ls", closed.view)
    assert refused.returncode != 0
    assert "Permission denied" in refused.stderr
    assert as_ordinary_user("cat", closed.view / "db" / "meta").returncode != 0
    assert as_ordinary_user("ls", opened.view).stdout == "db\n"
    assert json.loads(as_ordinary_user("cat", opened.view / "db" / "meta").stdout)["Name"] == "db"
    assert stat.S_IMODE(os.stat(closed.view).st_mode) == 0o750
    assert as_ordinary_user("cat", opened.root / "volumes" / "db" / "opts.json").returncode != 0


def test_a_group_may_be_let_in(serve, open_place, as_ordinary_user):
    served = serve("--group", "65534", directory=open_place / "group")
    served.create("db")
    assert os.stat(served.view).st_gid == 65534
    assert as_ordinary_user("ls", served.view).stdout == "db\n"


# Secrets


def test_secrets_in_options_are_masked_in_the_view_and_true_in_the_root(served):
    options = {"type": "cifs", "device": "//nas/share", "o": "addr=127.0.0.1,username=me,password=hunter2"}
    served.create("nas", DriverOpts=options)
    for file in ("meta", "opts.json"):
        content = _read(served.view / "nas" / file)
        assert b"hunter2" not in content
        assert b"username=me" in content
        assert os.stat(served.view / "nas" / file).st_size == len(content)
    assert b"hunter2" in Path(served.root, "volumes", "nas", "opts.json").read_bytes()
    assert json.loads(_read(served.view / "nas" / "opts.json"))["MountType"] == "cifs"


@pytest.mark.parametrize("trouble", ["missing", "damaged"])
def test_whoever_reads_meta_after_mending_a_volume_reads_that_it_is_right_again(served, trouble):
    served.create("db", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    directory = served.root / "volumes" / "db"
    aside = served.root / "aside"
    if trouble == "missing":
        directory.rename(aside)
    else:
        text = (directory / "opts.json").read_bytes()
        (directory / "opts.json").write_text("{")
    assert served.request("GET", "/volumes/db")[1]["Status"]["State"] == trouble
    for _ in range(2):
        assert json.loads((served.view / "db" / "meta").read_text())["Status"]["State"] == trouble
    if trouble == "missing":
        aside.rename(directory)
    else:
        (directory / "opts.json").write_bytes(text)
    assert json.loads((served.view / "db" / "meta").read_text())["Status"]["State"] == "ok"
    assert (served.view / "db" / "_data").is_dir()
