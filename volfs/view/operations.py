"""The FUSE protocol, nothing else: requests on control nodes are answered from the service and `tree`, those on data
go to `passthrough`, those on `_data` itself wait for the bind. What only data answers is in `operations_data`.

Law: every handler is `answered`: what it raises becomes an errno. Nothing here touches a volume's store.
"""

import errno
import os

import pyfuse3
from pyfuse3 import FUSEError

from volfs.driver.names import file_name, name_of_file
from volfs.view.answers import SECOND, answered, entry, statvfs_data
from volfs.view.dataplane import DataPlane
from volfs.view.inodes import ROOT, NodeKind, handle, inode, inode_of, part, split
from volfs.view.operations_data import Context, DataRequests, Entry
from volfs.view.passthrough import Passthrough
from volfs.view.shown import Shown
from volfs.view.texts import Texts
from volfs.view.tree import DIRECTORY, Attributes, Door, attributes, children, opts_text, root_attributes
from volfs.volume.service import VolumeService
from volfs.volume.volume import State, Volume

LONGEST_NAME = 255  # bytes, as in any directory; FUSE itself lets 1024 through
LISTED_AT_ONCE = 1024  # volumes looked up for one readdir request; what does not fit is asked for again


class Operations(DataRequests):
    """The requests that the kernel sends for the view."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False  # on only where data is always served through FUSE: `ls -l` asks for the ACL of every volume

    def __init__(
        self,
        service: VolumeService,
        plane: DataPlane,
        passthrough: Passthrough,
        texts: Texts,
        door: Door,
        shown: Shown,
    ) -> None:
        super().__init__(passthrough)
        self._service = service
        self._plane = plane
        self._door = door
        self._texts = texts
        self._shown = shown
        self._asked = 0, 0  # which inode, as of which commit
        self._found: tuple[Volume, NodeKind]  # there as soon as one was asked for: no inode is 0

    def init(self) -> None:
        """Nothing to do; the daemon replaces it with the hand-over of the descriptor."""

    # Names and attributes

    @answered
    async def lookup(self, parent: int, name: bytes, ctx: Context) -> Entry:
        if self._is_data(parent):
            return await self._data.lookup(parent, name, ctx)
        if len(name) > LONGEST_NAME:
            raise FUSEError(errno.ENAMETOOLONG)
        if parent == ROOT:
            known = name_of_file(os.fsdecode(name))
            volume = self._service.store.get(known) if known is not None else None
            if volume is not None:
                self._shown.note(volume.serial)
                return entry(attributes(volume, NodeKind.VOLUME))
        else:
            volume, kind = self._control(parent)
            if kind is NodeKind.VOLUME and (child := dict(children(volume)).get(name)) is not None:
                if child is NodeKind.DATA:
                    self._plane.looked_up(volume.serial, ctx.pid)
                return await self._entry(volume, child)
        raise FUSEError(errno.ENOENT)

    @answered
    async def getattr(self, number: int, ctx: Context) -> Entry:
        if number == ROOT:
            return entry(root_attributes(self._door, self._service.store.count(), self._service.changed()))
        if self._data.owns(number):
            return await self._data.getattr(number, ctx)
        volume, kind = self._control(number)
        if kind is NodeKind.DATA:
            status = await self._plane.touch(volume.serial)
            return self._data.known(number, status) if status else await self._data.getattr(number, ctx)
        return await self._entry(volume, kind)

    async def _entry(self, volume: Volume, kind: NodeKind) -> Entry:
        match kind:
            case NodeKind.META:
                meta = await self._texts.meta(volume)
                return entry(attributes(volume, kind, len(meta.text), meta.changed))
            case NodeKind.OPTS:
                return entry(attributes(volume, kind, len(opts_text(volume))))
            case NodeKind.DATA:
                # Never cached: every stat of an unbound _data reaches `getattr`, which binds it.
                return entry(attributes(volume, kind), attr_timeout=0.0)
            case NodeKind.VOLUME:
                return entry(attributes(volume, kind))

    async def _content(self, volume: Volume, kind: NodeKind) -> bytes:
        return opts_text(volume) if kind is NodeKind.OPTS else (await self._texts.meta(volume)).text

    # Files

    @answered
    async def open(self, number: int, flags: int, ctx: Context) -> pyfuse3.FileInfo:
        if self._data.owns(number):
            self._send_back(number, ctx)
            return await self._data.open(number, flags, ctx)
        volume, _ = self._control(number)
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise FUSEError(errno.EPERM)
        if volume.local and volume.state is not State.OK:
            await self._service.get(volume.name)  # whoever reads what is wrong may have mended it just now
        # What the kernel caches it cuts at the length that it knows: of a text from before the daemon died, perhaps.
        length = len(await self._content(*self._control(number)))
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(handle(number, length)), direct_io=True)

    @answered
    async def read(self, fh: int, offset: int, size: int) -> bytes:
        if self._data.owns_handle(fh):
            return await self._data.read(fh, offset, size)
        return part(fh, await self._content(*self._control(inode_of(fh))), offset, size)

    # Directories

    @answered
    async def opendir(self, number: int, ctx: Context) -> int:
        if self._is_data(number):
            self._send_back(number, ctx)
            return await self._data.opendir(number, ctx)
        if number != ROOT:
            self._control(number)
        return number

    @answered
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        if self._data.owns_handle(fh):
            await self._data.readdir(fh, start_id, token)
        elif fh == ROOT:
            self._list_volumes(start_id, token)
        else:
            await self._list_volume(fh, start_id, token)

    def _list_volumes(self, after: int, token: pyfuse3.ReaddirToken) -> None:
        """Volumes in the order of their serials: whoever is created or removed meanwhile moves nobody else."""
        found = entry(Attributes(ROOT, DIRECTORY, 3))
        while rows := self._service.store.numbers(after, LISTED_AT_ONCE):
            self._shown.note_all(rows[-1][0])
            for after, created, name in rows:
                found.st_ino = pyfuse3.InodeT(inode(after))
                found.st_atime_ns = found.st_mtime_ns = found.st_ctime_ns = created * SECOND
                if not pyfuse3.readdir_reply(token, pyfuse3.FileNameT(os.fsencode(file_name(name))), found, after):
                    return

    async def _list_volume(self, fh: int, after: int, token: pyfuse3.ReaddirToken) -> None:
        volume, _ = self._control(fh)
        for position, (name, kind) in enumerate(children(volume), 1):
            if position > after:
                found = await self._entry(volume, kind)
                if not pyfuse3.readdir_reply(token, pyfuse3.FileNameT(name), found, position):
                    return

    @answered
    async def create(
        self, parent: int, name: bytes, mode: int, flags: int, ctx: Context
    ) -> tuple[pyfuse3.FileInfo, Entry]:
        self._need_data(parent)
        self._send_back(parent, ctx)
        return await self._data.create(parent, name, mode, flags, ctx)

    # The rest

    @answered
    async def getxattr(self, number: int, name: bytes, ctx: Context) -> bytes:
        # ENOTSUP, and `ls -l` asks once for the whole listing; ENODATA, and it asks for each volume. But a kernel that
        # heeds ACLs lets nobody in where it is told ENOTSUP.
        heeded = self.enable_acl and name.startswith(b"system.posix_acl_")
        self._need_data(number, otherwise=errno.ENODATA if heeded else errno.ENOTSUP)
        return await self._data.getxattr(number, name, ctx)

    @answered
    async def statfs(self, ctx: Context) -> pyfuse3.StatvfsData:  # noqa: ARG002
        # The request does not say which inode was asked for: everything has the room that the root has.
        return statvfs_data(await self._service.room())

    def _send_back(self, number: int, ctx: Context) -> None:
        """Who walked past `_data` just before its bind was there is sent back: on ESTALE open(2) walks again.

        What is opened here would end with the daemon; what is opened in the bind does not.
        """
        if self._plane.overtakes(self._data.root_of(number), ctx.pid):
            raise FUSEError(errno.ESTALE)

    def _control(self, number: int) -> tuple[Volume, NodeKind]:
        """The volume and kind of a control inode; ESTALE when the volume is gone, so that the kernel looks again.

        Who reads a file asks for the same one several times.
        """
        now = number, self._service.store.version()
        if self._asked != now:
            node = split(number)
            volume = self._service.store.by_serial(node[0]) if node is not None else None
            if node is None or volume is None:
                raise FUSEError(errno.ESTALE)
            self._asked, self._found = now, (volume, node[1])
        return self._found
