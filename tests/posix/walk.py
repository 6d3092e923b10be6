"""Random but repeatable operations of two processes on one tree: walk.py DIRECTORY SEED STEPS

Both processes are children that do what they are told, one step at a time, and keep files open between steps, so that
what one does meets what the other holds. Prints every result and the tree at the end as JSON: run on two directories
with one seed, all of it must be alike.
"""

import json
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

from steps import outcome, renameat2, seen, tree

NAMES = ("a", "b", "c", "d/x", "d/y", "d/e/z", "d", "d/e", "f")
FLAGS = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_TRUNC)


class Walker:
    """One process: does a step, tells what came of it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: dict[int, int] = {}

    def step(self, what: str, arguments: list[Any]) -> object:
        return outcome(getattr(self, what), *arguments)

    def _path(self, name: str) -> Path:
        return self._root / name

    def create(self, slot: int, name: str, flags: int, mode: int) -> object:
        return self.open(slot, name, flags | os.O_CREAT, mode)

    def open(self, slot: int, name: str, flags: int, mode: int = 0) -> object:
        self.close(slot)
        self._open[slot] = os.open(self._path(name), flags, mode)
        return "opened"

    def close(self, slot: int) -> object:
        descriptor = self._open.pop(slot, None)
        return descriptor is not None and os.close(descriptor)

    def _held(self, slot: int) -> int:
        return self._open.get(slot, -1)

    def write(self, slot: int, offset: int, text: str) -> object:
        return os.pwrite(self._held(slot), text.encode(), offset)

    def append(self, slot: int, text: str) -> object:
        return os.write(self._held(slot), text.encode())

    def read(self, slot: int, offset: int, size: int) -> object:
        return os.pread(self._held(slot), size, offset)

    def cut(self, slot: int, size: int) -> object:
        return os.ftruncate(self._held(slot), size)

    def fstat(self, slot: int) -> object:
        status = os.fstat(self._held(slot))
        return oct(status.st_mode), status.st_nlink, status.st_size

    def truncate(self, name: str, size: int) -> object:
        return os.truncate(self._path(name), size)

    def mkdir(self, name: str, mode: int) -> object:
        return os.mkdir(self._path(name), mode)

    def rmdir(self, name: str) -> object:
        return os.rmdir(self._path(name))

    def unlink(self, name: str) -> object:
        return os.unlink(self._path(name))

    def rename(self, old: str, new: str, flags: int) -> object:
        return renameat2(self._path(old), self._path(new), flags)

    def link(self, old: str, new: str) -> object:
        return os.link(self._path(old), self._path(new), follow_symlinks=False)

    def symlink(self, old: str, new: str) -> object:
        return os.symlink(old, self._path(new))

    def chmod(self, name: str, mode: int) -> object:
        return os.chmod(self._path(name), mode)

    def utime(self, name: str, time: int) -> object:
        os.utime(self._path(name), (time, time))
        return os.stat(self._path(name)).st_mtime

    def look(self, name: str) -> object:
        path = self._path(name)
        status = seen(path)
        if path.is_symlink():
            return status, os.readlink(path)
        return status, sorted(os.listdir(path)) if path.is_dir() else path.read_bytes()

    def xattr(self, name: str, value: str) -> object:
        os.setxattr(self._path(name), "user.x", value.encode())
        return os.getxattr(self._path(name), "user.x")


def plan(chance: random.Random, step: int) -> tuple[str, list[Any]]:
    """One step: an operation and its arguments."""
    name, other, slot, offset = (
        chance.choice(NAMES),
        chance.choice(NAMES),
        chance.randrange(4),
        chance.randrange(12_000),
    )
    mode = chance.choice((0o644, 0o600, 0o755, 0o777))
    steps: list[tuple[int, str, list[Any]]] = [
        (12, "create", [slot, name, chance.choice(FLAGS) | chance.choice((0, os.O_EXCL)), mode]),
        (8, "open", [slot, name, chance.choice(FLAGS)]),
        (5, "close", [slot]),
        (10, "write", [slot, offset, f"<{step}>"]),
        (8, "append", [slot, f"[{step}]"]),
        (10, "read", [slot, offset // 2, 8000]),
        (3, "cut", [slot, offset]),
        (6, "fstat", [slot]),
        (3, "truncate", [name, offset]),
        (9, "mkdir", [name, mode]),
        (4, "rmdir", [name]),
        (6, "unlink", [name]),
        (10, "rename", [name, other, chance.choice((0, 0, 0, 1, 2))]),
        (5, "link", [name, other]),
        (3, "symlink", [other, name]),
        (3, "chmod", [name, mode | 0o700]),
        (3, "utime", [name, offset]),
        (12, "look", [name]),
        (3, "xattr", [name, str(step)]),
    ]
    _, what, arguments = chance.choices(steps, [weight for weight, _, _ in steps])[0]
    return what, arguments


def serve(root: Path, told: socket.socket) -> None:
    walker = Walker(root)
    with told.makefile("rw") as orders:
        for line in orders:
            orders.write(json.dumps(walker.step(*json.loads(line))) + "\n")
            orders.flush()


def main(directory: str, seed: str, steps: str) -> None:
    root = Path(directory)
    root.mkdir()
    chance = random.Random(int(seed))
    walkers, children = [], []
    for _ in range(2):
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            ours.close()
            for earlier in walkers:
                earlier.close()
            serve(root, theirs)
            os._exit(0)
        theirs.close()
        children.append(child)
        walkers.append(ours)
    files = [walker.makefile("rw") for walker in walkers]
    results = []
    for number in range(int(steps)):
        who, step = chance.randrange(2), plan(chance, number)
        files[who].write(json.dumps(step) + "\n")
        files[who].flush()
        results.append([number, who, *step, json.loads(files[who].readline())])
    results.append(["the tree", tree(root)])
    for file, walker in zip(files, walkers, strict=True):
        file.close()
        walker.close()
    for child in children:
        os.waitpid(child, 0)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    os.umask(0o022)
    main(*sys.argv[1:])
