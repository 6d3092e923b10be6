"""A local file system that is frozen, as for a snapshot, stops its own volume and no other."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Served

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="mounts: needs root and /dev/fuse"
)
WRITE = "import sys; print('now', flush=True); open(sys.argv[1], 'w').write('late')"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """A device with an empty ext4."""
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    loop = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    yield loop.stdout.strip()
    subprocess.run(["losetup", "--detach", loop.stdout.strip()], check=True)


@pytest.fixture
def served(disk: str, tmp_path: Path) -> Iterator[Served]:
    """Ended before the disk is taken away."""
    served = Served(tmp_path, "--data-plane", "fuse")
    try:
        served.create("frozen", DriverOpts={"type": "ext4", "device": disk})
        served.create("fine")
        yield served
    finally:
        subprocess.run(["fsfreeze", "-u", served.root / "volumes/frozen/_data"], check=False, capture_output=True)
        served.clean_up()
    assert "Traceback" not in served.log(), served.log()


def test_writers_of_a_frozen_disk_wait_and_every_other_volume_goes_on(served: Served) -> None:
    frozen, fine = served.view / "frozen/_data", served.view / "fine/_data"
    places = [frozen / f"{number}" for number in range(12)]  # more than there are threads for one volume
    for place in places:
        place.mkdir()
    real = served.root / "volumes/frozen/_data"
    subprocess.run(["fsfreeze", "-f", real], check=True)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, place / "late"], stdout=subprocess.PIPE) for place in places
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"now\n"
        for number in range(50):
            (fine / f"{number}").write_text("fine")
            assert (fine / f"{number}").read_text() == "fine"
            assert '"frozen"' in (served.view / "frozen/meta").read_text()
        assert served.request("GET", "/volumes/fine")[0] == 200
        assert [writer.poll() for writer in writers] == [None] * 12
    finally:
        subprocess.run(["fsfreeze", "-u", real], check=True)
        ended = [writer.wait(30) for writer in writers]
        for writer in writers:
            writer.communicate()
    assert ended == [0] * 12
    assert [(real / place.name / "late").read_text() for place in places] == ["late"] * 12
