"""The inode layout of the view.

     63   62   61                                      3  2    0
    +----+----+-----------------------------------------+------+
    | 0  | 0  | serial of the volume                    | kind |    control nodes
    | 0  | 1  | a file inside of a _data, see passthrough       |
    +----+----+-----------------------------------------+------+

    kind   0 the volume's directory   1 opts.json   2 meta   3 _data

Law: a number is computed from what the store keeps, never counted: `forget` has nothing to do, and a new daemon
understands every number that an old one gave out. The view's own directory is 1, where opts.json of volume 0 would be:
serials begin at 1.
"""

from enum import IntEnum

ROOT = 1
_KIND_BITS = 3


class NodeKind(IntEnum):
    """What a control node is."""

    VOLUME = 0
    OPTS = 1
    META = 2
    DATA = 3


NAMES = {b"opts.json": NodeKind.OPTS, b"meta": NodeKind.META, b"_data": NodeKind.DATA}


def inode(serial: int, kind: NodeKind = NodeKind.VOLUME) -> int:
    """The inode of a node of the volume with this serial."""
    return serial << _KIND_BITS | kind


def split(number: int) -> tuple[int, NodeKind] | None:
    """(serial, kind) of a control node's inode; None for one that no volume can have."""
    kind = number & (1 << _KIND_BITS) - 1
    serial = number >> _KIND_BITS
    return (serial, NodeKind(kind)) if serial and kind <= NodeKind.DATA else None
