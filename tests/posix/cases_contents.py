"""Cases of contents: appends, truncation, holes, memory, locks, and listing what changes."""

import fcntl
import mmap
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from steps import (
    Results,
    as_user,
    case,
    opened,
    outcome,
    put,
    seen,
)


@case
def appends_of_two_go_to_the_end(at: Path) -> Results:
    with (
        opened(at / "f", os.O_CREAT | os.O_APPEND | os.O_RDWR) as one,
        opened(at / "f", os.O_APPEND | os.O_WRONLY) as two,
    ):
        for number in range(20):
            os.write(one if number % 3 else two, f"{number};".encode())
        yield outcome(os.pread, one, 200, 0), outcome(os.lseek, one, 0, os.SEEK_CUR)
        yield outcome(os.pwrite, one, b"pwrite", 0), outcome(os.pread, one, 200, 0)  # pwrite(2), BUGS: it appends
        os.truncate(at / "f", 3)
        yield outcome(os.write, two, b"x"), (at / "f").read_bytes()
        fcntl.fcntl(two, fcntl.F_SETFL, 0)
        yield outcome(os.pwrite, two, b"Y", 0), (at / "f").read_bytes()
        fcntl.fcntl(two, fcntl.F_SETFL, os.O_APPEND)
        yield outcome(os.write, two, b"Z"), (at / "f").read_bytes()


@case
def many_processes_append(at: Path) -> Results:
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            with opened(at / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY) as log:
                for turn in range(50):
                    os.write(log, f"{number}-{turn:03}\n".encode())
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    lines = (at / "log").read_text().splitlines()
    yield len(lines), sorted(set(lines)) == sorted(lines)
    yield [
        [line for line in lines if line[0] == str(number)] == [f"{number}-{t:03}" for t in range(50)]
        for number in range(4)
    ]


@case
def only_one_creates_exclusively(at: Path) -> Results:
    ours, theirs = os.pipe()
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            won = 0
            for turn in range(30):
                won += outcome(put, at / f"{turn}", b"%d" % number, os.O_CREAT | os.O_EXCL | os.O_WRONLY) == "1"
            os.write(theirs, b"%d\n" % won)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    os.close(theirs)
    with open(ours) as said:
        yield sum(map(int, said.read().split())), len(os.listdir(at))


@case
def truncations(at: Path) -> Results:
    put(at / "f", bytes(range(256)) * 40)
    for size in (10_000, 4097, 4096, 5, 0, 1, 8192, 1 << 40):
        yield size, outcome(os.truncate, at / "f", size), os.stat(at / "f").st_size, outcome(_sum, at / "f", 20_000)
    yield outcome(os.truncate, at / "f", 1 << 62), outcome(os.truncate, at, 1), outcome(os.truncate, at / "none", 1)
    put(at / "f", b"data")
    with opened(at / "f", os.O_RDONLY) as reading:
        yield outcome(os.ftruncate, reading, 1)
    with opened(at / "f", os.O_WRONLY | os.O_TRUNC) as emptied, opened(at / "f") as other:
        yield os.fstat(emptied).st_size, outcome(os.write, other, b"abc"), outcome(os.ftruncate, emptied, 2)
        yield outcome(os.pread, other, 9, 0), outcome(os.read, emptied, 1)
    with opened(at / "f", os.O_RDONLY | os.O_TRUNC) as file:
        yield os.fstat(file).st_size


def _sum(path: Path, size: int) -> int:
    with open(path, "rb") as file:
        return sum(file.read(size))


@case
def sparse_files(at: Path) -> Results:
    with opened(at / "f", os.O_CREAT | os.O_RDWR) as file:
        os.pwrite(file, b"end", 50_000_000)
        yield os.fstat(file).st_size, os.fstat(file).st_blocks < 100, outcome(os.pread, file, 10, 40_000_000)
        os.pwrite(file, b"middle", 10_000_000)
        yield (
            outcome(os.pread, file, 8, 9_999_999),
            outcome(os.pread, file, 8, 49_999_999),
            outcome(os.pread, file, 8, 60_000_000),
        )
    shutil.copyfile(at / "f", at / "copy")
    yield _sum(at / "copy", 60_000_000) == _sum(at / "f", 60_000_000), os.stat(at / "copy").st_size


@case
def mapped_memory(at: Path) -> Results:
    put(at / "f", b"x" * 10_000)
    with opened(at / "f") as file, mmap.mmap(file, 10_000) as shared, mmap.mmap(file, 0, mmap.MAP_PRIVATE) as private:
        shared[100:104] = b"mmap"
        yield outcome(os.pread, file, 6, 99), private[99:105]
        os.pwrite(file, b"written", 5000)
        yield shared[4999:5008]
        private[0:4] = b"mine"
        shared.flush()
        yield (at / "f").read_bytes()[:4], _sum(at / "f", 20_000)
        os.unlink(at / "f")
        shared[0:3] = b"end"
        shared.flush()
        yield outcome(os.pread, file, 3, 0)
    put(at / "g", b"y" * 5000)
    with opened(at / "g", os.O_RDONLY) as file:
        yield outcome(mmap.mmap, file, 5000, mmap.MAP_SHARED, mmap.PROT_WRITE)
        with mmap.mmap(file, 5000, mmap.MAP_SHARED, mmap.PROT_READ) as shared:
            put(at / "g", b"Z" * 10)
            yield shared[:12]


@case
def locks(at: Path) -> Results:
    put(at / "f", b"x" * 100)

    def of_another(work: Callable[[int], object]) -> object:
        def go() -> object:
            with opened(at / "f") as file:
                return work(file)

        return as_user(0, 0, [], go)

    def tries(kind: int, length: int, start: int) -> Callable[[int], object]:
        return lambda file: fcntl.lockf(file, kind | fcntl.LOCK_NB, length, start)

    with opened(at / "f") as file, opened(at / "f") as second:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)
        fcntl.lockf(file, fcntl.LOCK_SH, 10, 50)
        for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX):
            for start in (0, 9, 10, 50, 60):
                yield kind, start, of_another(tries(kind, 1, start))
        yield of_another(lambda other: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB))
        fcntl.flock(file, fcntl.LOCK_SH)
        yield outcome(fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB), outcome(fcntl.flock, second, fcntl.LOCK_SH)
        yield of_another(lambda other: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB))
    yield (
        of_another(tries(fcntl.LOCK_EX, 100, 0)),
        of_another(lambda other: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)),
    )


@case
def a_program_that_runs_is_not_written_to(at: Path) -> Results:
    shutil.copy("/bin/sleep", at / "sleep")
    with subprocess.Popen([at / "sleep", "60"]) as process:
        while os.readlink(f"/proc/{process.pid}/exe") != f"{at.resolve()}/sleep":
            time.sleep(0.01)
        yield outcome(put, at / "sleep", b"", os.O_WRONLY), outcome(put, at / "sleep", b"", os.O_WRONLY | os.O_TRUNC)
        yield (
            outcome(os.truncate, at / "sleep", 1),
            outcome(os.rename, at / "sleep", at / "moved"),
            seen(at / "moved")[0],
        )
        process.kill()
    with opened(at / "moved", os.O_WRONLY):
        yield outcome(subprocess.run, [str(at / "moved"), "0"])
    yield outcome(lambda: subprocess.run([str(at / "moved"), "0"], check=False).returncode)


@case
def directories_that_change_while_they_are_listed(at: Path) -> Results:
    for number in range(3000):
        os.close(os.open(at / f"{number:05}", os.O_CREAT))
    met: list[str] = []
    with os.scandir(at) as listing:
        for position, entry in enumerate(listing):
            met.append(entry.name)
            if entry.name.endswith(("3", "6", "9")):
                os.unlink(at / entry.name)
            if position % 5 == 0:
                os.close(os.open(at / f"new-{position}", os.O_CREAT))
    old = [name for name in met if not name.startswith("new")]
    yield len(old), len(set(met)) == len(met), len([name for name in os.listdir(at) if not name.startswith("new")])
    for name in os.listdir(at):
        os.unlink(at / name)
    yield os.listdir(at), outcome(os.rmdir, at)


@case
def kinds_of_files(at: Path) -> Results:
    yield outcome(os.mkfifo, at / "fifo", 0o640), outcome(os.mknod, at / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    yield outcome(os.mknod, at / "file", stat.S_IFREG | 0o600), outcome(os.mknod, at / "socket", stat.S_IFSOCK | 0o600)
    yield [seen(at / name) for name in sorted(os.listdir(at))], os.stat(at / "null").st_rdev
    yield outcome(os.open, at / "socket", os.O_RDONLY), outcome(os.open, at / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    reader = os.open(at / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    yield outcome(put, at / "fifo", b"through"), outcome(os.read, reader, 100)
    os.close(reader)
    yield outcome(os.unlink, at / "fifo"), outcome(os.unlink, at)
