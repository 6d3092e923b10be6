"""Listing a directory of a volume while it changes.

Law: the names are those of the moment when the listing began (offset 0), so none is skipped or given twice however many
come and go; attributes are read for each answer, and a name without a file any more is left out. Every entry that the
answer had room for counts as one lookup, and no other.
"""

import os
import stat
from collections.abc import Callable, Iterator

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, ReaddirToken

from volfs.view import passthrough_calls as calls
from volfs.view.passthrough_held import Directory, Going, Node, in_thread, promptly
from volfs.view.passthrough_nodes import FIRST, Nodes

_DOTS = (b".", b"..")  # positions 0 and 1
_PAGE = 4096  # what the kernel asks for at least
_ENTRY = 152  # struct fuse_direntplus before the name, which is padded to 8 bytes

_Batch = list[tuple[int, bytes, calls.Found, bool]]
"""Position after the entry, name, what it is, whether it is without xattrs."""


class Listing:
    """Answers READDIRPLUS. How much an answer holds is not told, but learned: answers are mostly of one size."""

    def __init__(self, nodes: Nodes, entry: Callable[[Node, os.stat_result], EntryAttributes], timeout: float) -> None:
        self._nodes = nodes
        self._entry = entry
        self._timeout = timeout
        self._room = _PAGE

    async def reply(self, directory: Directory, start: int, token: ReaddirToken) -> None:
        if start == 0:
            directory.names = None
        elif directory.names is not None and start >= len(_DOTS) + len(directory.names):
            return  # the end, without a trip to a thread
        for position in range(start, len(_DOTS)):
            if not pyfuse3.readdir_reply(token, _DOTS[position], self._dot(directory.node, position), position + 1):
                return
        with self._nodes.using(directory) as tree:
            position, room, more = max(start, len(_DOTS)), self._room, True
            used = 0
            while more:
                at, most, changes = position, room, tree.xattr_changes
                bare_until = trio.current_time() + self._timeout
                go: Going = in_thread if directory.names is None else promptly  # how many there are is not known
                batch, position, more = await go(tree, lambda: _look(directory, at, most))  # noqa: B023  awaited
                if tree.xattr_changes != changes:
                    bare_until = 0.0
                taken = self._give(directory.node, batch, token, bare_until)
                used += sum(_size(name) for _, name, _, _ in batch[:taken])
                if taken < len(batch):
                    self._room = max(_PAGE, used)
                    return
                room = max(_PAGE, used)

    def _give(self, parent: Node, batch: _Batch, token: ReaddirToken, bare_until: float) -> int:
        """How many of the batch the answer had room for. Every descriptor of it is taken over or closed."""
        pending = iter(batch)
        try:
            for taken, (position, name, found, bare) in enumerate(pending):
                node = self._nodes.known(parent, name, found)
                if not pyfuse3.readdir_reply(token, name, self._entry(node, found[1]), position):
                    self._nodes.forget(node.number, 1)
                    return taken
                if bare:
                    node.bare_until = bare_until
            return len(batch)
        finally:
            parent.tree.closer.close([fd for _, _, (fd, _), _ in pending])

    def _dot(self, node: Node, position: int) -> EntryAttributes:
        """The kernel takes only number and type of `.` and `..`, and counts no lookup for them."""
        above = node.parent if node.number >= FIRST else node.number & ~7
        entry = EntryAttributes()
        entry.st_ino = node.number if position == 0 else above
        entry.st_mode = stat.S_IFDIR
        return entry


def _look(directory: Directory, start: int, room: int) -> tuple[_Batch, int, bool]:
    """In a thread: what fills `room` bytes of answer and one entry more; the position after that; is there more?"""
    if directory.names is None:
        directory.names = os.listdir(directory.descriptor())  # noqa: PTH208  of a descriptor
    names = list(_filling(directory.names, start - len(_DOTS), room))
    found = calls.find_all(directory.descriptor(), names)
    batch = [
        (start + n, name, one, calls.is_bare(one[0]))
        for n, (name, one) in enumerate(zip(names, found, strict=True), 1)
        if one
    ]
    return batch, start + len(names), start + len(names) < len(_DOTS) + len(directory.names)


def _filling(names: list[str], first: int, room: int) -> Iterator[bytes]:
    for index in range(first, len(names)):
        name = os.fsencode(names[index])
        yield name
        room -= _size(name)
        if room < 0:
            return


def _size(name: bytes) -> int:
    return _ENTRY + (len(name) + 7) // 8 * 8
