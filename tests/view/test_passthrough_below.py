"""Data through FUSE: what changes below it, what it holds, and what it does when a store or descriptors fail it."""

import contextlib
import errno
import functools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.view.passthrough_view import (
    NOBODY,
    View,
    outcome,
    put,
    reads,
    seen,
    serving,
    until,
)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="mounts: needs root and /dev/fuse"
)


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


def test_a_daemon_without_privileges_serves_its_own_files(reachable: Path) -> None:
    with serving(reachable, "--uid", str(NOBODY)) as view:
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
