"""A volume as people and programs read it: Docker's fields, its state, and who uses it. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from volfs.volume.volume import Figure, Kind, Reference, Volume, users


@lru_cache(maxsize=4096)  # a list has many of the same second
def rfc3339(seconds: int) -> str:
    """`2026-11-24T03:39:46Z`; a time outside of the calendar's years becomes Docker's zero time."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return "0001-01-01T00:00:00Z"


def shown(volume: Volume, mountpoint: str, references: Sequence[Reference]) -> dict[str, Any]:
    """The object that the Engine API answers and `meta` holds; options are as given, secrets included."""
    return {
        "CreatedAt": rfc3339(volume.created),
        "Driver": volume.driver,
        "Labels": volume.labels,
        "Mountpoint": mountpoint,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": volume.scope,
        "Status": {"State": volume.state.value},
        "UsedBy": [_user(one) for one in references if one.kind is not Kind.LEAVING],
    }


def _user(one: Reference) -> dict[str, str]:
    """A user; `Name` and `State` only where they are known."""
    known = {"Name": one.name, "State": one.state}
    told = {key: text for key, text in known.items() if text}
    return {"Id": one.id, "Kind": one.kind.value, **told, "Since": rfc3339(one.since)}


NOT_MEASURED = -1  # Docker's size of what it could not measure


def usage_data(figure: Figure | None, references: Sequence[Reference]) -> dict[str, Any]:
    """Docker's `UsageData`, with what was measured besides and when; the view, which only looks, is no user."""
    count = len(users(references))
    if figure is None:
        return {"Size": NOT_MEASURED, "RefCount": count}
    return {
        "Size": figure.apparent,
        "Allocated": figure.allocated,
        "Files": figure.files,
        "RefCount": count,
        "Measured": rfc3339(figure.time),
    }
