"""The data of volumes through FUSE, where a bind mount is not possible: rootless, or for a private copy of the view.

Law: what happens through the view is what would happen on the real directory, to the errno. A store that hangs stops
its own volume only: a request makes one trip to a thread of its volume's, unless the kernel can answer from its memory,
or the store is the catalogue's own file system, which everything hangs with. A symlink is something to be read, never
followed. Every failure of a store is a FUSEError.

What a view through FUSE cannot do: changes made below it show after `timeout` seconds, though what is appended goes to
the real end, and contents at the next open; locks are not shared with users of the real directory; no fallocate, no
holes in lseek, no O_TMPFILE (the kernel sends FALLOCATE, LSEEK and TMPFILE, pyfuse3 3.5 has no handler for them; nor
does it say of which inode STATFS is asked). One descriptor is held for each inode that the kernel caches: the limit is
raised to the hard one, and past half of it the kernel is asked to drop the oldest files.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, RequestContext, SetattrFields, StatvfsData

from volfs.view import passthrough_at_once as at_once
from volfs.view import passthrough_calls as calls
from volfs.view.passthrough_attributes import permits, statistics
from volfs.view.passthrough_held import Directory, File, Going, Root, in_thread, promptly
from volfs.view.passthrough_names import NameRequests

T = TypeVar("T")
_PAGE = os.sysconf("SC_PAGESIZE")
"""A write at a page's beginning may be somebody's mapped memory, sent through any handle that is open for writing. It
is taken for an append only where no other answer can have told the kernel of another size meanwhile."""


class Passthrough(NameRequests):
    """Answers for every inode and handle that it `owns`, and for `_data` inodes, which are the roots of its trees.

    open_data: from the inode of a `_data` to a new O_PATH descriptor of the real directory; called in a thread.
    home: st_dev of the file system for whose reads the event loop waits anyway, the catalogue's.
    timeout, root_timeout: seconds that the kernel may trust names and attributes; attributes of a `_data`.
    rest: seconds that a file must have been left alone for its cached contents to outlast an open.
    """

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

    def root_of(self, inode: int) -> int:
        """The `_data` that an inode is, or is in. ESTALE where nobody knows it any more."""
        return self._nodes.node(inode).tree.root.number if self.owns(inode) else inode

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

    def known(self, inode: int, status: os.stat_result) -> EntryAttributes:
        """The same where somebody has just asked the store."""
        node = self._nodes.node(inode)
        self._nodes.rest(node.tree)
        return self._entry(node, status)

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
        go: Going = in_thread if fields.update_size else promptly  # what is cut off may be large
        file = self._nodes.file(fh) if fh is not None and fields.update_size else None
        if file is None or not file.writable:
            return self._entry(node, await self._on(inode, lambda fd: calls.change(fd, None, wanted), go))
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
            fd = self._nodes.at_once(node, lambda held: at_once.open_file(held, flags, strip=strip, in_use=in_use))
            return self._opened(File(node, fd, flags, strip=strip))
        with self._nodes.using(node) as tree:
            fd = await in_thread(tree, lambda: calls.open_file(node.descriptor(), flags, strip=strip, in_use=in_use))
            if flags & os.O_TRUNC:
                node.told = 0
            return self._opened(File(node, fd, flags, strip=strip))

    async def read(self, fh: int, off: int, size: int) -> bytes:
        with suppress(BlockingIOError):
            return self._nodes.at_once(self._nodes.file(fh), lambda fd: at_once.read(fd, size, off))
        return await self._with(fh, lambda fd: os.pread(fd, size, off))

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        file = self._nodes.file(fh)
        file.written = True
        node = file.node
        if file.appends and off == node.told and (off % _PAGE or file.tree.at_once):
            done, end = await self._with(fh, lambda fd: calls.append(fd, buf, strip=file.strip), promptly)
            if end != off + done:
                # The kernel has cached it where it thought that the end was.
                self._tell(lambda: self._invalidate_data(node.number))
        else:
            done = await self._with(fh, lambda fd: calls.write(fd, off, buf, strip=file.strip), promptly)
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

    async def _change_xattr(self, inode: int, work: Callable[[int], None]) -> None:
        node = self._nodes.node(inode)
        node.tree.xattr_changes += 1  # whoever has looked already does not remember what they saw
        try:
            await self._on(inode, work)
        finally:
            node.tree.xattr_changes += 1
            node.bare_until = 0.0
