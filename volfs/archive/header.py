"""The blocks of a tar archive as values, in the one dialect that GNU tar writes with --format=posix. Pure.

    [x header, pax records]   header, 512 bytes   data, padded to 512 bytes

Law: any bytes give a value or Invalid. Whatever two programs could read in two ways is refused: numbers that are not
plain octal, records that are unknown or come twice, names with a NUL, links or directories with data. So what is
checked here is what tar sees. Sources: POSIX pax(1), tar(5), "Storing sparse files" in GNU tar's manual.
"""

import re
from dataclasses import dataclass

from volfs.errors import Invalid

BLOCK = 512
FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
RECORDS = b"x"
LARGEST_RECORDS = 64 << 20  # bytes: a file may have many extended attributes of 64 KiB
END = bytes(BLOCK)

_KINDS = (FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO)
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_LENGTH = re.compile(rb"([1-9][0-9]{0,8}) ")
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,18}")
_KNOWN = re.compile(
    rb"path|linkpath|size|uid|gid|uname|gname|[acm]time|SCHILY\.xattr\..+|SCHILY\.acl\.(access|default)|"
    rb"RHT\.security\.selinux|GNU\.sparse\.(major|minor|name|realsize)",
    re.DOTALL,
)
_SPARSE = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0"}


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its headers as they were read, its name, kind and link target, and the bytes of data that follow."""

    raw: bytes
    path: bytes
    kind: bytes
    size: int
    link: bytes = b""

    @property
    def padded(self) -> int:
        """The bytes of data with their padding."""
        return -(-self.size // BLOCK) * BLOCK


def is_records(block: bytes) -> bool:
    """Whether the header of this block says that pax records follow."""
    return block[156:157] == RECORDS


def data_size(block: bytes) -> int:
    """The size in a header, whose checksum and magic are checked first."""
    stored = _octal(block[148:156], "checksum")
    if sum(block) - sum(block[148:156]) + 8 * ord(" ") != stored:
        raise Invalid("a header is damaged: its checksum is wrong")
    if block[257:265] != b"ustar\x0000":
        raise Invalid("a header is not POSIX's")
    return _octal(block[124:136], "size")


def parse_records(text: bytes) -> dict[bytes, bytes]:
    """The pax records of a member."""
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(text):
        length = _LENGTH.match(text, position, position + 10)
        end = position + int(length[1]) if length else 0
        if length is None or not length.end() < end <= len(text) or text[end - 1 : end] != b"\n":
            raise Invalid("an extended header is damaged")
        key, equals, value = text[length.end() : end - 1].partition(b"=")
        if not equals or not _KNOWN.fullmatch(key) or key in found:
            raise Invalid(f"an extended header has a record that volfs does not write: {key[:60]!r}")
        found[key] = value
        position = end
    return found


def parse_member(raw: bytes, block: bytes, records: dict[bytes, bytes]) -> Member:
    """The member of a header and its records; `raw` are all its bytes."""
    size = data_size(block)
    kind = block[156:157]
    if kind not in _KINDS:
        raise Invalid(f"a member is of a kind that volfs does not write: {kind!r}")
    if b"size" in records:
        size = _number(records[b"size"], "size")
    prefix, name = _text(block[345:500]), _text(block[:100])
    path = records.get(b"path", prefix + b"/" + name if prefix else name)
    if any(key.startswith(b"GNU.sparse.") for key in records):
        path = _sparse_path(kind, records)
    link = records.get(b"linkpath", _text(block[157:257]))
    if b"\0" in path or b"\0" in link:
        raise Invalid("a name in it holds a NUL")
    if size and kind != FILE:
        raise Invalid(f"{shown(path)} is no file but has data")
    return Member(raw, path, kind, size, link if kind in (HARD_LINK, SYMLINK) else b"")


def _sparse_path(kind: bytes, records: dict[bytes, bytes]) -> bytes:
    """The name of a file with holes; its header has a name for programs that know nothing of them."""
    if kind != FILE or any(records.get(key) != value for key, value in _SPARSE.items()):
        raise Invalid("a file with holes is written in a way that volfs does not write")
    _number(records.get(b"GNU.sparse.realsize", b""), "size")
    path = records.get(b"GNU.sparse.name", b"")
    if not path:
        raise Invalid("a file with holes has no name")
    return path


def shown(path: bytes) -> str:
    """A name for people."""
    text = path[:200].decode(errors="backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _text(field: bytes) -> bytes:
    """A field up to its first NUL, after which there may be nothing."""
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise Invalid("a header is damaged: there is something behind a name")
    return text


def _octal(field: bytes, what: str) -> int:
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise Invalid(f"a header is damaged: its {what} is no number")
    return int(match[1], 8)


def _number(text: bytes, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise Invalid(f"an extended header is damaged: its {what} is no number")
    return int(text)
