"""Cases of names: renames, links, symlinks, and what is wrong with a path."""

import functools
import os
import shutil
from pathlib import Path

from steps import Results, case, opened, outcome, put, renameat2, seen, tree


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
        yield (
            outcome(os.pread, file, 100, 0),
            (at / "f").read_bytes(),
            os.fstat(file).st_ino != os.stat(at / "f").st_ino,
        )
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
    for _ in range(40):  # 40 times 200 bytes: a path longer than PATH_MAX, made step by step
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
