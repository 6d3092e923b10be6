"""What the requests on a volume's data share, and those that are about names in its directories.

Law: a name is one component, and is looked up where its directory is held open; see `passthrough`, of which this is the
first half.
"""

import errno
import functools
import os
import resource
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, RequestContext

from volfs.view import passthrough_at_once as at_once
from volfs.view import passthrough_calls as calls
from volfs.view import passthrough_making as making
from volfs.view.passthrough_attributes import attributes
from volfs.view.passthrough_calls import Found
from volfs.view.passthrough_held import File, Going, Node, in_thread, promptly
from volfs.view.passthrough_listing import Listing
from volfs.view.passthrough_nodes import END, FIRST, Nodes

T = TypeVar("T")
_RENAME_FLAGS = pyfuse3.RENAME_NOREPLACE | pyfuse3.RENAME_EXCHANGE


class NameRequests:
    """Requests on names; its parameters are `Passthrough`'s."""

    def __init__(
        self,
        open_data: Callable[[int], int],
        *,
        home: int = -1,
        timeout: float = 1.0,
        root_timeout: float = 0.0,
        rest: float = 60.0,
        invalidate: Callable[[int, bytes], None] = pyfuse3.invalidate_entry,
        invalidate_data: Callable[[int], None] = pyfuse3.invalidate_inode,
    ) -> None:
        self._timeout = timeout
        self._root_timeout = root_timeout
        self._rest = rest
        self._invalidate = invalidate
        self._invalidate_data = invalidate_data
        self._gives_away = os.geteuid() == 0
        self._umask = making.own_umask()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._nodes = Nodes(open_data, home, hard * 7 // 8, invalidate)
        self._listing = Listing(self._nodes, self._entry, timeout)

    def owns(self, inode: int) -> bool:
        return FIRST <= inode < END

    def owns_handle(self, fh: int) -> bool:
        return FIRST <= fh < END

    async def lookup(self, parent: int, name: bytes, _ctx: RequestContext) -> EntryAttributes:
        directory = self._directory(parent, name)
        with suppress(BlockingIOError):
            find = calls.find if directory.tree.near else at_once.find
            found = self._nodes.at_once(directory, lambda fd: find(fd, name))
            return self._entry(self._nodes.known(directory, name, found), found[1])
        return await self._in(parent, name, lambda fd: calls.find(fd, name))

    async def mknod(self, parent: int, name: bytes, mode: int, rdev: int, ctx: RequestContext) -> EntryAttributes:
        owner = self._owner(ctx)
        return await self._in(parent, name, lambda fd: making.make_node(fd, name, mode, rdev, owner))

    async def mkdir(self, parent: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        owner = self._owner(ctx)
        return await self._in(parent, name, lambda fd: making.make_directory(fd, name, mode, owner))

    async def symlink(self, parent: int, name: bytes, target: bytes, ctx: RequestContext) -> EntryAttributes:
        owner = self._owner(ctx)
        return await self._in(parent, name, lambda fd: making.make_symlink(fd, name, target, owner))

    async def create(
        self, parent: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        directory, owner = self._directory(parent, name), self._owner(ctx)
        with self._nodes.using(directory) as tree:
            fd, found = await promptly(
                tree, lambda: making.create_file(directory.descriptor(), name, flags, mode, owner)
            )
            try:
                node = self._nodes.known(directory, name, found)
            except FUSEError:
                tree.closer.close([fd])
                raise
            return self._opened(File(node, fd, flags, strip=self._strips(ctx))), self._entry(node, found[1])

    async def link(self, inode: int, new_parent: int, new_name: bytes, _ctx: RequestContext) -> EntryAttributes:
        node, directory = self._nodes.node(inode), self._directory(new_parent, new_name)
        if node.tree is not directory.tree:
            raise FUSEError(errno.EXDEV)
        with self._nodes.using(node, directory) as tree:
            found = await promptly(tree, lambda: making.make_link(node.descriptor(), directory.descriptor(), new_name))
            return self._entry(self._nodes.known(directory, new_name, found), found[1])

    async def unlink(self, parent: int, name: bytes, _ctx: RequestContext) -> None:
        directory = self._directory(parent, name)
        with self._nodes.using(directory) as tree:
            await promptly(tree, lambda: os.unlink(name, dir_fd=directory.descriptor()))

    async def rmdir(self, parent: int, name: bytes, _ctx: RequestContext) -> None:
        directory = self._directory(parent, name)
        with self._nodes.using(directory) as tree:
            await promptly(tree, lambda: os.rmdir(name, dir_fd=directory.descriptor()))

    async def rename(
        self, parent_old: int, name_old: bytes, parent_new: int, name_new: bytes, flags: int, _ctx: RequestContext
    ) -> None:
        """The kernel moves what it remembers of the old name, which is another file if that was replaced below.

        So whoever means such a file is sent back to look again.
        """
        old, new = self._directory(parent_old, name_old), self._directory(parent_new, name_new)
        if flags & ~_RENAME_FLAGS:
            raise FUSEError(errno.EINVAL)
        if old.tree is not new.tree:
            raise FUSEError(errno.EXDEV)
        with self._nodes.using(old, new) as tree:
            moves = [(old, name_old, new, name_new)]
            if flags & pyfuse3.RENAME_EXCHANGE:
                moves.append((new, name_new, old, name_old))
            comes_back = self._nodes.was_sent_back(old, name_old)

            def work() -> list[Node | None]:
                nodes = [
                    self._nodes.is_at(directory, name, calls.look(directory.descriptor(), name))
                    for directory, name, _, _ in moves
                ]
                if None in nodes and not comes_back:
                    self._nodes.send_back(old, name_old)
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
                calls.rename(old.descriptor(), name_old, new.descriptor(), name_new, flags)
                return nodes

            for node, (_, _, directory, name) in zip(await promptly(tree, work), moves, strict=True):
                if node is None:
                    self._tell(functools.partial(self._invalidate, directory.number, name))
                else:
                    node.parent, node.name = directory.number, name

    async def readlink(self, inode: int, _ctx: RequestContext) -> bytes:
        with suppress(BlockingIOError):
            return self._nodes.at_once(self._nodes.node(inode), lambda fd: os.readlink(b"", dir_fd=fd), near=True)
        return await self._on(inode, lambda fd: os.readlink(b"", dir_fd=fd))

    # what these share

    async def _on(self, inode: int, work: Callable[[int], T], go: Going = promptly) -> T:
        node = self._nodes.node(inode)
        with self._nodes.using(node) as tree:
            return await go(tree, lambda: work(node.descriptor()))

    async def _with(self, fh: int, work: Callable[[int], T], go: Going = in_thread) -> T:
        file = self._nodes.file(fh)
        with self._nodes.using(file) as tree:
            return await go(tree, lambda: work(file.descriptor()))

    async def _in(self, parent: int, name: bytes, work: Callable[[int], Found]) -> EntryAttributes:
        directory = self._directory(parent, name)
        with self._nodes.using(directory) as tree:
            fd, status = await promptly(tree, lambda: work(directory.descriptor()))
            return self._entry(self._nodes.known(directory, name, (fd, status)), status)

    def _directory(self, inode: int, name: bytes) -> Node:
        """A directory in which `name` is to mean something: one component, which goes down."""
        if name in (b"", b".", b"..") or b"/" in name:
            raise FUSEError(errno.EINVAL)
        return self._nodes.node(inode)

    def _opened(self, file: File) -> FileInfo:
        """An open sees what was written below the view: what the kernel has cached of the contents goes, mostly."""
        keeps = file.node.is_as_cached(self._rest)
        return FileInfo(fh=self._nodes.opened(file), keep_cache=keeps)

    def _tell(self, work: Callable[[], None]) -> None:
        """Has the kernel forget something, in a thread: it waits for locks that it holds until we have answered."""

        def tell() -> None:
            with suppress(OSError):
                work()

        with suppress(RuntimeError):  # no more threads: what it believes ends with the timeout
            trio.lowlevel.start_thread_soon(tell, lambda _: None, "volfs relief")

    def _entry(self, node: Node, status: os.stat_result) -> EntryAttributes:
        node.told = status.st_size
        entry = attributes(node.number, node.generation, status)
        entry.entry_timeout = self._timeout
        entry.attr_timeout = self._timeout if self.owns(node.number) else self._root_timeout
        return entry

    def _owner(self, ctx: RequestContext) -> making.Owner:
        return making.Owner(ctx.uid if self._gives_away else None, ctx.gid, self._umask, ctx.umask)

    def _strips(self, ctx: RequestContext) -> bool:
        return self._gives_away and ctx.uid != 0
