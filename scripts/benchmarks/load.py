"""What a client does in a directory, timed: load.py PART DIRECTORY BELOW SIZE, prints operations a second as JSON.

PART is one of `PARTS`. `below` is where the same directory is without the file system that is measured: what must not
be in the kernel's cache is made there, under names that were never asked for. One client, one process.
"""

# ruff: noqa: ARG001  each part is given all there is

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable

Part = Callable[[str, str, int], tuple[int, float]]
BLOCK = 1 << 20


def _files(below: str, count: int, size: int = 4096) -> list[str]:
    names = [f"{time.monotonic_ns():x}-{number}" for number in range(count)]
    for name in names:
        with open(f"{below}/{name}", "wb", buffering=0) as file:
            file.write(b"x" * size)
    return names


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _each(names: list[str], work: Callable[[str], object]) -> tuple[int, float]:
    def go() -> None:
        for name in names:
            work(name)

    return len(names), _timed(go)


def _read(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, 8192)
    os.close(fd)


def _make(path: str) -> None:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.write(fd, b"y" * 1000)
    os.close(fd)


def stat_first(here: str, below: str, size: int) -> tuple[int, float]:
    return _each([f"{here}/{name}" for name in _files(below, size, 0)], os.stat)


def stat_again(here: str, below: str, size: int) -> tuple[int, float]:
    names = [f"{here}/{name}" for name in _files(below, 50, 0)]
    _each(names, os.stat)
    return _each(names * (size // 10), os.stat)


def read_first(here: str, below: str, size: int) -> tuple[int, float]:
    return _each([f"{here}/{name}" for name in _files(below, size)], _read)


def read_again(here: str, below: str, size: int) -> tuple[int, float]:
    names = [f"{here}/{name}" for name in _files(below, size // 4)]
    _each(names, _read)
    return _each(names * 4, _read)


def create(here: str, below: str, size: int) -> tuple[int, float]:
    return _each([f"{here}/c{time.monotonic_ns():x}-{number}" for number in range(size)], _make)


def rename(here: str, below: str, size: int) -> tuple[int, float]:
    names = _files(below, size, 0)
    return _each(names, lambda name: os.rename(f"{here}/{name}", f"{here}/r{name}"))


def unlink(here: str, below: str, size: int) -> tuple[int, float]:
    return _each([f"{here}/{name}" for name in _files(below, size, 0)], os.unlink)


def list_long(here: str, below: str, size: int) -> tuple[int, float]:
    names = _files(below, size, 0)
    return len(names), _timed(lambda: subprocess.run(["ls", "-l", here], check=True, stdout=subprocess.DEVNULL))


def write_big(here: str, below: str, size: int) -> tuple[int, float]:
    count, block = size // 8, b"z" * BLOCK
    with open(f"{here}/big", "wb", buffering=0) as file:
        return count, _timed(lambda: [file.write(block) for _ in range(count)])


def read_big(here: str, below: str, size: int) -> tuple[int, float]:
    count = size // 8
    with open(f"{below}/big", "wb") as file:
        file.write(os.urandom(BLOCK) * count)
    with open(f"{here}/big", "rb", buffering=0) as file:
        return count, _timed(lambda: [file.read(BLOCK) for _ in range(count)])


def read_random(here: str, below: str, size: int) -> tuple[int, float]:
    pages = size * 2
    with open(f"{below}/pages", "wb") as file:
        file.write(b"p" * 4096 * pages)
    fd = os.open(f"{here}/pages", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    order = [(number * 7919) % pages for number in range(size)]
    try:
        return len(order), _timed(lambda: [os.pread(fd, 4096, page * 4096) for page in order])
    finally:
        os.close(fd)


def copy_tree(here: str, below: str, size: int) -> tuple[int, float]:
    """As `git clone` leaves one: small files in directories, copied by cp."""
    for number in range(size // 20):
        os.makedirs(f"{below}/tree/{number}")
        _files(f"{below}/tree/{number}", 20, 2000)
    copy = ["cp", "-a", f"{here}/tree", f"{here}/copy"]
    return size, _timed(lambda: subprocess.run(copy, check=True))


def remove_tree(here: str, below: str, size: int) -> tuple[int, float]:
    for number in range(size // 20):
        os.makedirs(f"{below}/tree/{number}")
        _files(f"{below}/tree/{number}", 20, 0)
    return size, _timed(lambda: shutil.rmtree(f"{here}/tree"))


def sqlite_insert(here: str, below: str, size: int) -> tuple[int, float]:
    """Each one committed, as durable as sqlite makes it."""
    count = max(20, size // 10)
    with sqlite3.connect(f"{here}/database") as database:
        database.execute("create table t (a integer primary key, b text)")

        def insert() -> None:
            for number in range(count):
                database.execute("insert into t values (?, ?)", (number, "x" * 100))
                database.commit()

        return count, _timed(insert)


PARTS: dict[str, Part] = {
    "stat_first": stat_first,
    "stat_again": stat_again,
    "read_first": read_first,
    "read_again": read_again,
    "create": create,
    "rename": rename,
    "unlink": unlink,
    "list_long": list_long,
    "write_big": write_big,
    "read_big": read_big,
    "read_random": read_random,
    "copy_tree": copy_tree,
    "remove_tree": remove_tree,
    "sqlite_insert": sqlite_insert,
}
CACHED = ("stat_again", "read_again", "list_long")
"""Where a cache can help who serves it."""
BIG = ("write_big", "read_big", "copy_tree", "remove_tree", "sqlite_insert")
"""Long enough with any size."""
UNITS = {"write_big": "MB/s", "read_big": "MB/s", "list_long": "files/s", "copy_tree": "files/s"}


if __name__ == "__main__":
    part, here, below, size = sys.argv[1:]
    count, seconds = PARTS[part](here, below, int(size))
    json.dump({"part": part, "operations": count, "seconds": seconds, "rate": count / seconds}, sys.stdout)
