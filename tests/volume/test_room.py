"""What the catalogue is given before it asks."""

import os
import subprocess

from tests.conftest import until
from volfs.volume import room

SIZE = 4 << 20


def resident(path):
    found = subprocess.run(["fincore", "-b", "-n", "-o", "RES", path], check=True, capture_output=True, text=True)
    return int(found.stdout)


def test_a_catalogue_is_read_ahead_to_its_end(tmp_path):
    path = tmp_path / "metadata.mdb"
    path.write_bytes(os.urandom(SIZE))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    room.read_ahead(path)
    until(lambda: resident(path) == SIZE)


def test_where_there_is_nothing_to_read_nothing_happens(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    room.read_ahead(tmp_path / "fifo")
    room.read_ahead(tmp_path / "absent")
