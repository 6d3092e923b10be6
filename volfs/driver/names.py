"""The names that a volume may have, and how they read as names of files.

The rule is that of Docker's local driver: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, at least two bytes and, because a name is
a directory, at most 255. A name can therefore never be hidden, contain a slash, or be `.` or `..`.

Docker takes any name for a volume of a plugin: `sp ace`, `../up`, `a/b`. Its file name has what a directory cannot hold
as `%2F`, one for one: `file_name` and `name_of_file` turn one into the other. The file name of a local volume is its
name.
"""

import re
from collections.abc import Sequence
from typing import NewType
from urllib.parse import unquote

from volfs.errors import Invalid

VolumeName = NewType("VolumeName", str)

LONGEST = 255
_ALLOWED = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ALL_ALLOWED = re.compile(r"(?:[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}+(?:/|$))*+")
_AT_ONCE = 1_000
_NO_FILE = re.compile(r"^\.|[%/\x00-\x1f\x7f]")


def parse_volume_name(text: str) -> VolumeName:
    """Returns `text` as a name; raises Invalid with Docker's message where it is none."""
    if is_volume_name(text):
        return VolumeName(text)
    if len(text.encode(errors="surrogateescape")) == 1:
        raise Invalid("volume name is too short, names should be at least two alphanumeric characters")
    if _ALLOWED.fullmatch(text):
        raise Invalid(f"volume name is too long: {len(text)} bytes, at most {LONGEST} are allowed")
    raise Invalid(
        f"{quoted(text)} includes invalid characters for a local volume name, "
        'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
        "If you intended to pass a host directory, use absolute path"
    )


def is_volume_name(text: str) -> bool:
    """Whether `text` keeps the rule."""
    return len(text) <= LONGEST and _ALLOWED.fullmatch(text) is not None


def volume_names(found: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of a directory that keep the rule, and the others: asked in batches, of which nearly all do."""
    names, others = list[str](), list[str]()
    for at in range(0, len(found), _AT_ONCE):
        batch = found[at : at + _AT_ONCE]
        if _ALL_ALLOWED.fullmatch("/".join(batch)):
            names += batch
            continue
        for name in batch:
            (names if is_volume_name(name) else others).append(name)
    return names, others


def parse_plugin_name(text: str) -> VolumeName:
    """Returns `text` as the name of a plugin's volume: anything that has a file name. Raises Invalid."""
    if not text or "\0" in text:
        raise Invalid("a volume name is text without NUL")
    if not has_file_name(text):
        raise Invalid(f"volume name is too long: at most {LONGEST} bytes are allowed, as a file name")
    return VolumeName(text)


def file_name(name: str) -> str:
    """`name` as a name in a directory: a leading dot, slashes, control characters and `%` are escaped."""
    if _ALLOWED.fullmatch(name):
        return name
    return _NO_FILE.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape")), name
    )


def has_file_name(name: str) -> bool:
    """Whether a directory can hold `file_name(name)`."""
    return len(file_name(name).encode(errors="surrogateescape")) <= LONGEST


def name_of_file(text: str) -> str | None:
    """The name whose `file_name` is `text`; None where there is none."""
    name = unquote(text, errors="surrogateescape") if "%" in text else text
    return name if file_name(name) == text else None


def quoted(text: str) -> str:
    """`text` in double quotes with control characters escaped, close to Go's %q, so that no message breaks a line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped) + '"'
