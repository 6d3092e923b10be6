"""What POSIX and Linux say of files, as cases: each takes an empty directory and yields results, step by step.

Run on a plain directory the results are the oracle: cases.py DIRECTORY prints them as JSON. Nothing here says what is
right, only what is asked. Root runs it; other users come in as processes of theirs.
"""

import fcntl
import functools
import json
import mmap
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from steps import ACCESS, DEFAULT, NOBODY, OTHER, acl, as_user, checked, libc, opened, outcome, put, renameat2, seen, tree

Results = Iterator[object]
CASES: dict[str, Callable[[Path], Results]] = {}


def case(function: Callable[[Path], Results]) -> Callable[[Path], Results]:
    CASES[function.__name__] = function
    return function


# names


@case
def renames_replace_and_refuse(at: Path) -> Results:
    for name in "abc":
        put(at / name, name.encode())
    os.makedirs(at / "full/inner")
    os.mkdir(at / "empty")
    for old, new in (
        ("a", "a"), ("a", "b"), ("a", "x"), ("b", "empty"), ("empty", "b"), ("empty", "full"), ("full", "empty"),
        ("empty", "empty/inner/below"), ("empty", "empty"), ("b", "empty/inner/b"), ("c", "empty/"), ("c", "new/"),
        ("empty/inner", "moved"), ("moved/", "moved2/"), (".", "x"), ("moved2/..", "y"), ("c", "c/d"),
    ):  # fmt: skip
        yield old, new, outcome(os.rename, f"{at}/{old}", f"{at}/{new}")
    yield tree(at)


@case
def renames_with_flags(at: Path) -> Results:
    put(at / "a", b"a")
    os.mkdir(at / "d")
    put(at / "d/inner", b"i")
    for old, new, flags in (
        ("a", "d", 1), ("a", "new", 1), ("new", "d", 2), ("new", "none", 2), ("d", "new/inside", 2),
        ("d", "new", 3), ("d", "new", 4), ("d", "new", 8),
    ):  # fmt: skip
        yield old, new, flags, outcome(renameat2, at / old, at / new, flags)
    yield tree(at)


@case
def a_renamed_open_file_and_directory_are_still_the_same(at: Path) -> Results:
    os.makedirs(at / "one/two")
    put(at / "one/two/file", b"data")
    with opened(at / "one/two/file") as file, opened(at / "one/two", os.O_RDONLY) as directory:
        os.rename(at / "one/two", at / "two")
        os.rename(at / "two/file", at / "file")
        os.write(file, b"DATA!")
        yield outcome(os.listdir, directory), outcome(os.read, file, 1), (at / "file").read_bytes()
        put(at / "two/again", b"x")
        yield outcome(os.listdir, directory), os.path.sameopenfile(file, os.open(at / "file", os.O_RDONLY))
        os.rmdir(at / "one")
        yield outcome(os.open, "again", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory) not in ("ENOENT", "ESTALE")
        os.unlink(at / "two/again")
        os.rmdir(at / "two")
        yield outcome(os.listdir, directory), outcome(os.mkdir, "new", dir_fd=directory), os.fstat(directory).st_nlink


@case
def link_counts(at: Path) -> Results:
    put(at / "f", b"one")
    for number in range(20):
        os.link(at / "f", at / f"l{number}")
    yield seen(at / "f"), seen(at / "l7"), os.path.samefile(at / "f", at / "l19")
    for number in range(0, 20, 2):
        os.unlink(at / f"l{number}")
    yield seen(at / "f")
    os.rename(at / "l1", at / "l3")  # names of one file: rename(2) does nothing
    yield outcome(os.stat, at / "missing"), sorted(os.listdir(at)), seen(at / "l3")
    os.mkdir(at / "d")
    yield os.stat(at / "d").st_nlink
    for name in "xyz":
        os.mkdir(at / "d" / name)
    yield os.stat(at / "d").st_nlink
    os.rename(at / "d/x", at / "x")
    yield os.stat(at / "d").st_nlink, os.stat(at).st_nlink
    put(at / "replaced", b"")
    with opened(at / "replaced") as replaced:
        os.rename(at / "f", at / "replaced")
        yield os.fstat(replaced).st_nlink, seen(at / "replaced")


@case
def unlinked_while_open(at: Path) -> Results:
    put(at / "f", b"0123456789")
    with opened(at / "f") as file, opened(at / "f", os.O_RDONLY) as other:
        os.unlink(at / "f")
        yield os.fstat(file).st_nlink, outcome(os.stat, at / "f"), outcome(os.read, other, 100)
        yield outcome(os.pwrite, file, b"more", 10), outcome(os.ftruncate, file, 12), outcome(os.pread, other, 100, 0)
        yield outcome(os.fchmod, file, 0o600), outcome(os.fchown, file, 5, 6), outcome(os.utime, file, (1, 2))
        status = os.fstat(file)
        yield oct(status.st_mode), status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns
        put(at / "f", b"another")
        yield outcome(os.pread, file, 100, 0), (at / "f").read_bytes(), os.fstat(file).st_ino != os.stat(at / "f").st_ino
        yield outcome(os.fsync, file), outcome(Path(f"/proc/self/fd/{file}").read_bytes)
    with opened(at / "f") as file, opened(at, os.O_RDONLY) as here:
        by_descriptor = functools.partial(os.link, f"/proc/self/fd/{file}", dst_dir_fd=here, follow_symlinks=True)
        yield outcome(by_descriptor, "linked"), seen(at / "f")
        os.unlink(at / "f")
        os.unlink(at / "linked")
        yield outcome(by_descriptor, "back")
    yield tree(at)


@case
def long_names_and_paths(at: Path) -> Results:
    for length in (254, 255, 256, 1024, 1025, 4096):
        name = f"{at}/{'n' * length}"
        for call in (os.stat, os.mkdir, os.rmdir, os.unlink, os.listdir):
            yield length, call.__name__, outcome(call, name)
        yield outcome(put, name, b""), outcome(os.rename, name, f"{at}/x"), outcome(os.symlink, "t", name)
        yield outcome(os.link, f"{at}/x", name), outcome(os.readlink, name)
    here = os.open(at, os.O_RDONLY)
    for _ in range(40):  # 40 × 200 bytes: a path longer than PATH_MAX, made step by step
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    yield outcome(os.stat, f"{at}/" + "/".join(["d" * 200] * 40)), sum(1 for _ in os.fwalk(f"{at}/{'d' * 200}"))
    shutil.rmtree(at / ("d" * 200))
    for length in (4094, 4095, 4096):
        yield outcome(os.symlink, "t" * length, at / f"s{length}")
        yield outcome(lambda length=length: len(os.readlink(at / f"s{length}")))


@case
def names_of_any_bytes(at: Path) -> Results:
    for name in (b"\xff\xfe", b"new\nline", b" ", b"*", "ü€😀".encode(), b"\x01\x7f", b"-rf", b"..."):
        path = os.path.join(os.fsencode(at), name)
        yield outcome(put, path, name), outcome(os.stat, path) != "ENOENT"
    yield sorted(map(repr, os.listdir(os.fsencode(at))))


@case
def symlinks_in_circles(at: Path) -> Results:
    os.symlink("b", at / "a")
    os.symlink("a", at / "b")
    os.symlink("self/x", at / "self")
    for number in range(45):
        os.symlink(f"chain{number + 1}" if number < 44 else "end", at / f"chain{number}")
    put(at / "end", b"end")
    for name in ("a", "self", "chain0", "chain3", "chain4", "chain5", "chain10"):
        yield name, outcome(lambda name=name: os.stat(at / name).st_size), outcome(put, at / name, b"x") == "ELOOP"
    yield outcome(os.open, at / "a", os.O_RDONLY | os.O_NOFOLLOW), outcome(os.open, at / "a", os.O_CREAT | os.O_EXCL)
    yield outcome(os.mkdir, at / "a"), outcome(os.rmdir, at / "a"), outcome(os.listdir, at / "a/")
    os.symlink("nowhere", at / "dangling")
    yield outcome(put, at / "dangling", b"made"), sorted(os.listdir(at))[-3:]
    yield outcome(os.chmod, at / "a", 0o600), outcome(os.lchown, at / "a", 3, 4), seen(at / "a")


@case
def errors_of_paths(at: Path) -> Results:
    put(at / "f", b"")
    os.mkdir(at / "d")
    for name in ("f/x", "f/", "d/x/y", "none", "none/", "", "d/.", "d/..", "f/."):
        path = f"{at}/{name}" if name else ""
        for call in (os.stat, os.mkdir, os.rmdir, os.unlink, os.listdir, os.readlink):
            yield name, call.__name__, str(outcome(call, path))[:12]
        for flags in (os.O_RDONLY | os.O_DIRECTORY, os.O_WRONLY, os.O_CREAT | os.O_EXCL | os.O_WRONLY):
            yield name, flags, outcome(put, path, b"", flags)
        os.makedirs(at / "d", exist_ok=True)
        put(at / "f", b"")


# contents


@case
def appends_of_two_go_to_the_end(at: Path) -> Results:
    with opened(at / "f", os.O_CREAT | os.O_APPEND | os.O_RDWR) as one, opened(at / "f", os.O_APPEND | os.O_WRONLY) as two:
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
    yield [[line for line in lines if line[0] == str(number)] == [f"{number}-{t:03}" for t in range(50)] for number in range(4)]


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
        yield outcome(os.pread, file, 8, 9_999_999), outcome(os.pread, file, 8, 49_999_999), outcome(os.pread, file, 8, 60_000_000)
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
    yield of_another(tries(fcntl.LOCK_EX, 100, 0)), of_another(lambda other: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB))


@case
def a_program_that_runs_is_not_written_to(at: Path) -> Results:
    shutil.copy("/bin/sleep", at / "sleep")
    with subprocess.Popen([at / "sleep", "60"]) as process:
        while os.readlink(f"/proc/{process.pid}/exe") != f"{at.resolve()}/sleep":
            time.sleep(0.01)
        yield outcome(put, at / "sleep", b"", os.O_WRONLY), outcome(put, at / "sleep", b"", os.O_WRONLY | os.O_TRUNC)
        yield outcome(os.truncate, at / "sleep", 1), outcome(os.rename, at / "sleep", at / "moved"), seen(at / "moved")[0]
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


# who may


def _by_users(work: Callable[[], object]) -> list[object]:
    return [as_user(*who, work) for who in ((NOBODY, NOBODY, []), (OTHER, OTHER, [7]), (OTHER, 7, []), (OTHER, OTHER, []))]


@case
def modes_say_who_may(at: Path) -> Results:
    for mode in (0o600, 0o640, 0o604, 0o060, 0o006, 0o444, 0o200, 0o111, 0o077):
        path = at / f"{mode:o}"
        put(path, b"data")
        os.chown(path, NOBODY, 7)
        os.chmod(path, mode)
        yield oct(mode), _by_users(path.read_bytes), _by_users(lambda path=path: put(path, b"x", os.O_WRONLY))
        yield _by_users(lambda path=path: [os.access(path, what) for what in (os.R_OK, os.W_OK, os.X_OK)])
        yield _by_users(lambda path=path: os.truncate(path, 4))
        directory = at / f"d{mode:o}"
        os.mkdir(directory)
        put(directory / "inner", b"")
        os.chown(directory, NOBODY, 7)
        os.chmod(directory, mode)
        yield _by_users(lambda directory=directory: os.listdir(directory))
        yield _by_users(lambda directory=directory: (directory / "inner").read_bytes())
        yield _by_users(lambda directory=directory: os.mkdir(directory / f"new-{os.getuid()}-{os.getgid()}"))
    yield tree(at)


@case
def owners_only(at: Path) -> Results:
    put(at / "f", b"")
    os.chown(at / "f", NOBODY, NOBODY)
    os.chmod(at / "f", 0o666)
    yield _by_users(lambda: os.chmod(at / "f", 0o6777)), seen(at / "f")
    yield _by_users(lambda: os.chown(at / "f", NOBODY, 7)), _by_users(lambda: os.chown(at / "f", OTHER, -1)), seen(at / "f")
    yield _by_users(lambda: os.utime(at / "f", (1, 1))), _by_users(lambda: os.utime(at / "f"))
    yield as_user(NOBODY, NOBODY, [7], lambda: os.chown(at / "f", -1, 7)), seen(at / "f")
    yield _by_users(lambda: os.setxattr(at / "f", "user.a", b"1")), _by_users(lambda: os.setxattr(at / "f", "trusted.a", b"1"))
    os.chmod(at / "f", 0o600)
    yield _by_users(lambda: os.setxattr(at / "f", "user.a", b"1")), _by_users(lambda: os.getxattr(at / "f", "user.a"))
    yield _by_users(lambda: os.listxattr(at / "f")), _by_users(lambda: os.link(at / "f", at / "l"))


@case
def sticky_directories(at: Path) -> Results:
    os.chmod(at, 0o1777)
    for name, uid in (("root", 0), ("nobody", NOBODY), ("other", OTHER)):
        put(at / name, b"")
        os.chown(at / name, uid, uid)
        os.mkdir(at / f"d-{name}")
        os.chown(at / f"d-{name}", uid, uid)
    for name in ("root", "nobody", "other"):
        yield name, as_user(NOBODY, NOBODY, [], lambda name=name: os.rename(at / name, at / f"new-{name}"))
        yield name, as_user(NOBODY, NOBODY, [], lambda name=name: os.unlink(at / name))
        yield name, as_user(NOBODY, NOBODY, [], lambda name=name: os.rename(at / "d-nobody", at / f"d-{name}"))
        yield name, as_user(OTHER, OTHER, [], lambda name=name: os.rmdir(at / f"d-{name}"))
    yield tree(at)


@case
def setid_bits_go_when_others_write(at: Path) -> Results:
    for mode in (0o6777, 0o2766, 0o4755, 0o2775):
        for how in (
            lambda path: put(path, b"x", os.O_WRONLY),
            lambda path: put(path, b"x", os.O_WRONLY | os.O_APPEND),
            lambda path: os.truncate(path, 1),
            lambda path: put(path, b"", os.O_WRONLY | os.O_TRUNC),
            lambda path: os.chown(path, -1, os.getgid()),
        ):
            for uid, owner in ((OTHER, NOBODY), (NOBODY, NOBODY), (0, NOBODY)):
                put(at / "f", b"data")
                os.chown(at / "f", owner, OTHER)
                os.chmod(at / "f", mode)
                yield oct(mode), uid, as_user(uid, uid, [OTHER], lambda how=how: how(at / "f")), seen(at / "f")
                os.unlink(at / "f")


@case
def new_files_belong_to_their_makers(at: Path) -> Results:
    os.chmod(at, 0o777)
    os.mkdir(at / "shared")
    os.chown(at / "shared", 0, 7)
    os.chmod(at / "shared", 0o2777)
    for umask in (0, 0o22, 0o77, 0o777):

        def make(umask: int = umask) -> None:
            os.umask(umask)
            for where in (at, at / "shared"):
                put(where / f"f{umask:o}", b"", os.O_CREAT | os.O_WRONLY, 0o6777)
                os.mkdir(where / f"d{umask:o}", 0o7777)
                os.mkfifo(where / f"p{umask:o}", 0o666)
                os.symlink("t", where / f"s{umask:o}")

        yield as_user(NOBODY, NOBODY, [], make)
    yield [(str(path.relative_to(at)), seen(path)) for path in sorted(at.rglob("*"))]


@case
def acls_decide(at: Path) -> Results:
    put(at / "f", b"data")
    os.mkdir(at / "d")
    put(at / "d/inner", b"inner")
    for rights in ((6, 4, 0, 4, 0), (6, 6, 0, 6, 0), (6, 6, 4, 4, 4), (6, 0, 4, 4, 4), (6, 6, 6, 0, 4), (7, 7, 7, 7, 7)):
        for name in ("f", "d"):
            yield outcome(os.setxattr, at / name, ACCESS, acl(*rights)), oct(os.stat(at / name).st_mode)
        yield rights, _by_users((at / "f").read_bytes), _by_users(lambda: put(at / "f", b"x", os.O_WRONLY))
        yield _by_users(lambda: os.listdir(at / "d")), _by_users((at / "d/inner").read_bytes)
        yield _by_users(lambda: [os.access(at / "f", what) for what in (os.R_OK, os.W_OK, os.X_OK)])
    yield outcome(os.chmod, at / "f", 0o640), outcome(os.getxattr, at / "f", ACCESS), _by_users((at / "f").read_bytes)
    yield outcome(os.removexattr, at / "f", ACCESS), outcome(os.getxattr, at / "f", ACCESS), seen(at / "f")
    yield _by_users((at / "f").read_bytes), _by_users(lambda: os.setxattr(at / "f", ACCESS, acl(7, 7, 7, 7, 7)))
    yield outcome(os.setxattr, at / "f", ACCESS, b"nonsense"), outcome(os.setxattr, at / "f", DEFAULT, acl(7, 7, 7, 7, 7))


@case
def default_acls_are_inherited(at: Path) -> Results:
    os.chmod(at, 0o777)
    for number, rights in enumerate(((7, 7, 7, 7, 7), (7, 6, 5, 7, 0), (6, 4, 0, 4, 0))):
        directory = at / str(number)
        os.mkdir(directory)
        os.setxattr(directory, DEFAULT, acl(*rights))
        os.chmod(directory, 0o777)
        for umask in (0o22, 0o77):

            def make(umask: int = umask, directory: Path = directory) -> None:
                os.umask(umask)
                put(directory / f"f{umask:o}-{os.getuid()}", b"", mode=0o666)
                put(directory / f"x{umask:o}-{os.getuid()}", b"", mode=0o640)
                os.mkdir(directory / f"d{umask:o}-{os.getuid()}", 0o777)
                os.mkfifo(directory / f"p{umask:o}-{os.getuid()}", 0o666)

            yield as_user(OTHER, OTHER, [], make), as_user(0, 0, [], make)
        for path in sorted(directory.iterdir()):
            yield path.name, seen(path), outcome(os.getxattr, path, ACCESS), outcome(os.getxattr, path, DEFAULT)


@case
def extended_attributes(at: Path) -> Results:
    put(at / "f", b"")
    os.symlink("f", at / "l")
    for name in ("user.a", "trusted.a", "security.a", "system.a", "nonsense", "user.", "user." + "n" * 250, "user." + "n" * 251):
        for size in (0, 1, 3000, 65536, 65537):
            yield name[:20], size, outcome(os.setxattr, at / "f", name, b"v" * size)
        yield outcome(lambda name=name: len(os.getxattr(at / "f", name))), outcome(os.removexattr, at / "f", name)
    os.setxattr(at / "f", "user.b", b"2")
    yield outcome(os.setxattr, at / "f", "user.b", b"3", os.XATTR_CREATE), outcome(os.setxattr, at / "f", "user.c", b"", os.XATTR_REPLACE)
    with opened(at / "f") as file:
        os.unlink(at / "f")
        yield outcome(os.getxattr, file, "user.b"), outcome(os.setxattr, file, "user.c", b"9"), outcome(os.listxattr, file)
    yield outcome(os.getxattr, at / "l", "user.b"), outcome(os.listxattr, at / "l", follow_symlinks=False)
    yield outcome(os.setxattr, at / "l", "user.a", b"", follow_symlinks=False)


# attributes


@case
def times(at: Path) -> Results:
    put(at / "f", b"data")
    os.mkdir(at / "d")
    for ns in ((1, 2), (1_000_000_001, 2_999_999_999), (0, 0), (4_000_000_000_000_000_000, 5), (-1_500_000_000, -1)):
        for name in ("f", "d"):
            yield ns, name, outcome(os.utime, at / name, ns=ns), os.stat(at / name).st_atime_ns, os.stat(at / name).st_mtime_ns

    def moved(work: Callable[[], object], path: Path) -> tuple[bool, ...]:
        """Which of the three times the call sets; the clock of a file system ticks every few milliseconds."""
        os.utime(path, (1000, 1000))
        before = os.stat(path)
        time.sleep(0.02)
        work()
        after = os.stat(path)
        return after.st_mtime_ns != before.st_mtime_ns, after.st_ctime_ns != before.st_ctime_ns

    yield moved(lambda: put(at / "f", b"x", os.O_WRONLY), at / "f"), moved(lambda: os.chmod(at / "f", 0o600), at / "f")
    yield moved(lambda: os.truncate(at / "f", 1), at / "f"), moved(lambda: os.truncate(at / "f", 1), at / "f")
    yield moved(lambda: os.link(at / "f", at / "l"), at / "f"), moved(lambda: put(at / "d/n", b""), at / "d")
    yield moved(lambda: os.rename(at / "d/n", at / "d/m"), at / "d"), moved(lambda: os.unlink(at / "d/m"), at / "d")
    yield moved(lambda: (at / "f").read_bytes(), at / "f"), moved(lambda: os.setxattr(at / "f", "user.a", b""), at / "f")
    yield moved(lambda: put(at / "f", b"", os.O_WRONLY | os.O_TRUNC), at / "f"), moved(lambda: os.unlink(at / "l"), at / "f")
    yield moved(lambda: os.chown(at / "f", -1, -1), at / "f"), moved(lambda: os.listdir(at / "d"), at / "d")


@case
def what_statfs_says(at: Path) -> Results:
    room = os.statvfs(at)
    yield room.f_bsize, room.f_frsize, room.f_blocks, room.f_files, room.f_namemax
    yield os.pathconf(at, "PC_NAME_MAX"), os.pathconf(at, "PC_LINK_MAX") > 1


@case
def copies_and_archives_are_whole(at: Path) -> Results:
    source = at / "source"
    os.makedirs(source / "deep/deeper")
    put(source / "deep/f", b"data" * 5000, mode=0o751)
    os.chown(source / "deep/f", 3, 4)
    os.link(source / "deep/f", source / "deep/deeper/linked")
    os.symlink("../deep/f", source / "deep/link")
    os.setxattr(source / "deep/f", "user.colour", b"red")
    os.setxattr(source / "deep", ACCESS, acl(7, 5, 5, 7, 0))
    os.utime(source / "deep/f", ns=(1_234_567_890_123_456_789, 987_654_321_012_345_678))
    subprocess.run(["cp", "-a", source, at / "copy"], check=True)
    os.mkdir(at / "unpacked")
    archive = ["tar", "--xattrs", "--acls", "-C", source, "-cf", at / "archive.tar", "."]
    subprocess.run(archive, check=True, capture_output=True)
    unpack = ["tar", "--xattrs", "--acls", "-C", at / "unpacked", "-xpf", at / "archive.tar"]
    subprocess.run(unpack, check=True, capture_output=True)
    for name in ("source", "copy", "unpacked"):
        yield name, tree(at / name), os.stat(at / name / "deep/f").st_mtime_ns
        yield outcome(os.getxattr, at / name / "deep/f", "user.colour"), outcome(os.getxattr, at / name / "deep", ACCESS)
    subprocess.run(["rm", "-r", at / "copy"], check=True)
    yield sorted(os.listdir(at))


@case
def what_is_beyond_reading_and_writing(at: Path) -> Results:
    with opened(at / "f", os.O_CREAT | os.O_RDWR) as file:
        os.pwrite(file, b"x", 1_000_000)
        yield "fallocate", outcome(os.posix_fallocate, file, 0, 2_000_000)
        yield "punch a hole", outcome(lambda: checked(libc.fallocate64(file, 3, 0, 4096)))
        yield "hole", outcome(os.lseek, file, 0, os.SEEK_HOLE), "data", outcome(os.lseek, file, 0, os.SEEK_DATA)
        yield "copy_file_range", outcome(lambda: os.copy_file_range(file, file, 1000, 0, 500_000))
        yield "temporary", outcome(lambda: tempfile.TemporaryFile(dir=at).close())
        yield "O_TMPFILE", outcome(lambda: os.close(os.open(at, os.O_TMPFILE | os.O_RDWR)))
        yield "O_DIRECT", outcome(lambda: os.close(os.open(at / "f", os.O_DIRECT | os.O_RDWR)))
        yield "lease", outcome(fcntl.fcntl, file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        yield "reads of directories", outcome(os.read, os.open(at, os.O_RDONLY), 10)


def run(name: str, at: Path) -> list[object]:
    at.mkdir()
    at.chmod(0o755)
    return json.loads(json.dumps([step for step in CASES[name](at)], default=str))


if __name__ == "__main__":
    os.umask(0o022)
    only = sys.argv[2:] or list(CASES)
    results = {}
    for name in only:
        try:
            results[name] = run(name, Path(sys.argv[1], name))
        except Exception as failure:  # a case that breaks off is a result as well
            results[name] = [f"broke off: {failure!r}"]
    json.dump(results, sys.stdout)
