"""The requests that only data answers, by `passthrough`: of anything else they are not permitted, since volumes are
made and removed by `volfs`, or there is nothing to do.

Law: as in `operations`, whose first half this is.
"""

import errno
from collections.abc import Sequence

import pyfuse3
from pyfuse3 import FUSEError

from volfs.view.answers import answered
from volfs.view.inodes import NodeKind, split
from volfs.view.passthrough import Passthrough

Context = pyfuse3.RequestContext
Entry = pyfuse3.EntryAttributes
Fields = pyfuse3.SetattrFields


class DataRequests(pyfuse3.Operations):
    """The first half of `Operations`."""

    def __init__(self, passthrough: Passthrough) -> None:
        super().__init__()
        self._data = passthrough

    # Handles

    @answered
    async def flush(self, fh: int) -> None:
        if self._data.owns_handle(fh):
            await self._data.flush(fh)

    @answered
    async def release(self, fh: int) -> None:
        if self._data.owns_handle(fh):
            await self._data.release(fh)

    @answered
    async def fsync(self, fh: int, datasync: bool) -> None:
        if self._data.owns_handle(fh):
            await self._data.fsync(fh, datasync)

    @answered
    async def releasedir(self, fh: int) -> None:
        if self._data.owns_handle(fh):
            await self._data.releasedir(fh)

    @answered
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        if self._data.owns_handle(fh):
            await self._data.fsyncdir(fh, datasync)

    async def forget(self, numbers: Sequence[tuple[int, int]]) -> None:
        self._data.forget([(number, count) for number, count in numbers if self._data.owns(number)])

    # Changes: only data can be changed

    @answered
    async def setattr(self, number: int, wanted: Entry, fields: Fields, fh: int | None, ctx: Context) -> Entry:
        self._need_data(number)
        return await self._data.setattr(number, wanted, fields, fh, ctx)

    @answered
    async def mknod(self, parent: int, name: bytes, mode: int, rdev: int, ctx: Context) -> Entry:
        self._need_data(parent)
        return await self._data.mknod(parent, name, mode, rdev, ctx)

    @answered
    async def mkdir(self, parent: int, name: bytes, mode: int, ctx: Context) -> Entry:
        self._need_data(parent)
        return await self._data.mkdir(parent, name, mode, ctx)

    @answered
    async def symlink(self, parent: int, name: bytes, target: bytes, ctx: Context) -> Entry:
        self._need_data(parent)
        return await self._data.symlink(parent, name, target, ctx)

    @answered
    async def link(self, number: int, parent: int, name: bytes, ctx: Context) -> Entry:
        self._need_data(number, parent)
        return await self._data.link(number, parent, name, ctx)

    @answered
    async def rename(
        self, old_parent: int, old_name: bytes, new_parent: int, new_name: bytes, flags: int, ctx: Context
    ) -> None:
        self._need_data(old_parent, new_parent)
        await self._data.rename(old_parent, old_name, new_parent, new_name, flags, ctx)

    @answered
    async def unlink(self, parent: int, name: bytes, ctx: Context) -> None:
        self._need_data(parent)
        await self._data.unlink(parent, name, ctx)

    @answered
    async def rmdir(self, parent: int, name: bytes, ctx: Context) -> None:
        self._need_data(parent)
        await self._data.rmdir(parent, name, ctx)

    @answered
    async def write(self, fh: int, offset: int, data: bytes) -> int:
        if not self._data.owns_handle(fh):
            raise FUSEError(errno.EBADF)
        return await self._data.write(fh, offset, data)

    # The rest

    @answered
    async def readlink(self, number: int, ctx: Context) -> bytes:
        self._need_data(number, otherwise=errno.EINVAL)
        return await self._data.readlink(number, ctx)

    @answered
    async def setxattr(self, number: int, name: bytes, value: bytes, ctx: Context) -> None:
        self._need_data(number, otherwise=errno.ENOTSUP)
        await self._data.setxattr(number, name, value, ctx)

    @answered
    async def listxattr(self, number: int, ctx: Context) -> Sequence[bytes]:
        return await self._data.listxattr(number, ctx) if self._is_data(number) else []

    @answered
    async def removexattr(self, number: int, name: bytes, ctx: Context) -> None:
        self._need_data(number, otherwise=errno.ENOTSUP)
        await self._data.removexattr(number, name, ctx)

    def _is_data(self, number: int) -> bool:
        if self._data.owns(number):
            return True
        node = split(number)
        return node is not None and node[1] is NodeKind.DATA

    def _need_data(self, *numbers: int, otherwise: int = errno.EPERM) -> None:
        if not all(map(self._is_data, numbers)):
            raise FUSEError(otherwise)
