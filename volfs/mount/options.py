"""The text of `o=`: words as in fstab(5), told apart into flags for mount(2), propagation and the file system's data.

Law: as Docker's local driver reads it. A word of the table is a flag, later words win over earlier ones, and everything
else is data, in its order and untouched (cifs writes a comma in a value as `,,`). Only `defaults` says nothing, as in
mount(8), where Docker hands it to a file system that then refuses it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from volfs.masking import MASK, is_secret

# linux/mount.h
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOATIME = 1 << 10
MS_NODIRATIME = 1 << 11
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24

_SET = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "sync": MS_SYNCHRONOUS,
    "dirsync": MS_DIRSYNC,
    "remount": MS_REMOUNT,
    "mand": MS_MANDLOCK,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "relatime": MS_RELATIME,
    "strictatime": MS_STRICTATIME,
    "bind": MS_BIND,
    "rbind": MS_BIND | MS_REC,
}
_CLEAR = {
    "defaults": 0,
    "rw": MS_RDONLY,
    "suid": MS_NOSUID,
    "dev": MS_NODEV,
    "exec": MS_NOEXEC,
    "async": MS_SYNCHRONOUS,
    "nomand": MS_MANDLOCK,
    "atime": MS_NOATIME,
    "diratime": MS_NODIRATIME,
    "norelatime": MS_RELATIME,
    "nostrictatime": MS_STRICTATIME,
}
_PROPAGATION = {
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "shared": MS_SHARED,
    "rshared": MS_SHARED | MS_REC,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE | MS_REC,
    "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE | MS_REC,
}


@dataclass(frozen=True, slots=True)
class MountFlags:
    """What mount(2) is to be called with; `propagation` is for a second call, 0 where none was asked for."""

    flags: int
    data: str
    propagation: int


def parse(text: str) -> MountFlags:
    """Reads `text`; any text is right here, the file system may refuse the data later.

    As with Docker, a recursive propagation makes a bind recursive and the other way round: `bind,rprivate` is
    `rbind,rprivate`. Two propagations are both passed on, which mount(2) refuses with EINVAL.
    """
    flags = propagation = 0
    data = []
    for word in text.split(","):
        if word in _SET:
            flags |= _SET[word]
        elif word in _CLEAR:
            flags &= ~_CLEAR[word]
        elif word in _PROPAGATION:
            propagation |= _PROPAGATION[word]
        else:
            data.append(word)
    if flags & MS_BIND and propagation:
        recursive = (flags | propagation) & MS_REC
        flags, propagation = flags | recursive, propagation | recursive
    return MountFlags(flags, ",".join(data), propagation)


def address(data: str) -> str | None:
    """The value of the first `addr=` in `data`; None where there is none or it is empty."""
    values = (word.removeprefix("addr=") for word in data.split(",") if word.startswith("addr="))
    return next(values, None) or None


def with_address(data: str, ip: str) -> str:
    """`data` with the first textual occurrence of its `addr=` replaced, as Docker does after resolving the name."""
    found = address(data)
    return data if found is None else data.replace(f"addr={found}", f"addr={ip}", 1)


def masked(text: str) -> str:
    """`text` with the values of secrets replaced by MASK, also where a value holds commas written as `,,`."""
    words = ((word, key, value) for word, key, value in _words(text))
    return ",".join(f"{key}={MASK if value else ''}" if key else word for word, key, value in words)


def secrets(text: str) -> list[str]:
    """The values that `masked` hides, as they are written."""
    return [value for _, key, value in _words(text) if key and value]


def _words(text: str) -> Iterator[tuple[str, str, str]]:
    """Each word; of one that is secret, its key and its value, else two empty texts."""
    words = text.split(",")
    position = 0
    while position < len(words):
        word = words[position]
        key, separator, value = word.partition("=")
        position += 1
        if not (separator and is_secret(key)):
            yield word, "", ""
            continue
        while position + 1 < len(words) and words[position] == "":
            value += ",," + words[position + 1]
            position += 2
        yield word, key, value
