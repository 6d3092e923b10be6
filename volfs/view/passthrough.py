"""The data of volumes through FUSE, where a bind mount is not possible: rootless, or for a private copy of the view.

Law: what happens through the view is what would happen on the real directory, to the errno. A store that hangs stops
its own volume only: a request makes one trip to a thread of its volume's, unless the kernel can answer from its memory.
A symlink is something to be read, never followed. Every failure of a store is a FUSEError.

What a view through FUSE cannot do: changes made below it show after `timeout` seconds, though what is appended goes to
the real end; locks are not shared with users of the real directory;
no fallocate, no holes in lseek, no O_TMPFILE. One descriptor is held for each inode that the
kernel caches: the limit is raised to the hard one, and past half of it the kernel is asked to drop the oldest files.
"""

import errno
import functools
import os
import resource
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, RequestContext, SetattrFields, StatvfsData

from volfs.view import passthrough_calls as calls
from volfs.view import passthrough_making as making
from volfs.view.passthrough_attributes import attributes, permits, statistics
from volfs.view.passthrough_calls import Found
from volfs.view.passthrough_held import Directory, File, Node, Root, in_thread
from volfs.view.passthrough_listing import Listing
from volfs.view.passthrough_nodes import END, FIRST, Nodes

T = TypeVar("T")
_PAGE = os.sysconf("SC_PAGESIZE")
"""A write at a page's beginning may be somebody's mapped memory, sent through any handle that is open for writing. It
is taken for an append only where no other answer can have told the kernel of another size meanwhile."""
_RENAME_FLAGS = pyfuse3.RENAME_NOREPLACE | pyfuse3.RENAME_EXCHANGE


class Passthrough:
    """Answers for every inode and handle that it `owns`, and for `_data` inodes, which are the roots of its trees.

    open_data: from the inode of a `_data` to a new O_PATH descriptor of the real directory; called in a thread.
    home: st_dev of the file system for whose reads the event loop waits anyway, the catalogue's.
    timeout, root_timeout: seconds that the kernel may trust names and attributes; attributes of a `_data`.
    """

    def __init__(
        self,
        open_data: Callable[[int], int],
        *,
        home: int = -1,
        timeout: float = 1.0,
        root_timeout: float = 0.0,
        invalidate: Callable[[int, bytes], None] = pyfuse3.invalidate_entry,
        invalidate_data: Callable[[int], None] = pyfuse3.invalidate_inode,
    ) -> None:
        self._timeout = timeout
        self._root_timeout = root_timeout
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

    def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """The kernel's FORGET: a node without lookups loses its descriptor."""
        for inode, lookups in inode_list:
            self._nodes.forget(inode, lookups)

    def forget_tree(self, data_inode: int) -> None:
        """Lets go of everything below: the volume was removed, or is to be unmounted. Its numbers mean ESTALE then."""
        self._nodes.forget_tree(data_inode)

    def close(self) -> None:
        """Lets go of everything."""
        self._nodes.close()

    # names

    async def lookup(self, parent: int, name: bytes, _ctx: RequestContext) -> EntryAttributes:
        directory = self._directory(parent, name)
        with suppress(BlockingIOError):
            find = calls.find if directory.tree.near else calls.find_at_once
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
            fd, found = await in_thread(
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
            found = await in_thread(tree, lambda: making.make_link(node.descriptor(), directory.descriptor(), new_name))
            return self._entry(self._nodes.known(directory, new_name, found), found[1])

    async def unlink(self, parent: int, name: bytes, _ctx: RequestContext) -> None:
        directory = self._directory(parent, name)
        with self._nodes.using(directory) as tree:
            await in_thread(tree, lambda: os.unlink(name, dir_fd=directory.descriptor()))

    async def rmdir(self, parent: int, name: bytes, _ctx: RequestContext) -> None:
        directory = self._directory(parent, name)
        with self._nodes.using(directory) as tree:
            await in_thread(tree, lambda: os.rmdir(name, dir_fd=directory.descriptor()))

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

            for node, (_, _, directory, name) in zip(await in_thread(tree, work), moves, strict=True):
                if node is None:
                    self._tell(functools.partial(self._invalidate, directory.number, name))
                else:
                    node.parent, node.name = directory.number, name

    async def readlink(self, inode: int, _ctx: RequestContext) -> bytes:
        with suppress(BlockingIOError):
            return self._nodes.at_once(self._nodes.node(inode), lambda fd: os.readlink(b"", dir_fd=fd), near=True)
        return await self._on(inode, lambda fd: os.readlink(b"", dir_fd=fd))

    # attributes

    async def getattr(self, inode: int, _ctx: RequestContext) -> EntryAttributes:
        node, now = self._nodes.node(inode), trio.current_time()
        with suppress(BlockingIOError):
            status = self._nodes.at_once(node, os.fstat)
            self._nodes.rest(node.tree)
            return self._entry(node, status)
        if not isinstance(node, Root):
            return self._entry(node, await self._on(inode, os.fstat))
        remembered, uses = node.status(now), node.uses
        if remembered is None:
            remembered = await self._on(inode, os.fstat)
            node.remember(remembered, uses + 1, now + self._timeout)
        return self._entry(node, remembered)

    async def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        node = self._nodes.node(inode)
        wanted = calls.Change(
            mode=attr.st_mode if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            size=attr.st_size if fields.update_size else None,
            atime=attr.st_atime_ns if fields.update_atime else None,
            mtime=attr.st_mtime_ns if fields.update_mtime else None,
            strip=self._strips(ctx),
        )
        file = self._nodes.file(fh) if fh is not None and fields.update_size else None
        if file is None or not file.writable:
            return self._entry(node, await self._on(inode, lambda fd: calls.change(fd, None, wanted)))
        with self._nodes.using(node, file) as tree:
            status = await in_thread(tree, lambda: calls.change(node.descriptor(), file.descriptor(), wanted))
            return self._entry(node, status)

    async def access(self, inode: int, mode: int, ctx: RequestContext) -> bool:
        """Never asked under default_permissions. Knows no supplementary groups, so it errs on the side of refusing."""
        return permits(await self._on(inode, os.fstat), mode, ctx.uid, ctx.gid)

    async def statfs_of(self, inode: int) -> StatvfsData:
        """The real file system's."""
        return statistics(await self._on(inode, os.fstatvfs))

    async def setxattr(self, inode: int, name: bytes, value: bytes, _ctx: RequestContext) -> None:
        await self._change_xattr(inode, lambda fd: os.setxattr(calls.self_path(fd), name, value))

    async def getxattr(self, inode: int, name: bytes, _ctx: RequestContext) -> bytes:
        """That there is none at all is remembered as long as attributes are, and found out for whole listings."""
        node, now = self._nodes.node(inode), trio.current_time()
        if now < node.bare_until and calls.is_ordinary(name):
            raise FUSEError(pyfuse3.ENOATTR)
        changes = node.tree.xattr_changes
        try:
            value = self._nodes.at_once(node, lambda fd: calls.get_xattr(fd, name), near=True)
        except BlockingIOError:
            value = await self._on(inode, lambda fd: calls.get_xattr(fd, name))
        if value is not None:
            return value
        if node.tree.xattr_changes == changes:
            node.bare_until = now + self._timeout
        raise FUSEError(pyfuse3.ENOATTR)

    async def listxattr(self, inode: int, _ctx: RequestContext) -> Sequence[bytes]:
        names = await self._on(inode, lambda fd: os.listxattr(calls.self_path(fd)))
        return [os.fsencode(name) for name in names]

    async def removexattr(self, inode: int, name: bytes, _ctx: RequestContext) -> None:
        await self._change_xattr(inode, lambda fd: os.removexattr(calls.self_path(fd), name))

    # contents

    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        node, strip = self._nodes.node(inode), self._strips(ctx)
        if node.kind != stat.S_IFREG:
            raise FUSEError(errno.EOPNOTSUPP)  # the kernel opens FIFOs and devices itself

        in_use = node.handles > 0
        with suppress(BlockingIOError):
            fd = self._nodes.at_once(
                node, lambda held: calls.open_file_at_once(held, flags, strip=strip, in_use=in_use)
            )
            return self._opened(File(node, fd, flags, strip=strip))
        with self._nodes.using(node) as tree:
            fd = await in_thread(tree, lambda: calls.open_file(node.descriptor(), flags, strip=strip, in_use=in_use))
            if flags & os.O_TRUNC:
                node.told = 0
            return self._opened(File(node, fd, flags, strip=strip))

    async def read(self, fh: int, off: int, size: int) -> bytes:
        with suppress(BlockingIOError):
            return self._nodes.at_once(self._nodes.file(fh), lambda fd: calls.read_at_once(fd, size, off))
        return await self._with(fh, lambda fd: os.pread(fd, size, off))

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        file = self._nodes.file(fh)
        file.written = True
        node = file.node
        if file.appends and off == node.told and (off % _PAGE or file.tree.at_once):
            done, end = await self._with(fh, lambda fd: calls.append(fd, buf, strip=file.strip))
            if end != off + done:
                # The kernel has cached it where it thought that the end was.
                self._tell(lambda: self._invalidate_data(node.number))
        else:
            done = await self._with(fh, lambda fd: calls.write(fd, off, buf, strip=file.strip))
        node.told = max(node.told, off + done)
        return done

    async def flush(self, fh: int) -> None:
        """Reports what close(2) would. Whoever wrote nothing since the last time is spared the trip."""
        file = self._nodes.file(fh)
        if file.written and not file.tree.at_once:  # the file systems there have nothing to say
            file.written = False
            await self._with(fh, calls.flush)

    async def fsync(self, fh: int, datasync: bool) -> None:
        await self._with(fh, os.fdatasync if datasync else os.fsync)

    async def release(self, fh: int) -> None:
        """Nobody waits for the close: `flush` has said what there was to say."""
        self._nodes.released(fh)

    # directories

    async def opendir(self, inode: int, _ctx: RequestContext) -> int:
        node = self._nodes.node(inode)
        with suppress(BlockingIOError):
            return self._nodes.opened(Directory(node, self._nodes.at_once(node, calls.open_directory, near=True)))
        with self._nodes.using(node) as tree:
            fd = await in_thread(tree, lambda: calls.open_directory(node.descriptor()))
            return self._nodes.opened(Directory(node, fd))

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        await self._listing.reply(self._nodes.directory(fh), start_id, token)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        directory = self._nodes.directory(fh)
        with self._nodes.using(directory) as tree:
            sync = os.fdatasync if datasync else os.fsync
            await in_thread(tree, lambda: sync(directory.descriptor()))

    async def releasedir(self, fh: int) -> None:
        self._nodes.released(fh)

    # what these share

    async def _on(self, inode: int, work: Callable[[int], T]) -> T:
        node = self._nodes.node(inode)
        with self._nodes.using(node) as tree:
            return await in_thread(tree, lambda: work(node.descriptor()))

    async def _with(self, fh: int, work: Callable[[int], T]) -> T:
        file = self._nodes.file(fh)
        with self._nodes.using(file) as tree:
            return await in_thread(tree, lambda: work(file.descriptor()))

    async def _in(self, parent: int, name: bytes, work: Callable[[int], Found]) -> EntryAttributes:
        directory = self._directory(parent, name)
        with self._nodes.using(directory) as tree:
            fd, status = await in_thread(tree, lambda: work(directory.descriptor()))
            return self._entry(self._nodes.known(directory, name, (fd, status)), status)

    def _directory(self, inode: int, name: bytes) -> Node:
        """A directory in which `name` is to mean something: one component, which goes down."""
        if name in (b"", b".", b"..") or b"/" in name:
            raise FUSEError(errno.EINVAL)
        return self._nodes.node(inode)

    def _opened(self, file: File) -> FileInfo:
        """keep_cache is off: an open sees what was written below the view."""
        return FileInfo(fh=self._nodes.opened(file), keep_cache=False)

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

    async def _change_xattr(self, inode: int, work: Callable[[int], None]) -> None:
        node = self._nodes.node(inode)
        node.tree.xattr_changes += 1  # whoever has looked already does not remember what they saw
        try:
            await self._on(inode, work)
        finally:
            node.tree.xattr_changes += 1
            node.bare_until = 0.0
