"""A dockerd of the tests' own: its state, its sockets and its image lie in one directory, and go with it."""

import shutil
import subprocess
import time

from tests.journeys.busybox_image import pack_image
from volfs.mount.mountinfo import under
from volfs.mount.syscalls import detach, read_mountinfo

IMAGE = "volfs-test-busybox"


class Docker:
    """A dockerd of its own with Docker's client; calling it runs a command and returns what it says."""

    def __init__(self, place):
        self.place, self.host = place, f"unix://{place}/docker.sock"
        command = ["dockerd", "--data-root", place / "data", "--exec-root", place / "exec", "-H", self.host]
        command += ["--pidfile", place / "pid", "--iptables=false", "--bridge=none", "--config-file", place / "none"]
        (place / "none").write_text("{}")
        self._log = open(place / "log", "wb")  # noqa: SIM115 (closed in `stop`)
        self.process = subprocess.Popen([str(word) for word in command], stdout=self._log, stderr=self._log)

    def __call__(self, *words, host=None, check=True):
        command = ["docker", "-H", host or self.host, *map(str, words)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0 or not check, result.stderr
        return result.stdout.strip()

    def wait(self):
        deadline = time.monotonic() + 120
        while subprocess.run(["docker", "-H", self.host, "version"], capture_output=True).returncode:
            assert self.process.poll() is None, (self.place / "log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def make_image(self):
        self("import", pack_image(self.place), IMAGE)

    def run(self, *words):
        return self("run", "--network", "none", *words)

    def stop(self):
        if self.process.poll() is None:
            names = self("ps", "-aq", check=False).split()
            if names:
                self("rm", "-f", *names, check=False)
            self.process.terminate()
            self.process.wait(60)
        self._log.close()
        for mount in reversed(list(under(read_mountinfo(), str(self.place)))):
            detach(mount.mountpoint)
        shutil.rmtree(self.place, ignore_errors=True)
