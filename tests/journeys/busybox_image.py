"""The image that the containers of the tests are made of: a static busybox and nothing else."""

import shutil
import subprocess
from pathlib import Path

APPLETS = ("sh", "date", "cat", "ls", "sleep", "head", "mount")


def pack_image(place: Path) -> Path:
    """A tar of the image's file tree, in `place`; Docker and Podman import it."""
    tree, archive = place / "image", place / "image.tar"
    (tree / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), tree / "bin" / "busybox")
    for applet in APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")
    subprocess.run(["tar", "-C", tree, "-cf", archive, "."], check=True)
    return archive
