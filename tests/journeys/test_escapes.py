"""Who is root inside of a volume stays inside: nothing outside is read, changed, deleted or counted for it."""

import contextlib
import json
import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from tests.conftest import until
from tests.journeys.transfers import volfs
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
SECRET = "hunter2"

# Makes `there` a directory and a symlink out, in turn, as quickly as it can: renameat2(2) with RENAME_EXCHANGE.
SWAPPER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
place, target = sys.argv[1].encode(), sys.argv[2]
os.makedirs(place + b"/there", exist_ok=True)
for number in range(3):
    with open(place + b"/there/f%d" % number, "w") as file:
        file.write("inside")
os.symlink(target, place + b"/swap")
print("swapping", flush=True)
while True:
    libc.renameat2(-100, place + b"/there", -100, place + b"/swap", 2)
"""


@pytest.fixture
def outside(tmp_path):
    """What must stay as it is; `untouched` asserts that."""
    place = tmp_path / "outside"
    place.mkdir()
    for number in range(3):
        (place / f"f{number}").write_text("outside" * 1000)

    def untouched():
        assert sorted(os.listdir(place)) == ["f0", "f1", "f2"]
        assert all((place / f"f{number}").read_text() == "outside" * 1000 for number in range(3))

    place_with = place
    yield place_with, untouched


def bind(source, target):
    descriptor = os.open(source, os.O_PATH)
    try:
        syscalls.bind(descriptor, str(target))
    finally:
        os.close(descriptor)


def data(served, name):
    return served.root / "volumes" / name / "_data"


def test_a_symlink_that_is_swapped_in_leads_no_removal_no_measurement_and_no_reader_out(serve, client, outside):
    place, untouched = outside
    served = serve("--data-plane", "fuse")
    for number in range(8):
        name = f"v{number}"
        served.create(name)
        (data(served, name) / "deep").mkdir()
        swapper = client(SWAPPER, data(served, name), place)
        assert swapper.line() == "swapping"
        sizes = set()
        for _ in range(6):
            answer = served.request("GET", "/system/df?type=volume")[1]
            sizes.add(next(one["UsageData"]["Size"] for one in answer["Volumes"] if one["Name"] == name))
        assert max(sizes) < 7000, "what is outside was counted"
        seen = served.view / name / "_data"
        for _ in range(40):
            for deed in (
                lambda seen=seen: os.open(seen / "there" / "made", os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW),
                lambda seen=seen: os.mkdir(seen / "there" / "directory"),
                lambda seen=seen: os.open(seen / "there", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW),
            ):
                with contextlib.suppress(OSError):
                    descriptor = deed()
                    if descriptor is not None:
                        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                            assert os.stat(descriptor).st_dev == os.stat(served.view).st_dev
                        os.close(descriptor)
        if number % 2:
            swapper.close()
        assert served.request("DELETE", f"/volumes/{name}")[0] in (204, 409)
        swapper.close()
        # The client's own path may lead out, as a symlink in a container's volume does for a host's `ls`: that is the
        # kernel's walk, not the daemon's. What was made there is this test's.
        for made in ("made", "directory"):
            with contextlib.suppress(OSError):
                os.unlink(place / made) if made == "made" else os.rmdir(place / made)
    untouched()


def test_symlinks_to_everything_are_deleted_and_nothing_behind_them(served, outside):
    place, untouched = outside
    served.create("db")
    served.create("other")
    (data(served, "other") / "file").write_text("kept")
    shadow = Path("/etc/shadow").read_bytes()
    inside = data(served, "db")
    for number, target in enumerate(
        ("/etc/shadow", served.root, place, data(served, "other"), "..", "../../other", "/")
    ):
        (inside / f"link{number}").symlink_to(target)
    os.link(data(served, "other") / "file", inside / "hard")
    os.mkfifo(inside / "fifo")
    os.mknod(inside / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(inside):
        one.bind("socket")
    for name in (b"new\nline", b"\xff\xfe", b" ", b"-rf", b"x" * 255):
        (inside / os.fsdecode(name)).mkdir()
    deep = os.open(inside, os.O_RDONLY)
    for _ in range(4000):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    assert served.request("GET", "/system/df?type=volume")[0] == 200
    assert served.request("DELETE", "/volumes/db") == (204, "")
    until(lambda: not [one for one in os.listdir(served.root / "volumes") if one.startswith(".removing-")])
    assert "left over" not in served.log()
    assert Path("/etc/shadow").read_bytes() == shadow
    assert (data(served, "other") / "file").read_text() == "kept"
    untouched()


@pytest.mark.parametrize("what", ["symlink", "fifo", "device", "socket", "file", "mount"])
@pytest.mark.parametrize("which", ["_data", "opts.json", "meta.json"])
def test_a_control_file_or_data_that_is_something_else_harms_its_volume_alone(shared, outside, which, what):
    place, untouched = outside
    served, name = shared, f"{which.strip('_').partition('.')[0]}-{what}"
    options = {"type": "tmpfs", "device": "tmpfs"} if which == "opts.json" else None
    served.create(name, DriverOpts=options)
    served.create(f"{name}-fine")
    victim = served.root / "volumes" / name / which
    if what != "mount":
        shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    match what:
        case "symlink":
            victim.symlink_to(place if which == "_data" else place / "f0")
        case "fifo":
            os.mkfifo(victim)
        case "device":
            os.mknod(victim, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        case "socket":
            with socket.socket(socket.AF_UNIX) as one:
                short = os.open(victim.parent, os.O_PATH)
                one.bind(f"/proc/self/fd/{short}/{which}")
                os.close(short)
        case "file":
            victim.write_text("nothing")
        case "mount":
            bind(place if which == "_data" else place / "f0", victim)
    try:
        status, answer = served.request("GET", f"/volumes/{name}")
        assert status == 200
        assert json.loads((served.view / name / "meta").read_text())["Name"] == name
        if which == "opts.json":
            assert answer["Status"]["State"] == "damaged"
        if which == "_data" and what != "mount":
            with pytest.raises(OSError):
                os.listdir(served.view / name / "_data")
        assert "outside" not in json.dumps(answer)
        assert served.request("GET", "/system/df?type=volume")[0] == 200
        (served.view / f"{name}-fine" / "_data" / "file").write_text("kept")
        status, answer = served.request("DELETE", f"/volumes/{name}")
        if what == "mount":
            assert (status, "mounted" in answer["message"]) == (409, True)
            assert victim.exists()
    finally:
        syscalls.detach(str(victim))
    assert what != "mount" or served.request("DELETE", f"/volumes/{name}") == (204, "")
    assert status in (204, 409)
    until(lambda: not [one for one in os.listdir(served.root / "volumes") if one.startswith(".removing-")])
    untouched()


def test_a_mount_inside_refuses_a_removal_before_anything_is_touched(served, outside):
    place, untouched = outside
    served.create("db")
    inside = data(served, "db") / "a" / "b"
    inside.mkdir(parents=True)
    (data(served, "db") / "file").write_text("kept")
    bind(place, inside)
    try:
        status, answer = served.request("DELETE", "/volumes/db")
        assert (status, "mounted" in answer["message"]) == (409, True)
        assert served.request("DELETE", "/volumes/db?force=1")[0] == 409
        assert served.request("POST", "/volumes/prune?filters=%7B%22all%22:%5B%22true%22%5D%7D")[0] == 200
        assert (data(served, "db") / "file").read_text() == "kept"
    finally:
        syscalls.detach(str(inside))
    untouched()
    assert served.request("DELETE", "/volumes/db") == (204, "")


def test_no_secret_of_an_option_is_in_a_log_the_view_an_error_or_a_process_list(serve, tmp_path):
    served = serve("--plugin-socket", str(tmp_path / "plugin.sock"))
    tried = [
        {"type": "cifs", "device": "//127.0.0.1/share", "o": f"addr=127.0.0.1,username=u,password={SECRET},vers=3.0"},
        {"type": "cifs", "device": f"//user:{SECRET}@127.0.0.1/share", "o": "addr=127.0.0.1"},
        {"type": "none", "device": f"/nonexistent?token={SECRET}", "o": f"bind,Passwd={SECRET}"},
        {"type": "ext4", "device": "/dev/null", "o": f"credentials={SECRET},key={SECRET},pass=a,,{SECRET}"},
        {"type": "ext4", "device": "/dev/null", "o": "x" * 5000 + f",password={SECRET}"},
        {"type": "nfs", "device": f":/x?secret={SECRET}", "o": f"addr=no.such.host.invalid,password={SECRET}"},
        {"type": "cifs", "device": f"//user:{SECRET}@ho st/share", "o": "x"},
        {"password": SECRET},
    ]
    said = []
    for number, options in enumerate(tried):
        status, answer = served.request("POST", "/volumes/create", {"Name": f"v{number}", "DriverOpts": options})
        if status == 201:
            with contextlib.suppress(OSError):
                os.listdir(served.view / f"v{number}" / "_data")
            engine, served.socket = served.socket, tmp_path / "plugin.sock"
            said.append(served.request("POST", "/VolumeDriver.Mount", {"Name": f"v{number}", "ID": "me"}))
            served.socket = engine
            said += [(served.view / f"v{number}" / name).read_text() for name in ("meta", "opts.json")]
        else:
            said.append(answer)
    for broken in ("v0", "v3"):
        opts = served.root / "volumes" / broken / "opts.json"
        opts.write_text(opts.read_text()[:-3])
    served.kill_daemon()
    served.ready(2)
    said += [served.request("GET", "/volumes/v0")[1]["Status"], (served.view / "v0" / "meta").read_text()]
    said += [volfs(served, "check", "--root", served.root), volfs(served, "df"), volfs(served, "export", "v3", "v0")[2]]
    said.append(served.log())
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                said.append((process / "cmdline").read_bytes().decode(errors="replace"))
    assert [one for one in said if SECRET in str(one)] == []
    assert "********" in str(said), "there was nothing to hide"


def test_other_users_of_the_host_may_what_mode_and_group_allow_and_the_sockets_are_roots(
    serve, open_place, as_ordinary_user
):
    served = serve(
        "--mode", "0755", "--plugin-socket", str(open_place / "plugin.sock"), directory=open_place / "served"
    )
    served.run_dir.chmod(0o755)
    served.create("db", Labels={"a": "1"})
    (data(served, "db") / "private").write_text("private")
    (data(served, "db") / "private").chmod(0o600)
    (data(served, "db") / "public").write_text("public")
    (data(served, "db") / "public").chmod(0o644)
    seen = served.view / "db" / "_data"
    assert as_ordinary_user("cat", seen / "public").stdout == "public"
    for command in (
        ("cat", seen / "private"),
        ("rm", seen / "public"),
        ("touch", seen / "made"),
        ("rmdir", served.view / "db"),
        ("mkdir", served.view / "made"),
        ("ls", served.root / "volumes"),
        ("cat", served.root / "volumes" / "db" / "meta.json"),
        ("cat", served.root / "volumes" / "metadata.mdb"),
    ):
        ran = as_ordinary_user(*command)
        assert ran.returncode != 0, command
        assert "private" not in ran.stdout
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    for path in (served.socket, open_place / "plugin.sock"):
        assert "PermissionError" in as_ordinary_user("/usr/bin/python3", "-c", connect, path).stderr
