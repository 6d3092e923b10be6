"""A volume's own name, or what is in its directory, becomes a symlink out at any moment: nothing outside is touched.

Nobody in a container can reach these names; somebody with a bind of ROOT could.
"""

import contextlib
import ctypes
import os
import threading

import pytest

from volfs.driver.importing import Part, workplace
from volfs.driver.local import Description
from volfs.driver.metas import Wanted, write_metas
from volfs.errors import VolfsError

EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
ROUNDS = 150
_libc = ctypes.CDLL(None, use_errno=True)


def exchange(one, other):
    _libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), EXCHANGE)


@pytest.fixture
def swapping(root):
    """Exchanges two paths from another thread until the block ends."""

    @contextlib.contextmanager
    def swap(one, other):
        over = threading.Event()

        def go():
            while not over.is_set():
                exchange(one, other)

        thread = threading.Thread(target=go)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    return swap


@pytest.fixture
def outside(root, tmp_path):
    """A directory that looks like a volume and is none; what is in it must stay, and nothing may come."""
    place = tmp_path / "outside"
    (place / "_data").mkdir(parents=True)
    (place / "_data" / "file").write_text("x" * 100_000)
    (place / "meta.json").write_text('{"Driver":"local","CreatedAt":"2000-01-01T00:00:00Z","Labels":{"of":"outside"}}')
    before = listing(place)
    yield place
    assert listing(place) == before


def listing(place):
    return [
        (at, sorted(names), [os.stat(f"{at}/{one}").st_size for one in files]) for at, names, files in os.walk(place)
    ]


def tried(deed, *arguments):
    """What it answers; None where it refuses, which it may."""
    with contextlib.suppress(VolfsError, OSError):
        return deed(*arguments)
    return None


def test_a_volume_whose_name_becomes_a_symlink_is_refused_or_itself(driver, root, outside, swapping):
    volumes = driver.volumes
    driver.create("db", Description(1, labels={"of": "inside"}))
    (volumes / ".link").symlink_to(outside)
    seen = {"described": 0, "refused": 0}
    with swapping(volumes / "db", volumes / ".link"):
        for _ in range(ROUNDS):
            description = tried(driver.describe, "db")
            seen["refused" if description is None else "described"] += 1
            assert description is None or description.labels == {"of": "inside"}
            total = tried(driver.measure, "db")
            assert total is None or total.apparent == 0
            tried(driver.mount, "db", None)
            tried(driver.mount, "db", {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"})
            tried(driver.unmount, "db")
            tried(driver.release, "db")
            write_metas(volumes, [Wanted("db", {"of": "adopting"})])
            with contextlib.suppress(FileExistsError):
                tried(driver.create, "db", Description(1))
    assert all(seen.values()), seen
    tried(driver.unmount, "db")


def test_a_removal_takes_the_symlink_or_the_volume_and_nothing_behind_it(driver, outside, swapping):
    taken = 0
    for number in range(40):
        name, link = f"v{number}", driver.volumes / f".link{number}"
        driver.create(name, Description(1))
        link.symlink_to(outside)
        with swapping(driver.volumes / name, link):
            taken += tried(driver.remove, name, number) is not None
        for work in driver.scan().work:
            driver.sweep(work)
    assert taken, "none was removed"


def test_data_that_becomes_a_symlink_is_not_mounted_on_nor_measured(driver, outside, swapping):
    driver.create("db", Description(1))
    volume = driver.volumes / "db"
    (volume / "link").symlink_to(outside / "_data")
    with swapping(volume / "_data", volume / "link"):
        for _ in range(ROUNDS):
            total = tried(driver.measure, "db")
            assert total is None or total.apparent == 0
            tried(driver.mount, "db", {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"})
            tried(driver.unmount, "db")


def test_a_part_of_an_import_that_becomes_a_symlink_is_no_volume(driver, outside, swapping):
    for number in range(20):
        with workplace(driver.volumes) as work:
            data = work.new_part("0")
            (work.path / "link").symlink_to(outside)
            part = Part("0", data.parent.stat().st_ino, f"v{number}", Description(1))
            with swapping(work.path / "0", work.path / "link"):
                tried(driver.show, work.name, [part])
        found = tried(driver.describe, f"v{number}")
        assert found is None or found.created == 1
