"""A view of nothing but data, for tests: passthrough_server.py MOUNTPOINT NAME=DIRECTORY... [--uid N] [--nofile N]

Each NAME is a directory of the mount and stands for a volume's `_data`. Prints `ready` when mounted. Serves until the
mount is detached. Nothing is caught here: whatever escapes Passthrough ends the process, and the tests see that.

Lines on standard input are orders, each answered by a line: `forget NAME` lets a tree go, `hang NAME` makes opening it
wait, `thaw NAME` ends that, `held` prints the number of open descriptors.
"""

import argparse
import contextlib
import errno
import os
import resource
import stat
import sys
import threading

import pyfuse3
import trio

from volfs.view import pace
from volfs.view.passthrough import Passthrough

FORWARDED = (
    "setattr readlink mknod mkdir unlink rmdir symlink rename link open create read write flush release "
    "fsync setxattr getxattr listxattr removexattr access fsyncdir"
)


class DataOnly(pyfuse3.Operations):
    supports_dot_lookup = False

    def __init__(self, directories: dict[bytes, str], timeout: float, rest: float) -> None:
        super().__init__()
        self.numbers = {name: (serial << 3) | 3 for serial, name in enumerate(directories, 1)}
        self.paths = {number: directories[name] for name, number in self.numbers.items()}
        self.hung = {number: threading.Event() for number in self.paths}
        for event in self.hung.values():
            event.set()
        self.data = Passthrough(self.open_data, timeout=timeout, rest=rest)
        for name in FORWARDED.split():
            setattr(self, name, getattr(self.data, name))

    def open_data(self, inode: int) -> int:
        self.hung[inode].wait()
        return os.open(self.paths[inode], os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)

    def forget(self, inode_list):
        self.data.forget(inode_list)

    async def lookup(self, parent, name, ctx):
        if parent != pyfuse3.ROOT_INODE:
            return await self.data.lookup(parent, name, ctx)
        if name not in self.numbers:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.data.getattr(self.numbers[name], ctx)

    async def getattr(self, inode, ctx):
        if inode != pyfuse3.ROOT_INODE:
            return await self.data.getattr(inode, ctx)
        entry = pyfuse3.EntryAttributes()
        entry.st_ino, entry.st_mode, entry.st_nlink = inode, stat.S_IFDIR | 0o755, 2
        return entry

    async def statfs(self, ctx):
        return await self.data.statfs_of(min(self.paths))

    async def opendir(self, inode, ctx):
        return inode if inode == pyfuse3.ROOT_INODE else await self.data.opendir(inode, ctx)

    async def readdir(self, fh, start_id, token):
        if self.data.owns_handle(fh):
            await self.data.readdir(fh, start_id, token)

    async def releasedir(self, fh):
        if self.data.owns_handle(fh):
            await self.data.releasedir(fh)


async def obey(view: DataOnly) -> None:
    orders = trio.lowlevel.FdStream(os.dup(0))
    async for line in orders:
        for order in line.decode().splitlines():
            match order.split():
                case ["forget", name]:
                    view.data.forget_tree(view.numbers[name.encode()])
                    print("done", flush=True)
                case ["hang", name]:
                    view.hung[view.numbers[name.encode()]].clear()
                    print("done", flush=True)
                case ["thaw", name]:
                    view.hung[view.numbers[name.encode()]].set()
                    print("done", flush=True)
                case ["held"]:
                    print(len(os.listdir("/proc/self/fd")), flush=True)


async def serve(view: DataOnly) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(obey, view)
        pace.quicken()
        await pyfuse3.main(max_tasks=500)
        nursery.cancel_scope.cancel()
    view.data.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mountpoint")
    parser.add_argument("directories", nargs="+")
    parser.add_argument("--uid", type=int, default=0)
    parser.add_argument("--nofile", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=1.0)
    parser.add_argument("--rest", type=float, default=60.0)
    given = parser.parse_args()
    if given.nofile:
        resource.setrlimit(resource.RLIMIT_NOFILE, (given.nofile, given.nofile))
    pairs = (pair.split("=", 1) for pair in given.directories)
    directories = {name.encode(): path for name, path in pairs}
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions"
    from volfs.mount import syscalls

    syscalls.mount("passthrough-test", given.mountpoint, "fuse.passthrough", 2 | 4, options)
    if given.uid:
        os.setgroups([])
        os.setresgid(given.uid, given.uid, given.uid)
        os.setresuid(given.uid, given.uid, given.uid)
    os.umask(0o077)  # must not show
    view = DataOnly(directories, given.timeout, given.rest)
    pyfuse3.init(view, f"/dev/fd/{fuse}", set(pyfuse3.default_options))
    print("ready", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(serve, view)
    sys.exit(0)


if __name__ == "__main__":
    main()
