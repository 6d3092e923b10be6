"""The same calls on a plain directory and through FUSE must end alike: that is the whole specification."""

import contextlib
import ctypes
import errno
import fcntl
import functools
import itertools
import mmap
import os
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

Do = Callable[..., None]
HERE = Path(__file__).parent
NOBODY = 65534
libc = ctypes.CDLL(None, use_errno=True)
numbers = itertools.count(1)
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="mounts: needs root and /dev/fuse"
)


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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    base = tmp_path_factory.mktemp("passthrough")
    base.chmod(0o755)
    for above in base.parents:
        if above.stat().st_uid == os.geteuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o011)  # nobody has to get here
    with serving(base) as view:
        yield view


@pytest.fixture
def view(server: View) -> Iterator[View]:
    """The server, with a new directory in each volume: the kernel remembers names for a while."""
    inside = str(next(numbers))
    below = {name: path / inside for name, path in server.below.items()}
    for path in below.values():
        path.mkdir()
    yield View(server.mount, below, server.process, inside)
    assert server.process.poll() is None, "the daemon died"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain"
    path.mkdir()
    return path


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


def files(at: Path, do: Do) -> None:
    do(put, at / "new", b"one")
    do(put, at / "new", b"", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    do(put, at / "new", b"two", os.O_WRONLY | os.O_APPEND)
    do((at / "new").read_bytes)
    do(put, at / "new", b"3", os.O_WRONLY | os.O_TRUNC)
    do(put, at / "new", b"", os.O_WRONLY | os.O_DIRECTORY)
    with (at / "sparse").open("w+b") as file:
        do(os.pwrite, file.fileno(), b"end", 1_000_000)
        do(os.pread, file.fileno(), 5, 999_998)
        do(os.ftruncate, file.fileno(), 1_000_001)
        do(os.fsync, file.fileno())
        do(os.fdatasync, file.fileno())
    do(os.truncate, at / "sparse", 2_000_000)
    do(os.truncate, at / "sparse", -1)
    do(os.truncate, at, 0)
    with open(at / "secret", "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(b"x" * 300_000)
        do(os.fchmod, file.fileno(), 0o400)
        do(os.ftruncate, file.fileno(), 7)
        os.unlink(at / "secret")
        file.flush()
        do(lambda: os.fstat(file.fileno()).st_nlink)
        do(file.write, b"after")
    do(os.open, at / "gone", os.O_RDONLY)
    do(put, at / "mode", b"", mode=0o6751)
    do(os.mknod, at / "fifo", stat.S_IFIFO | 0o640)
    do(os.mknod, at / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))


def names(at: Path, do: Do) -> None:
    for name in (b"n" * 255, b"n" * 256, b"\xff\xfe bad", b"line\nbreak", b"sp ace", "ü€".encode()):
        path = os.path.join(os.fsencode(at), name)
        do(put, path, name)
        do(lambda path=path: os.stat(path).st_size)
    do(sorted, os.listdir(os.fsencode(at)))


def directories(at: Path, do: Do) -> None:
    do(os.mkdir, at / "d", 0o750)
    do(os.mkdir, at / "d")
    do(os.mkdir, at / "d" / "e", 0o1777)
    do(os.rmdir, at / "d")
    do(os.unlink, at / "d" / "e")
    do(os.rmdir, at / "d" / "e")
    do(put, at / "d" / "f", b"f")
    do(os.rmdir, at / "d" / "f")
    do(os.chmod, at / "d", 0o2770)
    do(os.chown, at / "d", 0, 12)
    do(os.mkdir, at / "d" / "inherits")
    do(put, at / "d" / "inherits" / "too", b"")
    do(os.symlink, "x", at / "d" / "link")
    with contextlib.closing(Descriptor(at / "d")) as fd:
        do(os.fsync, fd.number)


class Descriptor:
    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        os.close(self.number)


def renames(at: Path, do: Do) -> None:
    for name in "abc":
        put(at / name, name.encode())
    os.makedirs(at / "full" / "inner")
    os.mkdir(at / "empty")
    do(os.rename, at / "a", at / "b")
    do(renameat2, at / "b", at / "c", 1)
    do(renameat2, at / "b", at / "new", 1)
    do(renameat2, at / "new", at / "c", 2)
    do(renameat2, at / "new", at / "nothing", 2)
    do(os.rename, at / "empty", at / "full")
    do(os.rename, at / "full", at / "empty")
    do(os.rename, at / "empty", at / "empty" / "inner" / "below")
    do(os.rename, at / "c", at / "empty")
    do(os.rename, at / "gone", at / "x")
    do(os.rename, at / "c", at / "empty" / "inner" / "c")
    do((at / "empty" / "inner" / "c").read_bytes)
    do((at / "new").read_bytes)


def links(at: Path, do: Do) -> None:
    put(at / "one", b"1")
    os.symlink("one", at / "soft")
    do(os.link, at / "one", at / "two")
    do(os.link, at / "one", at / "two")
    do(lambda: os.stat(at / "one").st_ino == os.stat(at / "two").st_ino)
    do(lambda: os.stat(at / "one").st_nlink)
    do(os.link, at / "soft", at / "soft2", follow_symlinks=False)
    do(os.readlink, at / "soft2")
    do(os.readlink, at / "one")
    do(os.link, at, at / "directory")
    do(os.unlink, at / "one")
    do(lambda: os.stat(at / "two").st_nlink)
    do(os.symlink, "/" + "x" * 4000, at / "long")
    do(os.lchown, at / "soft", 5, 6)
    do(os.utime, at / "soft", ns=(1, 2), follow_symlinks=False)
    do(lambda: os.lstat(at / "soft").st_mtime_ns)


def times(path: Path) -> tuple[int, int]:
    return os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns


def attributes(at: Path, do: Do) -> None:
    put(at / "f", b"data")
    os.mkdir(at / "d")
    for name in ("f", "d"):
        do(os.chmod, at / name, 0o7711)
        do(os.chown, at / name, 7, 8)
        do(seen, at / name)
        do(os.chown, at / name, -1, 9)
        do(os.utime, at / name, ns=(1_234_567_891, 2_345_678_912))
        do(times, at / name)
        do(os.utime, at / name, ns=(-5_000_000_001, 5_000_000_000_000_000_001))
        do(times, at / name)
    touched = time.time()
    do(os.utime, at / "f")
    do(lambda: abs(os.stat(at / "f").st_mtime - touched) < 60)
    omit = (ctypes.c_long * 4)(11, 12, 0, (1 << 30) - 2)
    before = os.stat(at / "f").st_mtime_ns
    do(libc.utimensat, -100, os.fsencode(at / "f"), omit, 0)
    do(lambda: os.stat(at / "f").st_atime_ns)
    do(lambda: os.stat(at / "f").st_mtime_ns == before)
    do(lambda: tuple(os.statvfs(at))[:3] + tuple(os.statvfs(at))[9:])


def xattrs(at: Path, do: Do) -> None:
    put(at / "f", b"")
    os.mkdir(at / "d")
    os.symlink("f", at / "l")
    for name in ("f", "d"):
        do(os.listxattr, at / name)
        do(os.getxattr, at / name, "user.a")
        do(os.setxattr, at / name, "user.a", b"1", os.XATTR_REPLACE)
        do(os.setxattr, at / name, "user.a", b"1", os.XATTR_CREATE)
        do(os.getxattr, at / name, "user.a")
        do(os.setxattr, at / name, "user.a", b"2", os.XATTR_CREATE)
        do(os.setxattr, at / name, "user.a", b"\0" * 1000)
        do(os.setxattr, at / name, "trusted.t", b"")
        do(sorted, os.listxattr(at / name))
        do(os.removexattr, at / name, "user.b")
        do(os.removexattr, at / name, "user.a")
        do(os.getxattr, at / name, "user.a")
        do(os.getxattr, at / name, "nonsense")
    do(os.setxattr, at / "l", "user.a", b"", follow_symlinks=False)
    rights = ((1, 6, 0xFFFFFFFF), (2, 7, 5), (4, 4, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *right) for right in rights)  # acl(5)
    do(os.setxattr, at / "f", "system.posix_acl_access", acl)
    do(os.getxattr, at / "f", "system.posix_acl_access")
    do(os.setxattr, at / "d", "system.posix_acl_default", acl)
    do(put, at / "d" / "heir", b"")
    do(os.getxattr, at / "d" / "heir", "system.posix_acl_access")


def memory_and_locks(at: Path, do: Do) -> None:
    put(at / "f", b"x" * 10_000)
    with (at / "f").open("r+b") as file, (at / "f").open("r+b") as other:
        with mmap.mmap(file.fileno(), 10_000) as mapped:
            mapped[5000:5004] = b"mmap"
            mapped.flush()
            do(lambda: mapped[4999:5005])
        do(os.pread, other.fileno(), 6, 4999)
        do(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        do(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        do(fcntl.flock, file, fcntl.LOCK_UN)
        do(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        do(fcntl.lockf, other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)


SCENARIOS = [files, names, directories, renames, links, attributes, xattrs, memory_and_locks]


def played(scenario: Callable[[Path, Do], None], at: Path) -> list[object]:
    """What each step of a scenario gave, or its errno, and what it left behind."""
    results: list[object] = []

    def do(work: Callable[..., object], *args: object, **kwargs: object) -> None:
        results.append((getattr(work, "__name__", ""), outcome(lambda: work(*args, **kwargs))))

    scenario(at, do)
    return results


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_call_ends_as_it_does_on_a_plain_directory(
    view: View, plain: Path, scenario: Callable[[Path, Do], None]
) -> None:
    expected = played(scenario, plain)
    assert played(scenario, view.a) == expected
    assert tree(view.below["a"]) == tree(plain)
    assert tree(view.a) == tree(plain)


def test_nothing_is_linked_or_renamed_from_one_volume_to_another(view: View) -> None:
    put(view.a / "f", b"a")
    for call in (os.link, os.rename):
        assert outcome(functools.partial(call, view.a / "f", view.b / "f")) == "EXDEV"


def test_a_listing_of_a_directory_that_is_being_emptied_gives_each_name_once(view: View) -> None:
    where = view.below["a"] / "big"
    where.mkdir()
    for number in range(5000):
        (where / f"{number:04}").touch()
    met = []
    with os.scandir(view.a / "big") as listing:
        for entry in listing:
            met.append(entry.name)
            os.unlink(view.a / "big" / entry.name)
            (where / f"late-{entry.name}").touch()
    assert sorted(name for name in met if not name.startswith("late")) == [f"{number:04}" for number in range(5000)]
    assert len(met) == len(set(met))


def test_an_entry_that_vanished_is_left_out_and_a_rewound_listing_is_new(view: View) -> None:
    for name in ("one", "two"):
        (view.below["a"] / name).touch()
    fd = os.open(view.a, os.O_RDONLY)
    try:
        assert sorted(os.listdir(fd)) == ["one", "two"]
        (view.below["a"] / "one").unlink()
        (view.below["a"] / "three").touch()
        assert sorted(os.listdir(fd)) == ["three", "two"]
    finally:
        os.close(fd)


def test_a_name_that_becomes_a_symlink_never_leads_the_daemon_out(view: View, tmp_path: Path) -> None:
    """Whoever is inside `dir` goes on in that directory; whoever asks for the name gets a symlink to read."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "inner").write_text("secret")
    real = view.below["a"]
    (real / "dir").mkdir()
    (real / "dir" / "inner").write_text("mine")
    inside = os.open(view.a / "dir", os.O_RDONLY)
    try:
        for target in (str(outside), "/etc", "..", "."):
            (real / "dir").rename(real / "moved") if (real / "dir").is_dir() and not (
                real / "dir"
            ).is_symlink() else None
            with contextlib.suppress(FileNotFoundError):
                (real / "dir").unlink()
            (real / "dir").symlink_to(target)
            fd = os.open("inner", os.O_RDONLY, dir_fd=inside)
            assert os.read(fd, 10) == b"mine"
            os.close(fd)
            until(functools.partial(leads_to, view.a / "dir", target))
            os.close(os.open(f"made-{len(target)}", os.O_CREAT | os.O_WRONLY, dir_fd=inside))
    finally:
        os.close(inside)
    assert sorted(os.listdir(outside)) == ["inner"]
    assert "made-2" in os.listdir(real / "moved")


def test_creating_over_a_symlink_that_appeared_below_writes_nothing_through_it(view: View, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    assert outcome(lambda: os.stat(view.a / "x")) == "ENOENT"
    (view.below["a"] / "x").symlink_to("/dev/null/nowhere")
    assert outcome(lambda: put(view.a / "x", b"", os.O_CREAT | os.O_EXCL | os.O_WRONLY)) == "EEXIST"
    (view.below["a"] / "y").symlink_to(outside)
    assert outcome(lambda: put(view.a / "y", b"z", os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW)) == "ELOOP"
    assert outside.read_text() == "untouched"


def test_a_mount_inside_the_volume_is_not_entered(view: View) -> None:
    inside = view.below["a"] / "mounted"
    inside.mkdir()
    assert libc.mount(b"tmpfs", os.fsencode(inside), b"tmpfs", 0, None) == 0
    try:
        assert outcome(lambda: os.listdir(view.a / "mounted")) == "EXDEV"
        assert os.listdir(view.a) == []
    finally:
        assert libc.umount2(os.fsencode(inside), 2) == 0


AS_NOBODY = """
import os, sys, errno
os.chdir(sys.argv[1])
def outcome(work):
    try: return work()
    except OSError as failure: return errno.errorcode[failure.errno]
def put(path, flags=os.O_CREAT | os.O_WRONLY, mode=0o666):
    fd = os.open(path, flags, mode)
    try: return os.write(fd, b"nobody")
    finally: os.close(fd)
os.umask(0o027)
print([outcome(work) for work in (
    lambda: put("roots", os.O_WRONLY), lambda: put("roots", os.O_RDONLY), lambda: os.unlink("roots"),
    lambda: put("mine"), lambda: os.mkdir("dir", 0o777), lambda: os.symlink("t", "soft"),
    lambda: os.mkfifo("fifo", 0o666), lambda: put("shared/mine"), lambda: os.mkdir("shared/dir"),
    lambda: os.chown("mine", 0, 0),
    lambda: os.chmod("roots", 0o777), lambda: os.chmod("mine", 0o4755), lambda: put("suid", os.O_WRONLY),
    lambda: os.truncate("sgid", 1), lambda: put("trunc", os.O_WRONLY | os.O_TRUNC), lambda: os.listdir("closed"),
    lambda: os.stat("closed/inner"), lambda: os.rename("roots", "mine"), lambda: os.utime("roots"),
    lambda: os.setxattr("roots", "user.x", b""), lambda: os.setxattr("mine", "trusted.x", b""),
)])
"""


def test_somebody_else_may_do_what_they_may_on_a_plain_directory_and_owns_what_they_make(
    view: View, plain: Path
) -> None:
    results = []
    for real, shown in ((plain, plain), (view.below["a"], view.a)):
        prepare_for_nobody(real)
        command = [sys.executable, "-c", AS_NOBODY, str(shown)]
        open_up(real)
        results.append(
            subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True)
        )
    assert results[1].stdout == results[0].stdout, results
    assert results[0].stdout
    assert tree(view.below["a"]) == tree(plain)


def prepare_for_nobody(real: Path) -> None:
    real.chmod(0o1777)
    put(real / "roots", b"", mode=0o644)
    (real / "closed").mkdir(0o700)
    put(real / "closed" / "inner", b"")
    (real / "shared").mkdir()
    os.chown(real / "shared", 0, 55)
    (real / "shared").chmod(0o2777)
    for name, mode in (("suid", 0o4777), ("sgid", 0o2777), ("trunc", 0o6777)):
        put(real / name, b"1234")
        (real / name).chmod(mode)


def open_up(path: Path) -> None:
    for above in path.parents:
        if above.stat().st_mode & 0o011 != 0o011:
            above.chmod(above.stat().st_mode | 0o011)


def test_a_file_created_below_just_before_is_opened_as_what_it_is_with_its_permissions(view: View) -> None:
    """The caller's kernel believes that there is none, so it has checked nobody's rights to open it."""
    view.below["a"].chmod(0o777)
    script = """if True:
        import os, sys, time
        os.chdir(sys.argv[1])
        try: os.stat("late")
        except FileNotFoundError: print("none", flush=True)
        input()
        try: os.open("late", os.O_CREAT | os.O_RDWR)
        except OSError as failure: print(failure.errno)
    """
    command = [sys.executable, "-c", script, str(view.a)]
    child = subprocess.Popen(command, user=NOBODY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdout.readline() == "none\n"
    put(view.below["a"] / "late", b"secret", mode=0o600)
    assert child.communicate("go\n", 20)[0] == f"{errno.EACCES}\n"
    assert seen(view.below["a"] / "late")[2] == 0
    assert put(view.a / "late", b"x", os.O_CREAT | os.O_RDWR) == 1


def test_what_changes_below_the_view_shows_after_the_timeout(view: View) -> None:
    real, shown = view.below["a"] / "f", view.a / "f"
    real.write_bytes(b"old")
    assert shown.read_bytes() == b"old"
    fd = os.open(shown, os.O_RDONLY)
    try:
        real.write_bytes(b"new and longer")
        until(lambda: shown.read_bytes() == b"new and longer")
        until(lambda: os.fstat(fd).st_size == 14)
        assert os.pread(fd, 100, 0) == b"new and longer"
        real.chmod(0o600)
        until(lambda: shown.stat().st_mode & 0o777 == 0o600)
        os.setxattr(real, "user.below", b"1")
        until(lambda: os.listxattr(shown) == ["user.below"] and os.getxattr(shown, "user.below") == b"1")
        real.unlink()
        until(lambda: not shown.exists())
        assert os.pread(fd, 3, 0) == b"new"
    finally:
        os.close(fd)


def test_a_number_stays_while_the_file_does_and_is_shared_by_its_names(view: View) -> None:
    put(view.a / "f", b"")
    number = os.stat(view.a / "f").st_ino
    assert 1 << 62 <= number < 1 << 63
    Path("/proc/sys/vm/drop_caches").write_text("2")
    assert os.stat(view.a / "f").st_ino == number
    os.link(view.a / "f", view.a / "g")
    assert {entry.name: entry.inode() for entry in os.scandir(view.a)} == {"f": number, "g": number}
    os.rename(view.a / "f", view.a / "h")
    assert os.stat(view.a / "h").st_ino == number


def test_what_the_kernel_forgets_is_closed(tmp_path: Path) -> None:
    with serving(tmp_path) as view:
        before = int(view.order("held"))
        for number in range(300):
            (view.below["a"] / str(number)).touch()
        assert len([entry.stat() for entry in os.scandir(view.a)]) == 300
        assert int(view.order("held")) >= before + 300

        def dropped() -> bool:
            Path("/proc/sys/vm/drop_caches").write_text("2")
            return int(view.order("held")) <= before + 2 + 8  # each thread that is kept has one

        until(dropped)


def test_what_is_written_to_a_name_that_was_replaced_below_is_not_lost(view: View) -> None:
    """Within the timeout: the kernel still takes the name for the deleted file."""
    real, shown = view.below["a"] / "f", view.a / "f"
    for replace in (lambda: real.with_name("new").rename(real), real.unlink):
        put(shown, b"old")
        assert shown.stat().st_size
        real.with_name("new").write_bytes(b"new")
        replace()
        put(shown, b"written", os.O_WRONLY | os.O_CREAT)
        assert real.read_bytes() == b"written"


def test_an_unlinked_file_can_be_opened_again_by_whoever_has_it_open(view: View) -> None:
    put(view.a / "f", b"data")
    with (view.a / "f").open("rb") as file:
        (view.a / "f").unlink()
        assert Path(f"/proc/self/fd/{file.fileno()}").read_bytes() == b"data"


def test_a_forgotten_tree_is_let_go_and_comes_back(view: View) -> None:
    put(view.a / "f", b"kept")
    number = os.stat(view.a / "f").st_ino
    held = os.open(view.a / "f", os.O_RDONLY)
    try:
        assert view.order("forget a") == "done"
        assert outcome(lambda: os.pread(held, 1, 4096)) in ("ESTALE", b"")
        until(lambda: not fds_below(view))
        assert (view.a / "f").read_bytes() == b"kept"
        assert os.stat(view.a / "f").st_ino != number
        assert outcome(lambda: os.fstat(held).st_size) in ("ESTALE", "EIO", 4)
    finally:
        with contextlib.suppress(OSError):
            os.close(held)
    Path("/proc/sys/vm/drop_caches").write_text("2")
    assert (view.a / "f").read_bytes() == b"kept"


def fds_below(view: View) -> list[str]:
    held = []
    for fd in Path(f"/proc/{view.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.append(os.readlink(fd))
    return [path for path in held if path.startswith(str(view.below["a"]))]


def test_a_volume_that_hangs_delays_no_other(view: View) -> None:
    (view.below["a"] / "f").touch()
    put(view.b / "f", b"fine")
    assert view.order("forget a") == "done"
    assert view.order("hang a") == "done"
    waiting = [subprocess.Popen(["stat", str(view.a / "f")], stdout=subprocess.DEVNULL) for _ in range(20)]
    try:
        began = time.monotonic()
        for _ in range(50):
            assert (view.b / "f").read_bytes() == b"fine"
        assert time.monotonic() - began < 5
        assert waiting[0].poll() is None
    finally:
        assert view.order("thaw a") == "done"
        assert [process.wait(20) for process in waiting] == [0] * 20


def test_with_few_descriptors_the_kernel_is_asked_to_drop_files(tmp_path: Path) -> None:
    with serving(tmp_path, "--nofile", "256") as view:
        for number in range(2000):
            (view.below["a"] / f"{number:04}").write_text(str(number))
        for number in range(2000):
            until(functools.partial(reads, view.a / f"{number:04}", str(number)))
        assert int(view.order("held")) <= 256


def test_a_daemon_without_privileges_serves_its_own_files(tmp_path: Path) -> None:
    open_up(tmp_path / "x")
    with serving(tmp_path, "--uid", str(NOBODY)) as view:
        os.chown(view.below["a"], NOBODY, NOBODY)
        assert put(view.a / "f", b"data", mode=0o640) == 4
        os.mkdir(view.a / "d", 0o777)
        os.symlink("f", view.a / "l")
        os.chmod(view.a / "f", 0o4755)
        os.truncate(view.a / "f", 2)
        assert (view.a / "l").read_bytes() == b"da"
        assert seen(view.below["a"] / "f")[0:4] == ("0o100755", 1, NOBODY, NOBODY)
        assert seen(view.below["a"] / "d")[2] == NOBODY
        assert outcome(lambda: os.chown(view.a / "f", 0, 0)) == "EPERM"
        (view.below["b"] / "closed").mkdir(0o700)
        assert outcome(lambda: os.listdir(view.b / "closed")) == "EACCES"
