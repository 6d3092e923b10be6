"""A view of nothing but data for tests, in a process of its own, and what a client of it does and sees."""

import contextlib
import ctypes
import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NOBODY = 65534
libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class View:
    """A server in a process of its own. `a` and `b` are volumes' data through FUSE, `below` their real directories."""

    mount: Path
    below: dict[str, Path]
    process: subprocess.Popen[str]
    inside: str = "."

    @property
    def a(self) -> Path:
        return self.mount / "a" / self.inside

    @property
    def b(self) -> Path:
        return self.mount / "b" / self.inside

    def order(self, line: str) -> str:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextlib.contextmanager
def serving(base: Path, *options: str) -> Iterator[View]:
    mount, below = base / "mnt", {name: base / f"below-{name}" for name in "ab"}
    for path in (mount, *below.values()):
        path.mkdir()
    command = [sys.executable, str(HERE / "passthrough_server.py"), str(mount)]
    command += [f"{name}={path}" for name, path in below.items()] + list(options)
    environment = os.environ | {"PYTHONPATH": str(HERE.parent.parent)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd="/"
    )
    assert process.stdin and process.stdout
    try:
        assert process.stdout.readline() == "ready\n"
        yield View(mount, below, process)
        assert process.poll() is None, "the daemon died"
    finally:
        libc.umount2(os.fsencode(mount), 2)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()
    assert process.returncode == 0


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except OSError as failure:
        return errno.errorcode[failure.errno or 0]


def seen(path: Path | bytes) -> tuple[object, ...]:
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    size = 0 if kind == stat.S_IFDIR else status.st_size
    return (oct(status.st_mode), status.st_nlink, status.st_uid, status.st_gid, size, status.st_rdev)


def tree(root: Path) -> dict[bytes, tuple[object, bytes]]:
    found: dict[bytes, tuple[object, bytes]] = {}
    for where, directories, files in os.walk(os.fsencode(root)):
        for name in directories + files:
            path = os.path.join(where, name)
            text = os.readlink(path) if os.path.islink(path) else b""
            if os.path.isfile(path) and not text:
                with open(path, "rb") as file:
                    text = file.read()
            found[os.path.relpath(path, os.fsencode(root))] = (seen(path), text)
    return found


def put(path: Path, data: bytes, flags: int = os.O_CREAT | os.O_WRONLY, mode: int = 0o644) -> int:
    fd = os.open(path, flags, mode)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


def leads_to(path: Path, target: str) -> bool:
    return outcome(lambda: os.readlink(path)) == target


def reads(path: Path, text: str) -> bool:
    return outcome(path.read_text) == text


def renameat2(old: Path, new: Path, flags: int) -> None:
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), "")
