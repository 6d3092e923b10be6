"""A container whose root is an ordinary user of the host: volfs sets its mounts up, runc runs it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from tests.container.conftest import ID, volume, write_container
from tests.journeys.busybox_image import pack_image
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
REMAPPED = 100_000
SCRIPT = """
ls -ln /etc/hosts | head -c 28; echo; echo 10.0.0.1 other >> /etc/hosts; cat /etc/hosts
cat /part/file && echo new > /part/new
"""


@pytest.fixture
def bundle(open_place):
    """A bundle with a user namespace and a tree that belongs to its root."""
    bundle = open_place / "bundle"
    pack_image(open_place)
    shutil.copytree(open_place / "image", bundle / "rootfs", symlinks=True)
    subprocess.run(["chown", "-hR", f"{REMAPPED}:{REMAPPED}", bundle / "rootfs"], check=True)
    subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"] |= {"terminal": False, "args": ["/bin/sh", "-c", SCRIPT]}
    spec["linux"]["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": REMAPPED, "size": 65536}]
    spec["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    (bundle / "config.json").write_text(json.dumps(spec))
    yield bundle
    subprocess.run(["runc", "--root", open_place / "runc", "delete", "--force", "web"], capture_output=True)


def test_its_network_files_are_its_own_and_it_can_reach_a_part_of_a_volume(open_place, serve, bundle):
    served = serve(directory=open_place / "served")
    served.create("db")
    part = served.root / "volumes" / "db" / "_data" / "part"
    part.mkdir()
    (part / "file").write_text("in the part\n")
    os.chown(part, REMAPPED, REMAPPED)
    directory = write_container(
        served.root / "containers" / ID, volume("/part", subpath="part"), HostsPath=f"/old/containers/{ID}/hosts"
    )
    (directory / "hosts").write_text("127.0.0.1 localhost\n")
    for closed in (directory, directory.parent):
        closed.chmod(0o710)
    command = [sys.executable, "-m", "volfs", "--host", served.socket, "container", "mounts", ID, "--bundle", bundle]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(PROJECT)}, capture_output=True)
    command = ["runc", "--root", open_place / "runc", "run", "--bundle", bundle, "web"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
    listed, *rest = result.stdout.splitlines()
    assert listed.split() == ["-rw-r--r--", "1", "0", "0"], "it belongs to the container's root"
    assert rest == ["127.0.0.1 localhost", "10.0.0.1 other", "in the part"]
    assert (part / "new").stat().st_uid == REMAPPED
