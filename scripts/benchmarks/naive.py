"""The naive way to serve a directory with pyfuse3, as a peer for the bench: naive.py DIRECTORY MOUNTPOINT

An inode is a path, each request does its system calls where it is, nothing is cached. It is what one writes first; it
knows no hard links, no renames of open directories and no symlink races, and no buffers fit for O_DIRECT.
"""

# ruff: noqa: ARG002  pyfuse3 says what is given

import errno
import os
import stat
import sys

import pyfuse3
import trio
from pyfuse3 import FUSEError


class Naive(pyfuse3.Operations):
    """Paths in a dictionary."""

    enable_writeback_cache = False

    def __init__(self, source: str) -> None:
        super().__init__()
        self._paths = {pyfuse3.ROOT_INODE: source}

    def _entry(self, path: str) -> pyfuse3.EntryAttributes:
        try:
            status = os.lstat(path)
        except OSError as error:
            raise FUSEError(error.errno or errno.EIO) from None
        entry = pyfuse3.EntryAttributes()
        for name in ("st_ino", "st_mode", "st_nlink", "st_uid", "st_gid", "st_rdev", "st_size"):
            setattr(entry, name, getattr(status, name))
        for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns"):
            setattr(entry, name, getattr(status, name))
        entry.st_blksize, entry.st_blocks = 512, -(-status.st_size // 512)
        entry.entry_timeout = entry.attr_timeout = 0
        return entry

    def _known(self, parent, name):
        path = os.path.join(self._paths[parent], os.fsdecode(name))
        entry = self._entry(path)
        self._paths[entry.st_ino] = path
        return entry

    def _path(self, parent, name):
        return os.path.join(self._paths[parent], os.fsdecode(name))

    async def lookup(self, parent, name, ctx=None):
        return self._known(parent, name)

    async def getattr(self, inode, ctx=None):
        entry = self._entry(self._paths[inode])
        entry.st_ino = inode
        return entry

    async def setattr(self, inode, attr, fields, fh, ctx):
        path = self._paths[inode]
        if fields.update_size:
            os.truncate(path, attr.st_size)
        if fields.update_mode:
            os.chmod(path, stat.S_IMODE(attr.st_mode))
        if fields.update_mtime:
            os.utime(path, ns=(attr.st_atime_ns if fields.update_atime else attr.st_mtime_ns, attr.st_mtime_ns))
        return await self.getattr(inode)

    async def open(self, inode, flags, ctx):
        return pyfuse3.FileInfo(fh=os.open(self._paths[inode], flags & ~(os.O_CREAT | os.O_DIRECT)))

    async def create(self, parent, name, mode, flags, ctx):
        path = self._path(parent, name)
        fd = os.open(path, flags & ~os.O_DIRECT | os.O_CREAT, mode)
        entry = self._entry(path)
        self._paths[entry.st_ino] = path
        return pyfuse3.FileInfo(fh=fd), entry

    async def read(self, fh, off, size):
        return os.pread(fh, size, off)

    async def write(self, fh, off, buf):
        return os.pwrite(fh, buf, off)

    async def release(self, fh):
        os.close(fh)

    async def mkdir(self, parent, name, mode, ctx):
        os.mkdir(self._path(parent, name), mode)
        return self._known(parent, name)

    async def unlink(self, parent, name, ctx):
        os.unlink(self._path(parent, name))

    async def rmdir(self, parent, name, ctx):
        os.rmdir(self._path(parent, name))

    async def rename(self, old_parent, old_name, new_parent, new_name, flags, ctx):
        new = self._path(new_parent, new_name)
        os.rename(self._path(old_parent, old_name), new)
        self._paths[os.lstat(new).st_ino] = new

    async def opendir(self, inode, ctx):
        return inode

    async def readdir(self, inode, start_id, token):
        entries = sorted((entry.inode(), entry.name) for entry in os.scandir(self._paths[inode]))
        for number, name in entries:
            if number > start_id:
                entry = self._known(inode, os.fsencode(name))
                if not pyfuse3.readdir_reply(token, os.fsencode(name), entry, number):
                    break

    async def getxattr(self, inode, name, ctx):
        try:
            return os.getxattr(self._paths[inode], name)
        except OSError as error:
            raise FUSEError(error.errno or errno.EIO) from None


def main(source: str, mountpoint: str) -> None:
    pyfuse3.init(Naive(source), mountpoint, {"fsname=naive", "default_permissions"})
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close(unmount=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
