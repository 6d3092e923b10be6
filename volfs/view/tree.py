"""Which nodes the view has, their attributes and contents. Pure.

VIEW/            the volumes
  NAME/          0755
    opts.json    0444  Docker's mount options, secrets masked; `{}` where there are none
    meta         0444  what the volume is and who uses it, as JSON
    _data/       the data; only where the volume can be used
"""

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from volfs.driver.discretion import shown_to_people
from volfs.driver.names import VolumeName
from volfs.driver.options import masked, to_text
from volfs.view.inodes import ROOT, NodeKind, inode
from volfs.volume.describe import shown, usage_data
from volfs.volume.volume import Figure, Kind, Reference, Volume

DIRECTORY, FILE = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o444


@dataclass(frozen=True, slots=True)
class Attributes:
    """What stat(2) shows of a control node; `time` in seconds since the epoch, for atime, mtime and ctime."""

    inode: int
    mode: int
    nlink: int = 1
    uid: int = 0
    gid: int = 0
    size: int = 0
    time: int = 0


@dataclass(frozen=True)
class Door:
    """Who may enter the view: its owner, group and mode."""

    uid: int
    gid: int
    mode: int


def root_attributes(door: Door, volumes: int, time: int) -> Attributes:
    """The view's own directory; nlink counts the volumes, as for any directory."""
    return Attributes(ROOT, stat.S_IFDIR | door.mode, 2 + volumes, door.uid, door.gid, time=time)


def children(volume: Volume) -> list[tuple[bytes, NodeKind]]:
    """What is in a volume's directory. `_data` is hidden where it could not be entered; `meta` says why."""
    names = [(b"_data", NodeKind.DATA)] if volume.state.has_data else []
    return [*names, (b"meta", NodeKind.META), (b"opts.json", NodeKind.OPTS)]


def attributes(volume: Volume, kind: NodeKind, size: int = 0, changed: int = 0) -> Attributes:
    """A node of a volume; `size` of its content, `changed` when its users or its figure last did."""
    node = inode(volume.serial, kind)
    match kind:
        case NodeKind.VOLUME:
            return Attributes(node, DIRECTORY, 3, time=volume.created)
        case NodeKind.DATA:
            return Attributes(node, DIRECTORY, 2, time=volume.created)
        case NodeKind.META:
            return Attributes(node, FILE, size=size, time=max(volume.created, changed))
        case NodeKind.OPTS:
            return Attributes(node, FILE, size=size, time=volume.created)


def opts_text(volume: Volume) -> bytes:
    """The content of `opts.json`: Docker's text; of a plugin's volume, the options as they were given."""
    if not volume.options:
        return b"{}\n"
    shown = shown_options(volume, volume.options)
    if volume.local:
        return to_text(shown) + b"\n"
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogateescape") + b"\n"


def shown_options(volume: Volume, options: Mapping[str, str]) -> dict[str, str]:
    """The options without secrets."""
    return masked(options) if volume.local else shown_to_people(options)


def edition() -> str:
    """Tells this way of writing the texts from that of another volfs, whose texts a kernel may have cached."""
    sample = Volume(VolumeName("sample"), 1, 1, options={"type": "t", "device": "d"}, labels={"a": "1"})
    reference, figure = Reference("id", Kind.PLUGIN, "boot", 1), Figure(1, 2, 3, 4)
    text = opts_text(sample) + meta_text(sample, "/there", [reference], figure) + meta_text(sample, "/there", [])
    return hashlib.sha256(text).hexdigest()[:16]


def meta_text(volume: Volume, mountpoint: str, references: Sequence[Reference], figure: Figure | None = None) -> bytes:
    """The content of `meta`; `UsageData` is null, as Labels and Options are, where there is none."""
    fields = shown(volume, mountpoint, references)
    fields["UsageData"] = usage_data(figure, references) if figure is not None else None
    if volume.options:
        fields["Options"] = shown_options(volume, volume.options)
    order = ["Name", "Driver", "Scope", "Mountpoint", "CreatedAt", "Labels", "Options", "Status", "UsedBy", "UsageData"]
    return _indented({key: fields[key] for key in order}) + b"\n"


def _indented(value: object) -> bytes:
    """JSON as `json.dumps` indents it: 1 µs instead of 23 for a volume with no users, where all texts are UTF-8."""
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=2)
    except UnicodeEncodeError:
        return json.dumps(value, indent=2, ensure_ascii=False).encode(errors="surrogateescape")
