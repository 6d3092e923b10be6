"""What stands for an inode, an open file or an open directory of a volume's data: descriptors and who uses them.

Law: a descriptor in use by a thread is never closed, or the thread would act on whatever got its number next; and
closing happens in threads, because the last close of a deleted file may block. Everything here runs in the event loop's
thread, except `descriptor` and `_Closer`.
"""

import os
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

import trio

from volfs.view.passthrough_at_once import dates_every_change, never_asks_elsewhere
from volfs.view.passthrough_trips import Trips

T = TypeVar("T")
_GATHERING = 0.01  # seconds
_SLOW = 0.02
_SPARED = 0.5


class Held:
    """A descriptor with its users: requests that are in a thread with it. `uses`: requests that are done with it."""

    __slots__ = ("_fd", "dropped", "tree", "users", "uses")

    def __init__(self, tree: "Tree", fd: int) -> None:
        self.tree = tree
        self._fd = fd
        self.users = 0
        self.uses = 0
        self.dropped = False

    def descriptor(self) -> int:
        """For worker threads; valid while the caller is one of `users`."""
        return self._fd

    def take(self) -> int:
        """The descriptor, which belongs to the caller from now on; -1 where there is none."""
        fd, self._fd = self._fd, -1
        return fd


class Node(Held):
    """An inode that the kernel knows. `parent` and `name`: where it was last seen, for asking the kernel to drop it.

    `bare_until`: up to when (trio's clock) the kernel may be told, without asking again, that it has no xattrs. It asks
    before every write (security.capability), and `ls -l` asks twice for each file (ACLs).
    `told`: the size that the kernel believes in, as far as we know. `rested`: the ctime that it had when it was last
    opened, if it had rested by then.
    """

    __slots__ = (
        "bare_until",
        "generation",
        "handles",
        "key",
        "kind",
        "lookups",
        "name",
        "number",
        "parent",
        "rested",
        "told",
    )

    def __init__(self, tree: "Tree", fd: int, number: int, kind: int, key: tuple[int, int], generation: int) -> None:
        super().__init__(tree, fd)
        self.number = number
        self.kind = kind
        self.key = key
        self.generation = generation
        self.lookups = 0
        self.bare_until = 0.0
        self.handles = 0
        self.parent = 0
        self.name = b""
        self.told = -1
        self.rested = 0

    def is_as_cached(self, rest: float) -> bool:
        """At an open: whether the contents that the kernel has cached are surely what is there.

        They are where the ctime is still that of the open before. But what is written by way of mapped memory shows in
        it only once for as long as the page is dirty, which is some 30 seconds (vm.dirty_expire_centisecs); so a file
        must have rested for longer, `rest` seconds.
        """
        if not self.tree.dates_changes:
            return False
        ctime, before = os.fstat(self._fd).st_ctime_ns, self.rested
        self.rested = ctime if time.time_ns() - ctime > rest * 1e9 else 0
        return ctime == before


class Root(Node):
    """A tree's `_data`. Opened in the thread that needs it first. No lookups: its number is the control side's.

    The kernel asks for its attributes at each step through it: one answer serves until it is old or the root was used.
    """

    __slots__ = ("_lock", "_open", "_status", "_until")

    def __init__(self, tree: "Tree", number: int, opening: Callable[[int], int]) -> None:
        super().__init__(tree, -1, number, stat.S_IFDIR, (0, 0), 0)
        self._open = opening
        self._lock = threading.Lock()
        self._status: tuple[os.stat_result, int] | None = None
        self._until = 0.0

    def descriptor(self) -> int:
        with self._lock:
            if self._fd < 0:
                fd = self._open(self.number)
                self.tree.at_once = never_asks_elsewhere(fd)
                self.tree.dates_changes = self.tree.at_once and dates_every_change(fd)
                self.tree.near = self.tree.at_once and os.fstat(fd).st_dev == self.tree.home
                self._fd = fd
            return self._fd

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def status(self, now: float) -> os.stat_result | None:
        if self._status and self._status[1] == self.uses and now < self._until:
            return self._status[0]
        return None

    def remember(self, status: os.stat_result, uses: int, until: float) -> None:
        self._status, self._until = (status, uses), until


class File(Held):
    """An open file. `strip`: its opener may not write and keep the setuid bits. `written`: since last flushed.

    `appends`: it was opened to append; fcntl(2) may have changed that, of which we are not told.
    """

    __slots__ = ("appends", "node", "strip", "writable", "written")

    def __init__(self, node: Node, fd: int, flags: int, *, strip: bool) -> None:
        super().__init__(node.tree, fd)
        self.node = node
        self.writable = flags & os.O_ACCMODE != os.O_RDONLY
        self.appends = bool(flags & os.O_APPEND)
        self.strip = strip
        self.written = False


class Directory(Held):
    """An open directory. `names` is what it held when a listing began; a listing's position is an index into it."""

    __slots__ = ("names", "node")

    def __init__(self, node: Node, fd: int) -> None:
        super().__init__(node.tree, fd)
        self.node = node
        self.names: list[str] | None = None


class _Closer:
    """Closes descriptors of one tree, in one thread at a time; gathers them first, waking a thread costs far more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[int] = []
        self._running = False

    def close(self, fds: list[int]) -> None:
        with self._lock:
            self._waiting += fds
            if self._running or not self._waiting:
                return
            self._running = True
        try:
            trio.lowlevel.start_thread_soon(self._drain, lambda _: None, "volfs close")
        except RuntimeError:  # no more threads: the next close tries again
            self._running = False

    def _drain(self) -> None:
        while True:
            time.sleep(_GATHERING)
            with self._lock:
                fds, self._waiting = self._waiting, []
                if not fds:
                    self._running = False
                    return
            for fd in fds:
                with suppress(OSError):
                    os.close(fd)


class Tree:
    """What the kernel holds of one volume's data, and the threads that may wait for its store.

    `at_once`: its root is open, and its file system answers some calls without ever waiting, see `passthrough_calls`.
    `near`: it is moreover the file system of the catalogue (`home`), without which nothing here goes on anyway. So the
    event loop waits for what has little to do there, which takes a fraction of a trip to a thread. Where that has taken
    `_SLOW` seconds (a full journal, too many dirty pages), it makes trips there as well for `_SPARED` seconds.
    """

    def __init__(self, data: int, salt: int, opening: Callable[[int], int], home: int, places: int) -> None:
        self.root = Root(self, data, opening)
        self.salt = salt
        self.trips = Trips(places)
        self.nodes: dict[tuple[int, int], Node] = {}  # (st_dev, st_ino) → node
        self.handles: set[int] = set()
        self.home = home
        self.at_once = False
        self.dates_changes = False
        self.near = False
        self.slow_until = 0.0  # monotonic
        self.inside = 0  # requests
        self.answered = 0.0
        self.xattr_changes = 0
        self.dropped = False
        self.closer = _Closer()

    def drop(self, *held: Held) -> None:
        """Closes these as soon as nobody uses them."""
        fds = []
        for one in held:
            one.dropped = True
            if not one.users:
                fds.append(one.take())
        self.closer.close([fd for fd in fds if fd >= 0])


async def in_thread(tree: Tree, work: Callable[[], T]) -> T:
    """One trip to a thread of the tree's own; a request makes one, with all that it has to ask.

    Opening the root asks the event loop for what it is.
    """
    return await tree.trips.make(work, asks_back=not tree.root.is_open)


async def promptly(tree: Tree, work: Callable[[], T]) -> T:
    """What has little to do, here and now where the tree is `near` and was not slow lately; else in a thread."""
    began = time.monotonic()
    if not tree.near or began < tree.slow_until:
        return await in_thread(tree, work)
    try:
        return work()
    finally:
        ended = time.monotonic()
        if ended - began > _SLOW:
            tree.slow_until = ended + _SPARED


class Going(Protocol):
    """`in_thread` or `promptly`."""

    async def __call__(self, tree: Tree, work: Callable[[], T]) -> T: ...
