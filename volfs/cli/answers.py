"""What the daemon's JSON means to the commands. Pure.

Law: any JSON value in, a value or BadAnswer out; the daemon may be newer than we are, so unknown fields pass.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from volfs.cli.client import BadAnswer

Volume = Mapping[str, Any]


class Row(NamedTuple):
    """A volume in a table."""

    name: str
    driver: str
    state: str
    users: str
    created: str


class Progress(NamedTuple):
    """How far a run is; `size` in bytes."""

    done: int
    total: int
    size: int
    files: int


class Measure(NamedTuple):
    """What a volume holds, in bytes; a size of -1 is not known. `measured` is when, as text."""

    size: int
    allocated: int
    files: int
    users: int
    measured: str


class SetUp(NamedTuple):
    """A container's name, its mounts as in an OCI runtime spec, how far its root must propagate, and warnings."""

    container: str
    mounts: list[dict[str, Any]]
    propagation: str
    warnings: list[str]


class Released(NamedTuple):
    """The volumes that a container gave back, and warnings."""

    volumes: list[str]
    warnings: list[str]


def volume(answer: object) -> Volume:
    """One volume object; only its name is taken for granted."""
    if not isinstance(answer, dict) or not isinstance(answer.get("Name"), str):
        raise BadAnswer("the daemon's answer is not a volume")
    return answer


def listing(answer: object) -> tuple[list[Volume], list[str]]:
    """Volumes by name, and warnings."""
    if not isinstance(answer, dict):
        raise BadAnswer("the daemon's answer is not a list of volumes")
    volumes = [volume(one) for one in _items(answer, "Volumes")]
    return sorted(volumes, key=lambda one: str(one["Name"])), [str(one) for one in _items(answer, "Warnings")]


def pruned(answer: object) -> tuple[list[str], int]:
    """The names of the volumes that went, and how many bytes with them."""
    if not isinstance(answer, dict):
        raise BadAnswer("the daemon's answer does not say what it removed")
    size = answer.get("SpaceReclaimed")
    return [str(name) for name in _items(answer, "VolumesDeleted")], size if isinstance(size, int) else 0


def set_up(answer: object) -> SetUp:
    """What was set up for a container."""
    if not isinstance(answer, dict):
        raise BadAnswer("the daemon's answer is not a container's mounts")
    mounts = _items(answer, "Mounts")
    if not all(isinstance(one, dict) and isinstance(one.get("destination"), str) for one in mounts):
        raise BadAnswer("a mount in the daemon's answer has no destination")
    propagation = answer.get("RootfsPropagation")
    container = str(answer.get("Name") or answer.get("Id"))
    return SetUp(container, mounts, propagation if propagation in ("shared", "rslave") else "", _warnings(answer))


def mount_row(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """The cells of a mount."""
    options = one.get("options")
    words = ",".join(map(str, options)) if isinstance(options, list) else "-"
    return one["destination"], _cell(one.get("type")), _cell(one.get("source")), words


def released(answer: object) -> Released:
    """What a container gave back."""
    if not isinstance(answer, dict):
        raise BadAnswer("the daemon's answer does not say what was released")
    return Released([str(name) for name in _items(answer, "Volumes")], _warnings(answer))


def line(answer: object) -> dict[str, Any]:
    """A line of an answer that comes line by line."""
    if not isinstance(answer, dict):
        raise BadAnswer("a line of the daemon's answer is not an object")
    return answer


def progress(found: object) -> Progress:
    """How far the daemon is; what it does not say is 0."""
    fields = found if isinstance(found, dict) else {}
    return Progress(*(_number(fields.get(key), 0) for key in ("Done", "Total", "Size", "Files")))


def measure(one: Volume) -> Measure:
    """The figures of a volume."""
    found = one.get("UsageData")
    fields = found if isinstance(found, dict) else {}
    return Measure(
        _number(fields.get("Size"), -1),
        _number(fields.get("Allocated"), 0),
        _number(fields.get("Files"), 0),
        _number(fields.get("RefCount"), 0),
        _cell(fields.get("Measured")),
    )


def row(one: Volume) -> Row:
    """The cells of a volume; `-` where the daemon says nothing."""
    status, users = one.get("Status"), one.get("UsedBy")
    state = status.get("State") if isinstance(status, dict) else None
    return Row(
        name=one["Name"],
        driver=_cell(one.get("Driver")),
        state=_cell(state),
        users=str(len(users)) if isinstance(users, list) else "-",
        created=_cell(one.get("CreatedAt")),
    )


def _warnings(answer: dict[str, Any]) -> list[str]:
    """The texts of findings."""
    found = _items(answer, "Warnings")
    return [str(one["Text"]) for one in found if isinstance(one, dict) and "Text" in one]


def _items(answer: dict[str, Any], key: str) -> list[Any]:
    items = answer.get(key)
    if items is None:
        return []
    if not isinstance(items, list):
        raise BadAnswer(f'"{key}" in the daemon\'s answer is not a list')
    return items


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and value >= 0 else otherwise


def _cell(value: object) -> str:
    return value if isinstance(value, str) and value else "-"
