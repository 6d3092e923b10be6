"""Data through FUSE while the directory below changes behind its back, and after the daemon was killed."""

import contextlib
import errno
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import Served, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="mounts: needs root and /dev/fuse"
)
STALE = 5.0  # seconds that a name may go on meaning what it did; the promise is one, the machine may be busy
OPERATIONS = ["write", "write", "rename", "rename", "unlink", "link", "make", "open", "read", "read"]
GONE = {errno.ESTALE, errno.EIO}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("below"), "--data-plane", "fuse")
    try:
        yield served
    finally:
        served.clean_up()
    assert "Traceback" not in served.log(), served.log()


def places(served: Served, name: str) -> tuple[Path, Path]:
    """A new volume's data: through the view, and below it."""
    served.create(name)
    return served.view / name / "_data", served.root / "volumes" / name / "_data"


def contents(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Each file's content, number of names and mode."""
    found = {}
    for where, _, names in os.walk(root):
        for name in names:
            path = Path(where, name)
            status = path.stat()
            found[str(path.relative_to(root))] = (path.read_bytes(), status.st_nlink, status.st_mode)
    return found


@dataclass
class Names:
    """What each name has meant, and until when: a file's content is its own for ever, so it tells one from another."""

    real: Path
    ends: dict[str, dict[bytes, float]] = field(default_factory=dict)

    def note(self) -> None:
        """Called after each change."""
        now = time.monotonic()
        for name in [*self.ends, *(str(path.relative_to(self.real)) for path in self.real.rglob("*"))]:
            path = self.real / name
            meaning = path.read_bytes() if path.is_file() else b""
            self.ends.setdefault(name, {b"": now})[meaning] = now

    def may_be(self, name: str, began: float) -> set[bytes]:
        """What may be read there by whoever began to then; nothing stands for no file."""
        return {meaning for meaning, end in self.ends.get(name, {b"": began}).items() if end > began - STALE}


def test_what_is_read_was_once_below_that_name_while_both_sides_change_the_tree(served: Served) -> None:
    chance = random.Random(20)
    view, real = places(served, "both")
    names = Names(real)
    held: dict[int, bytes] = {}
    pool = ["a", "b", "d/a", "d/b", "d/e/a", "f/a"]
    above = ["d", "f", "d/e"]
    names.note()
    for step in range(900):
        place, name, other = chance.choice((view, real)), chance.choice(pool), chance.choice(pool)
        with contextlib.suppress(OSError):
            match chance.choice(OPERATIONS):
                case "write":  # a new file each time, moved into its place: what is open stays what it was
                    (place / f"new{step}").write_bytes(b"%06d" % step * 1000)
                    names.note()
                    os.rename(place / f"new{step}", place / name)
                case "rename":
                    os.rename(place / name, place / other)
                case "unlink":
                    os.unlink(place / name)
                case "link":
                    os.link(place / name, place / other)
                case "make":
                    os.mkdir(place / chance.choice(above))
                case "open" if len(held) < 40:
                    descriptor = os.open(view / name, os.O_RDONLY)
                    held[descriptor] = os.pread(descriptor, 6, 0)
                case "read":
                    look(view, name, names)
        names.note()
        if held and step % 5 == 0:
            descriptor = chance.choice(list(held))
            whole = os.pread(descriptor, 10_000, 0)
            assert whole == held[descriptor] * 1000, "an open file became another"
    for descriptor in held:
        os.close(descriptor)
    for _ in range(60):  # a directory takes what is remembered of its names along, so only the end can be compared
        with contextlib.suppress(OSError):
            place = chance.choice((view, real))
            os.rename(place / chance.choice(above), place / chance.choice(above))
            look(view, chance.choice(pool), None)
    until(lambda: contents(view) == contents(real))


def look(view: Path, name: str, names: Names | None) -> None:
    began = time.monotonic()
    try:
        found = (view / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        found = b""
    assert names is None or found in names.may_be(name, began), f"{name} has not been {found[:6]!r} for long"


def test_a_rename_moves_what_has_the_name_now_and_not_what_the_kernel_remembers(served: Served) -> None:
    view, real = places(served, "replaced")
    for name, other in (("a", "x"), ("b", "y")):
        (view / name).write_bytes(b"old")
        assert (view / name).stat().st_size == 3
        (real / "new").write_bytes(b"newer")
        os.rename(real / "new", real / name)
        os.rename(view / name, view / other)
        assert (view / other).read_bytes() == b"newer"
    os.link(view / "x", view / "z")
    os.rename(view / "x", view / "y")
    assert sorted(os.listdir(view)) == sorted(os.listdir(real)) == ["y", "z"]
    (real / "y").unlink()
    with pytest.raises(FileNotFoundError):
        os.rename(view / "y", view / "a")


def test_after_a_kill_open_files_go_on_or_say_that_they_cannot_and_are_never_others(served: Served) -> None:
    view, real = places(served, "killed")
    kept = {}
    for number in range(30):
        (view / f"{number}").write_bytes(b"%03d" % number * 2000)
        kept[os.open(view / f"{number}", os.O_RDWR)] = number
    for number in range(0, 30, 3):
        os.unlink(view / f"{number}")
    for number in range(1, 30, 3):
        os.rename(real / f"{number}", real / f"moved{number}")
    starts = served.log().count(" ready ")
    served.kill_daemon()
    for number in range(60):  # inode numbers of what was deleted are used again
        (real / f"fresh{number}").write_bytes(b"new" * 2000)
    for number in range(20):
        (view / f"other{number}").write_bytes(b"oth" * 2000)
    served.ready(starts + 1)
    for descriptor, number in kept.items():
        try:
            found = os.pread(descriptor, 6000, 0)
            os.pwrite(descriptor, b"mine", 0)
        except OSError as failure:
            assert failure.errno in GONE
        else:
            assert found == b"%03d" % number * 2000
        with contextlib.suppress(OSError):
            os.close(descriptor)
    for number in range(60):
        assert (real / f"fresh{number}").read_bytes() == b"new" * 2000, "a handle wrote into another file"
    for number in range(20):
        assert (view / f"other{number}").read_bytes() == b"oth" * 2000
    for number in range(2, 30, 3):
        assert (view / f"{number}").read_bytes()[4:] == (b"%03d" % number * 2000)[4:]
        assert (view / f"moved{number - 1}").read_bytes()[4:] == (b"%03d" % (number - 1) * 2000)[4:]


def test_directories_that_were_entered_go_on_after_a_kill_or_say_that_they_cannot(served: Served) -> None:
    view, real = places(served, "inside")
    (view / "d/e").mkdir(parents=True)
    (view / "d/e/file").write_bytes(b"file")
    inside = os.open(view / "d/e", os.O_RDONLY)
    try:
        served.kill_daemon()
        for work in (lambda: os.listdir(inside), lambda: os.stat("file", dir_fd=inside).st_size):
            outcome = attempt(work)
            assert outcome in (["file"], 4) or outcome in GONE
        assert os.listdir(view / "d/e") == ["file"]
        assert (view / "d/e/file").read_bytes() == b"file"
    finally:
        os.close(inside)
    assert os.listdir(real / "d/e") == ["file"]


def attempt(work: Callable[[], object]) -> object:
    try:
        return work()
    except OSError as failure:
        return failure.errno


def test_what_is_appended_through_the_view_overwrites_nothing_that_was_appended_below(served: Served) -> None:
    view, real = places(served, "appended")
    expected = b""
    with open(view / "log", "ab", buffering=0) as through, open(real / "log", "ab", buffering=0) as below:
        for number in range(200):
            line = b"line %04d\n" % number
            (through if number % 3 else below).write(line)
            expected += line
    assert (real / "log").read_bytes() == expected
    until(lambda: (view / "log").read_bytes() == expected)
