"""What is swapped inside of a volume while it is exported, imported into or looked at leads nobody out."""

import contextlib
import io
import os
import shutil
import stat
import tarfile

import pytest

from tests.conftest import until
from tests.journeys.test_escapes import SWAPPER
from tests.journeys.transfers import data_of, exported, volfs
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
DEEP = 3_000

# Exchanges a file with a device that gives zeros, or with a fifo that nobody writes to, as quickly as it can.
FILE_SWAPPER = """
import ctypes, os, stat, sys
libc = ctypes.CDLL(None)
place = sys.argv[1].encode()
for number in range(3):
    with open(place + b"/file%d" % number, "w") as file:
        file.write("i" * 5000)
    if number:
        os.mknod(place + b"/other%d" % number, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    else:
        os.mkfifo(place + b"/other0")
print("swapping", flush=True)
while True:
    for number in range(3):
        libc.renameat2(-100, place + b"/file%d" % number, -100, place + b"/other%d" % number, 2)
"""


@pytest.fixture
def outside(tmp_path):
    """What must stay as it is and be read by nobody."""
    place = tmp_path / "outside"
    place.mkdir()
    for number in range(3):
        (place / f"f{number}").write_text("outside" * 1000)
    before = sorted((one.name, one.read_text(), one.stat().st_mtime_ns) for one in place.iterdir())
    yield place
    assert sorted((one.name, one.read_text(), one.stat().st_mtime_ns) for one in place.iterdir()) == before


def test_an_export_of_a_volume_in_which_a_symlink_is_swapped_has_nothing_of_outside(served, client, outside):
    served.create("db")
    assert client(SWAPPER, data_of(served, "db"), outside).line() == "swapping"
    whole = 0
    for _ in range(5):
        code, archive, errors = volfs(served, "export", "db")
        assert b"outsideoutside" not in archive, errors
        whole += code == 0
    assert whole, "no export came to its end"


def test_an_export_reads_no_device_and_waits_for_no_fifo_that_takes_a_files_place(served, client):
    served.create("db")
    assert client(FILE_SWAPPER, data_of(served, "db")).line() == "swapping"
    found = set()
    for _ in range(5):
        code, archive, _ = volfs(served, "export", "db")
        if code == 0:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                found |= {tar.extractfile(one).read() for one in tar if one.isreg() and "_data" not in one.name}
    contents = {one for one in found if not one.startswith(b"{")}
    assert contents == {b"i" * 5000}


def test_an_import_into_a_volume_in_which_a_symlink_is_swapped_writes_nothing_outside(serve, client, outside):
    source, target = serve(), serve()
    for served in (source, target):
        served.create("db")
    (data_of(source, "db") / "there").mkdir()
    for number in range(40):
        (data_of(source, "db") / "there" / f"f{number}").write_text("imported")
    archive = exported(source, "db")
    assert client(SWAPPER, data_of(target, "db"), outside).line() == "swapping"
    for _ in range(2):
        volfs(target, "import", "--merge", "-", stdin=archive)
    assert sorted(os.listdir(outside)) == ["f0", "f1", "f2"]


def test_a_deep_tree_and_odd_names_are_walked_through_fuse_and_removed(serve):
    served = serve("--data-plane", "fuse")
    served.create("db")
    odd = [b"new\nline", b"\xff\xfe", b" ", b"-rf", b"%2F", b"x" * 255]
    here = os.open(data_of(served, "db"), os.O_RDONLY)
    for name in odd:
        os.mkdir(name, dir_fd=here)
    for _ in range(DEEP):
        os.mkdir("d", dir_fd=here)
        here = stepped(here, "d")
    os.close(here)
    here = os.open(served.view / "db" / "_data", os.O_RDONLY)
    assert set(odd) <= {os.fsencode(one) for one in os.listdir(here)}
    for name in odd:
        os.stat(name, dir_fd=here)
    for _ in range(DEEP):
        here = stepped(here, "d")
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    assert os.listdir(here) == ["file"]
    os.close(here)
    assert served.request("DELETE", "/volumes/db") == (204, "")
    until(lambda: not [one for one in os.listdir(served.root / "volumes") if one.startswith(".removing-")])
    assert "left over" not in served.log()


def stepped(directory, name):
    """The directory below, for the one above."""
    below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    os.close(directory)
    return below


def test_a_setuid_program_one_with_capabilities_and_a_device_are_powerless_through_fuse(
    serve, open_place, as_ordinary_user
):
    served = serve("--mode", "0755", "--data-plane", "fuse", directory=open_place / "served")
    served.root.chmod(0o711)
    served.create("db")
    real, seen = data_of(served, "db"), served.view / "db" / "_data"
    shutil.copy("/usr/bin/id", real / "id")
    (real / "id").chmod(0o6755)
    shutil.copy("/bin/cat", real / "cat")
    capability = bytes.fromhex("010000020600000000000000000000000000000000")[:20]  # CAP_DAC_OVERRIDE and _READ_SEARCH
    os.setxattr(real / "cat", "security.capability", capability)
    (real / "secret").write_text("secret")
    (real / "secret").chmod(0)
    os.mknod(real / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert as_ordinary_user(real / "cat", real / "secret").stdout == "secret", "the test needs a place without nosuid"
    assert as_ordinary_user(seen / "id", "-u").stdout == "65534\n"
    assert as_ordinary_user(seen / "id", "-g").stdout == "65534\n"
    assert as_ordinary_user(seen / "cat", real / "secret").stdout == ""
    assert as_ordinary_user(seen / "cat", seen / "secret").stdout == ""
    with pytest.raises(PermissionError):
        (seen / "null").read_bytes()
    with contextlib.suppress(OSError):
        os.mknod(seen / "made", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        with pytest.raises(PermissionError):
            (seen / "made").read_bytes()
