"""A local driver on a real root; a test that leaves a mount, a loop device or a descriptor fails or is cleaned up."""

import os
import subprocess

import pytest

from volfs.driver.local import LocalDriver
from volfs.mount import syscalls
from volfs.mount.mountinfo import under


@pytest.fixture
def root(tmp_path):
    yield tmp_path / "root"
    detach_below(tmp_path)


@pytest.fixture
def driver(root):
    made = LocalDriver(root)
    made.prepare()
    before = sorted(os.listdir("/proc/self/fd"))
    yield made
    assert sorted(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"


@pytest.fixture
def ext4(tmp_path):
    """A loop device with an empty ext4, freed afterwards."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    device = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    yield device.stdout.strip()
    detach_below(tmp_path)
    subprocess.run(["losetup", "--detach", device.stdout.strip()], check=True)


def detach_below(directory):
    for left in reversed(under(syscalls.read_mountinfo(), str(directory))):
        syscalls.detach(left.mountpoint)
