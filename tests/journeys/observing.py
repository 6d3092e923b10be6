"""A `volfs serve --observe` for tests, and a dockerd's files as they are at a moment."""

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys

from tests.conftest import PROJECT, Served, until


class Observing(Served):
    """A running `volfs serve --observe ROOT`. `tracer` is a command to run it under."""

    def __init__(self, directory, docker_root, *arguments, tracer=(), **options):
        self.docker_root, self._tracer = docker_root, tracer
        super().__init__(directory, *arguments, **options)

    def spawn(self):
        self.root = self.run_dir / "observed"
        command = [*self._tracer, sys.executable, "-m", "volfs", "serve", "--observe", str(self.docker_root)]
        command += ["--view", str(self.view), "--run-dir", str(self.run_dir), *self._arguments]
        with self._log.open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
            return subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def data(self, name):
        return self.view / name / "_data"

    def meta(self, name):
        """What `meta` says; None where there is no such volume, or where it goes while it is read."""
        try:
            return json.loads((self.view / name / "meta").read_text())
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            return None

    def state(self, name):
        return (self.meta(name) or {"Status": {"State": None}})["Status"]["State"]

    def users(self, name):
        """The containers that use a volume: {name: state}."""
        return {one["Name"]: one["State"] for one in self.meta(name)["UsedBy"] if one["Kind"] == "container"}

    def shows(self, *names):
        """Waits until these are the volumes."""
        until(lambda: sorted(os.listdir(self.view)) == sorted(names))


def everything_in(root):
    """The paths of all files below a directory, and of itself."""
    return [str(root), *(os.path.join(at, name) for at, below, files in os.walk(root) for name in (*below, *files))]


def never_read(paths):
    """Has them look as if they had never been read: whoever reads one leaves a trace then, on every usual mount."""
    for path in paths:
        os.utime(path, ns=(1, os.lstat(path).st_mtime_ns), follow_symlinks=False)


def traces(paths):
    """All that stat(2) says of them, access times included; nothing is opened."""
    return {path: tuple(os.lstat(path))[:7] + _times(path) for path in paths}


def _times(path):
    found = os.lstat(path)
    return found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns


def content(root, but=()):
    """Names, kinds, modes, owners and contents below a directory, by relative path."""
    return {
        os.path.relpath(path, root): _said(path) for path in everything_in(root) if os.path.basename(path) not in but
    }


def _said(path):
    found = os.lstat(path)
    said = (stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
    if not stat.S_ISREG(found.st_mode):
        return said
    with open(os.open(path, os.O_RDONLY | os.O_NOATIME), "rb") as file:
        return (*said, hashlib.file_digest(file, "sha256").hexdigest())
