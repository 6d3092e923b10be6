"""A Podman of the tests' own: its storage, its settings and its image lie in one directory, and go with it.

Podman has no daemon: every command reads the settings, where volfs is one of `[engine.volume_plugins]`.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.journeys.busybox_image import pack_image
from volfs.mount.mountinfo import under
from volfs.mount.syscalls import detach, read_mountinfo

IMAGE = "volfs-test-busybox"
# Limits that every host grants, cgroups without systemd, and locks that no other Podman shares.
SETTINGS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
[engine.volume_plugins]
volfs = "{socket}"
"""


class Podman:
    """Calling it runs a command of Podman and returns what it says. `plugin_socket` is where it looks for volfs."""

    def __init__(self, place: Path) -> None:
        self.place, self.plugin_socket = place, place / "volfs.sock"
        self._settings, self._cgroup = place / "containers.conf", f"volfs-test-{os.getpid()}"
        self._settings.write_text(SETTINGS.format(socket=self.plugin_socket))

    def try_(self, *words: object) -> "subprocess.CompletedProcess[str]":
        """Runs a command that may fail."""
        command = ["podman", "--root", self.place / "root", "--runroot", self.place / "run"]
        command += ["--tmpdir", self.place / "tmp", "--storage-driver", "vfs", *words]
        environment = {**os.environ, "CONTAINERS_CONF": str(self._settings)}
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=120, env=environment
        )

    def __call__(self, *words: object) -> str:
        result = self.try_(*words)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def make_image(self) -> None:
        """Imports the image."""
        self("import", pack_image(self.place), IMAGE)

    def run(self, *words: object) -> str:
        """`podman run`, in cgroups that can be taken away again."""
        return self("run", "--network", "none", "--cgroup-parent", self._cgroup, *words)

    def remove_containers(self) -> None:
        """Ends and removes what still runs."""
        names = self("ps", "-aq").split()
        if names:
            self("rm", "-f", "-t", "0", *names)

    def stop(self) -> None:
        """Takes everything away, whatever the tests left."""
        try:
            self.remove_containers()
        finally:
            for mount in reversed(list(under(read_mountinfo(), str(self.place)))):
                detach(mount.mountpoint)
            shutil.rmtree(self.place, ignore_errors=True)
            for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
                for group, _, _ in os.walk(hierarchy / self._cgroup, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(group)
