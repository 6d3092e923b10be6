"""The inode layout of the view.

     63   62   61                                      3  2    0
    +----+----+-----------------------------------------+------+
    | 0  | 0  | serial of the volume                    | kind |    control nodes
    | 0  | 1  | a file inside of a _data, see passthrough       |
    +----+----+-----------------------------------------+------+

    kind   0 the volume's directory   1 opts.json   2 meta   3 _data

An open control file's handle is its inode, and what its length was:

     63   62   61            46 45                           0
    +----+----+----------------+------------------------------+
    | 0  | 0  | length % 2**16 | inode                        |
    +----+----+----------------+------------------------------+

Law: a number is computed from what the store keeps, never counted: `forget` has nothing to do, and a new daemon
understands every number that an old one gave out. The view's own directory is 1, where opts.json of volume 0 would be:
serials begin at 1.
"""

from enum import IntEnum

ROOT = 1
_KIND_BITS = 3
_INODE_BITS = 46  # serials count on from a clock in milliseconds: enough until the year 2248
_LENGTHS = 1 << 16


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


def handle(number: int, length: int) -> int:
    """The handle of a control file that is `length` bytes long when it is opened."""
    return length % _LENGTHS << _INODE_BITS | number


def inode_of(opened: int) -> int:
    """The inode of a control file's handle."""
    return opened & (1 << _INODE_BITS) - 1


def part(opened: int, text: bytes, offset: int, size: int) -> bytes:
    """What to answer for a read of a control file whose content is `text` now.

    Who has read all that there was when it was opened is at the end, though it may have grown since: the rest of
    another text would not fit what they have.
    """
    length = opened >> _INODE_BITS
    if offset and offset % _LENGTHS == length != len(text) % _LENGTHS:
        return b""
    return text[offset : offset + size]
