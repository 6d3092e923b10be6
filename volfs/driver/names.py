"""The names that a volume may have.

The rule is that of Docker's local driver: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, at least two bytes and, because a name is
a directory, at most 255. A name can therefore never be hidden, contain a slash, or be `.` or `..`.
"""

import re
from typing import NewType

from volfs.errors import Invalid

VolumeName = NewType("VolumeName", str)

LONGEST = 255
_ALLOWED = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


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
    """Whether `text` keeps the rule; for scans, where an exception for every stranger would be slow."""
    return len(text) <= LONGEST and _ALLOWED.fullmatch(text) is not None


def quoted(text: str) -> str:
    """`text` in double quotes with control characters escaped, close to Go's %q, so that no message breaks a line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped) + '"'
