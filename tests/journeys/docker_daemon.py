"""A dockerd of the tests' own: its state, its sockets and its image lie in one directory, and go with it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.journeys.busybox_image import pack_image
from volfs.mount.mountinfo import under
from volfs.mount.syscalls import detach, read_mountinfo

IMAGE = "volfs-test-busybox"


class Docker:
    """A dockerd of its own with Docker's client; calling it runs a command and returns what it says."""

    def __init__(self, place):
        self.place, self.host = place, f"unix://{place}/docker.sock"
        self._log = open(place / "log", "wb")  # noqa: SIM115 (closed in `stop`)
        self._start({})

    def _start(self, settings):
        command = ["dockerd", "--data-root", self.place / "data", "--exec-root", self.place / "exec", "-H", self.host]
        command += ["--pidfile", self.place / "pid", "--iptables=false", "--bridge=none"]
        command += ["--config-file", self.place / "settings"]
        (self.place / "settings").write_text(json.dumps(settings))
        self.process = subprocess.Popen([str(word) for word in command], stdout=self._log, stderr=self._log)

    def restart(self, end=signal.SIGTERM, **settings):
        """Ends the daemon and starts the next one with these settings; containers are what Docker makes of that."""
        containerd = int((self.place / "exec" / "containerd" / "containerd.pid").read_text())
        self.process.send_signal(end)
        self.process.wait(60)
        while Path(f"/proc/{containerd}").exists():  # a dockerd that was killed takes it along, a moment later
            time.sleep(0.01)
        self._start(settings)
        self.wait()

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
        self._end_what_is_left()
        self._log.close()
        for mount in reversed(list(under(read_mountinfo(), str(self.place)))):
            detach(mount.mountpoint)
        shutil.rmtree(self.place, ignore_errors=True)

    def _end_what_is_left(self):
        """Where a dockerd did not come up again, its containers run on: each below a process that names our place."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.place).encode() in (process / "cmdline").read_bytes():
                    children = (process / "task" / process.name / "children").read_text().split()
                    for pid in (*children, process.name):
                        os.kill(int(pid), signal.SIGKILL)
