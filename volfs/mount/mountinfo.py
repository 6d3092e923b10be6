"""The kernel's mount table as values: the text of /proc/PID/mountinfo, and questions about it.

    36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    │  │  │    │     │     │          │         │    │         └ options of the file system
    │  │  │    │     │     │          │         │    └ source
    │  │  │    │     │     │          │         └ file system type
    │  │  │    │     │     │          └ propagation, none or several, ended by a hyphen
    │  │  │    │     │     └ options of this mount
    │  │  │    │     └ mountpoint, as the reading process sees it
    │  │  │    └ what of the file system is mounted there
    │  │  └ device
    │  └ the id of the mount that it lies on
    └ id

Law: any bytes give a list or Invalid, and the order of the kernel is kept. See proc_pid_mountinfo(5).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from volfs.errors import Invalid

_ESCAPE = re.compile(r"\\([01][0-7]{2})")
_DELETED = "//deleted"  # what the kernel appends where the directory was removed below the mount; no path has a `//`


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One mount. Paths that are not UTF-8 hold surrogates, as `os.fsdecode` makes them."""

    id: int
    parent: int
    device: str
    root: str
    mountpoint: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]


def parse(text: bytes) -> list[MountEntry]:
    """The mounts in `text`, oldest first; raises Invalid with the number of the first line that is none."""
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [_parse_line(number, line) for number, line in enumerate(lines, 1)]


def under(entries: Iterable[MountEntry], directory: str) -> list[MountEntry]:
    """The mounts at `directory` or below it, oldest first. `directory` is absolute and has no symlink in it."""
    top = _trimmed(directory)
    below = top if top == "/" else top + "/"
    return [entry for entry in entries if entry.mountpoint == top or entry.mountpoint.startswith(below)]


def parse_under(text: bytes, directory: str) -> list[MountEntry]:
    """`under` of all that is in `text`; other mounts, hundreds on some hosts, are passed over, read or not."""
    name = _trimmed(directory).rpartition("/")[2].encode("utf-8", "surrogateescape")
    if name and b"\\" not in text:  # what is escaped reads otherwise
        near = b"/" + name
        text = b"\n".join(line for line in text.split(b"\n") if near in line) if near in text else b""
    return under(parse(text), directory)


def at(entries: Iterable[MountEntry], path: str) -> MountEntry | None:
    """The mount that one sees at exactly `path`: of those stacked there, the one on which none of the others lies."""
    there = _trimmed(path)
    stack = [entry for entry in entries if entry.mountpoint == there]
    covered = {entry.parent for entry in stack}
    return next((entry for entry in reversed(stack) if entry.id not in covered), stack[-1] if stack else None)


@dataclass(frozen=True, slots=True)
class Origin:
    """A place by its file system: the device, and the path in it. The same in every mount namespace."""

    device: str
    path: str

    def shown_by(self, entry: MountEntry) -> bool:
        """Whether the mount shows this place or one below it, and nothing around it."""
        inside = self.path.rstrip("/") + "/"
        return entry.device == self.device and (entry.root == self.path or entry.root.startswith(inside))


def origin(entries: Iterable[MountEntry], path: str) -> Origin | None:
    """What one sees at `path`, which is absolute and has no symlink in it; None in an empty table."""
    there = _trimmed(path)
    around = [entry for entry in entries if there == entry.mountpoint or there.startswith(_inside(entry.mountpoint))]
    if not around:
        return None
    nearest = max(len(entry.mountpoint) for entry in around)
    mount = at(around, next(entry.mountpoint for entry in around if len(entry.mountpoint) == nearest))
    assert mount is not None
    rest = there[len(mount.mountpoint.rstrip("/")) :]
    return Origin(mount.device, (mount.root.rstrip("/") + rest) or "/")


def _inside(directory: str) -> str:
    return directory.rstrip("/") + "/"


def _parse_line(number: int, line: str) -> MountEntry:
    head, separator, tail = line.partition(" - ")
    fields = head.split(" ")
    rest = tail.split(" ", 2)  # some file systems leave blanks in their own options
    if not separator or len(fields) < 6 or len(rest) != 3:
        raise Invalid(f"mountinfo: line {number} has too few fields")
    try:
        ids = int(fields[0]), int(fields[1])
    except ValueError:
        raise Invalid(f"mountinfo: line {number} does not start with two numbers") from None
    return MountEntry(
        ids[0],
        ids[1],
        fields[2],
        _unescaped(fields[3]),
        _trimmed(_unescaped(fields[4]).removesuffix(_DELETED)),
        _words(fields[5]),
        tuple(fields[6:]),
        _unescaped(rest[0]),
        _unescaped(rest[1]),
        _words(rest[2]),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(_unescaped(text).split(",")) if text else ()


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _trimmed(path: str) -> str:
    return path.rstrip("/") or "/"
