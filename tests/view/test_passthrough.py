"""The same calls on a plain directory and through FUSE must end alike: that is the whole specification."""

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.view.passthrough_scenarios import SCENARIOS, Do, played
from tests.view.passthrough_view import (
    NOBODY,
    View,
    leads_to,
    libc,
    outcome,
    put,
    tree,
    until,
)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="mounts: needs root and /dev/fuse"
)


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
