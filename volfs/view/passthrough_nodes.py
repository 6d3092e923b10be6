"""Which inodes and handles of the volumes' data the kernel knows, and the descriptors that stand for them.

    number   01hh hhhh … hhhh    bit 62, then 62 bits of hash(daemon, data directory, its incarnation, st_dev, st_ino)
    handle   01bb bbbb … bbbb    bit 62, then a counter that starts at the nanoseconds since boot

Law: one number for one inode, so hard links share it and it stays as long as the daemon lives; no number of an earlier
daemon, or of a tree that was forgotten, means anything (ESTALE, upon which the kernel looks the path up again). A node
keeps an O_PATH descriptor until the kernel forgets it, which pins the inode: st_ino cannot change hands meanwhile.
Everything here runs in the event loop's thread, except `_ask`.
"""

import errno
import hashlib
import itertools
import os
import secrets
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import pyfuse3
import trio

from volfs.view.passthrough_calls import Found
from volfs.view.passthrough_held import Directory, File, Held, Node, Tree

T = TypeVar("T")

FIRST = 1 << 62
END = 1 << 63  # numbers stay positive where somebody takes them for signed

_THREADS = 8  # of one tree; a hung store blocks these, and nobody else's
_CROWD = 32
_SILENCE = 5.0
"""Seconds. With a crowd waiting for a store that answered nobody for so long, the next caller gets ETIMEDOUT at once:
each waiting request takes one of pyfuse3's tasks, and when all are taken the whole view stands still."""


class Nodes:
    """The tables: trees, numbers, handles."""

    def __init__(
        self,
        open_data: Callable[[int], int],
        home: int,
        most_descriptors: int,
        invalidate: Callable[[int, bytes], None],
    ) -> None:
        self._open_data = open_data
        self._home = home
        self._most = most_descriptors
        self._invalidate = invalidate
        self._key = secrets.token_bytes(16)
        self._trees: dict[int, Tree] = {}
        self._incarnations: dict[int, int] = {}  # only of trees that were forgotten with something in them
        self._nodes: dict[int, Node] = {}
        self._handles: dict[int, File | Directory] = {}
        self._generations = itertools.count(1)
        self._next_handle = itertools.count(FIRST + time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self._relieving = False
        self._sent_back: set[tuple[int, bytes]] = set()

    def node(self, inode: int) -> Node:
        """The node of a number that the kernel sent. ESTALE where it is none of ours."""
        if inode < FIRST:
            return self._tree(inode).root
        try:
            return self._nodes[inode]
        except KeyError:
            raise pyfuse3.FUSEError(errno.ESTALE) from None

    def file(self, fh: int) -> File:
        handle = self._handles.get(fh)
        if isinstance(handle, File):
            return handle
        raise pyfuse3.FUSEError(errno.ESTALE)

    def directory(self, fh: int) -> Directory:
        handle = self._handles.get(fh)
        if isinstance(handle, Directory):
            return handle
        raise pyfuse3.FUSEError(errno.ESTALE)

    @contextmanager
    def using(self, *held: Held) -> Iterator[Tree]:
        """Keeps these open for the length of a request, and turns what the store says into what FUSE may be told."""
        tree = held[0].tree
        if tree.inside >= _CROWD and trio.current_time() - tree.answered > _SILENCE:
            raise pyfuse3.FUSEError(errno.ETIMEDOUT)
        if not tree.inside:
            tree.answered = trio.current_time()
        tree.inside += 1
        for one in held:
            one.users += 1
        try:
            yield tree
        except OSError as failure:
            raise pyfuse3.FUSEError(failure.errno or errno.EIO) from failure
        finally:
            tree.answered = trio.current_time()
            tree.inside -= 1
            for one in held:
                one.users -= 1
                one.uses += 1
            tree.drop(*(one for one in held if one.dropped))
            self.rest(tree)

    def at_once(self, held: Held, work: Callable[[int], T], *, near: bool = False) -> T:
        """What `work` says of a descriptor, here and now. BlockingIOError where a thread has to ask.

        near: `work` may read from the disk; so it is a thread's unless that is the disk of the catalogue.
        """
        tree = held.tree
        if not (tree.near if near else tree.at_once):
            raise BlockingIOError
        try:
            return work(held.descriptor())
        except BlockingIOError:
            raise
        except OSError as failure:
            self.rest(tree)
            raise pyfuse3.FUSEError(failure.errno or errno.EIO) from None

    def known(self, directory: Node, name: bytes, found: Found) -> Node:
        """The node of what was found, counted as looked up once more. Takes the descriptor over."""
        fd, status = found
        tree, key = directory.tree, (status.st_dev, status.st_ino)
        node = tree.nodes.get(key)
        if node is not None:
            os.close(fd)  # never the last of its inode
        elif tree.dropped or len(self._nodes) + len(self._handles) >= self._most:
            tree.closer.close([fd])
            raise pyfuse3.FUSEError(errno.ESTALE if tree.dropped else errno.ENFILE)
        else:
            kind = stat.S_IFMT(status.st_mode)
            node = Node(tree, fd, self._number(tree, key), kind, key, next(self._generations))
            tree.nodes[key] = self._nodes[node.number] = node
            self._relieve()
        node.lookups += 1
        node.parent, node.name = directory.number, name
        return node

    def is_at(self, directory: Node, name: bytes, status: os.stat_result | None) -> Node | None:
        """The node of what is there now, if that is what the kernel was last told of this name."""
        node = directory.tree.nodes.get((status.st_dev, status.st_ino)) if status is not None else None
        return node if node is not None and (node.parent, node.name) == (directory.number, name) else None

    def send_back(self, directory: Node, name: bytes) -> None:
        """For ESTALE: the kernel looks the name up again and comes back, once."""
        if len(self._sent_back) > _CROWD:
            self._sent_back.clear()  # some did not come back
        self._sent_back.add((directory.number, name))

    def was_sent_back(self, directory: Node, name: bytes) -> bool:
        """Whether this is somebody who comes back."""
        known = (directory.number, name) in self._sent_back
        self._sent_back.discard((directory.number, name))
        return known

    def forget(self, number: int, lookups: int) -> None:
        """The kernel dropped so many of its lookups. A number that nobody knows is an earlier daemon's."""
        node = self._nodes.get(number)
        if node is None:
            return
        node.lookups -= lookups
        if node.lookups <= 0:
            del self._nodes[number]
            del node.tree.nodes[node.key]
            node.tree.drop(node)
            self.rest(node.tree)

    def opened(self, handle: File | Directory) -> int:
        """The number of a new handle. ESTALE where its tree was forgotten while it was being opened."""
        if handle.tree.dropped:
            handle.tree.drop(handle)
            raise pyfuse3.FUSEError(errno.ESTALE)
        fh = next(self._next_handle)
        self._handles[fh] = handle
        handle.tree.handles.add(fh)
        handle.node.handles += 1
        return fh

    def released(self, fh: int) -> None:
        handle = self._handles.pop(fh, None)
        if handle is not None:
            handle.node.handles -= 1
            handle.tree.handles.discard(fh)
            wrote = isinstance(handle, File) and handle.writable
            if not handle.users and (handle.tree.near if wrote else handle.tree.at_once):
                os.close(handle.take())  # the node's own descriptor stays, so this is never an inode's last
            else:
                handle.tree.drop(handle)
            self.rest(handle.tree)

    def forget_tree(self, data: int) -> None:
        tree = self._trees.pop(data, None)
        if tree is None:
            return
        tree.dropped = True
        if tree.nodes:
            self._incarnations[data] = tree.salt + 1
        nodes = list(tree.nodes.values())
        handles = [self._handles.pop(fh) for fh in tree.handles]
        for node in nodes:
            del self._nodes[node.number]
        tree.nodes.clear()
        tree.handles.clear()
        tree.drop(tree.root, *nodes, *handles)

    def close(self) -> None:
        for data in list(self._trees):
            self.forget_tree(data)

    def _tree(self, data: int) -> Tree:
        tree = self._trees.get(data)
        if tree is None:
            salt = self._incarnations.get(data, 0)
            tree = self._trees[data] = Tree(data, salt, self._open_data, self._home, _THREADS)
        return tree

    def rest(self, tree: Tree) -> None:
        """A tree that the kernel holds nothing of is let go, its root's descriptor too: it would keep a mount busy."""
        if not (tree.inside or tree.nodes or tree.handles or tree.dropped):
            del self._trees[tree.root.number]
            tree.dropped = True
            tree.drop(tree.root)

    def _number(self, tree: Tree, key: tuple[int, int]) -> int:
        what = struct.pack("=QQQQ", tree.root.number, tree.salt, key[0], key[1])
        digest = hashlib.blake2b(what, digest_size=8, key=self._key).digest()
        number = FIRST | int.from_bytes(digest, "big") >> 2
        while number in self._nodes:
            number = FIRST | (number + 1) % FIRST
        return number

    def _relieve(self) -> None:
        """Past half of the descriptors, asks the kernel to drop the names of files that nobody has open, oldest first.

        The kernel itself forgets only when memory is short. Directories stay: one may be somebody's working directory.
        """
        held, lot = len(self._nodes) + len(self._handles), max(self._most // 32, 1)
        if self._relieving or held < self._most // 2 or held % max(lot // 2, 1):
            return
        unused = (node for node in self._nodes.values() if node.kind != stat.S_IFDIR and not node.handles)
        oldest = list(itertools.islice(unused, lot))
        for node in oldest:
            self._nodes[node.number] = self._nodes.pop(node.number)
        names = [(node.parent, node.name) for node in oldest]
        self._relieving = True
        try:
            trio.lowlevel.start_thread_soon(lambda: self._ask(names), lambda _: None, "volfs relief")
        except RuntimeError:  # no more threads
            self._relieving = False

    def _ask(self, names: list[tuple[int, bytes]]) -> None:
        """In a thread: an invalidation waits for the parent directory's lock, which a lookup of ours may hold."""
        for parent, name in names:
            with suppress(OSError):
                self._invalidate(parent, name)
        self._relieving = False
