"""What the options of a volume have mounted on its data, and what anybody has mounted in it.

Law: nothing is taken from under a mount. Who looks, or detaches, asks no store for anything: its server may be gone.
"""

import errno
import os
from collections.abc import Mapping
from contextlib import suppress

from volfs.driver.attach import attach
from volfs.driver.directory import DATA
from volfs.driver.names import quoted
from volfs.driver.options import mount_source
from volfs.driver.root import Root, host_errors
from volfs.errors import HostError, InUse, NotFound
from volfs.mount import syscalls


class Mounts(Root):
    """The mounts of one root's volumes."""

    def mount(self, name: str, options: Mapping[str, str] | None) -> str:
        """Sees to it that the data is at the mountpoint, which is returned. Fine when it is mounted already.

        Raises NotFound, Invalid for options without a device, HostError with the errno of a failed mount(2).
        """
        mountpoint = self.mountpoint(name)
        source = mount_source(options)
        with host_errors(f"volume {name} cannot be mounted"), self._open(name) as opened:
            try:
                if source is None:
                    os.close(os.open(DATA, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened))
                elif not syscalls.is_mount_root(DATA, dir_fd=opened):
                    attach(source, opened, DATA, mountpoint)
            except FileNotFoundError:
                raise NotFound(f"volume {name} has no {DATA} directory") from None
            except NotADirectoryError:
                raise HostError(f"volume {name}: its {DATA} is not a directory", errno.ENOTDIR) from None
        return mountpoint

    def is_mounted(self, name: str) -> bool:
        """Whether anything is mounted on the data. Raises NotFound, HostError."""
        with host_errors(f"volume {name} cannot be looked at"), self._open(name) as opened:
            try:
                return syscalls.is_mount_root(DATA, dir_fd=opened)
            except FileNotFoundError:
                return False

    def unmount(self, name: str) -> None:
        """Detaches everything stacked on the data; who is inside may finish. Fine when nothing is mounted.

        The data itself is not asked for anything: its server may be gone.
        """
        with host_errors(f"volume {name} cannot be unmounted"), self._open(name) as opened:
            try:
                while syscalls.detach(f"/proc/self/fd/{opened}/{DATA}"):
                    pass
            except PermissionError:  # without the privilege the kernel does not say whether there was anything
                if self._mounts_in(name):
                    raise

    def release(self, name: str) -> None:
        """Unmounts everything stacked on the data before a removal, unless it is used. Fine without a directory.

        Raises InUse for an open file or a working directory in it, and with nothing touched for any other mount inside.
        """
        with suppress(NotFound), host_errors(f"volume {name} cannot be unmounted"), self._open(name) as opened:
            for where in self._mounts_in(name):
                if where != DATA:
                    raise _mounted(name, where)
            while syscalls.is_mount_root(DATA, dir_fd=opened):
                try:
                    syscalls.unmount(f"/proc/self/fd/{opened}/{DATA}", syscalls.UMOUNT_NOFOLLOW)
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        raise
                    raise InUse(f"volume {name} is in use: something on the host has its data open") from None

    def refuse_mounted(self, name: str) -> None:
        """Raises InUse where anything is mounted at the volume or in it. Asks no store: one may hang."""
        for where in self._mounts_in(name):
            if where == DATA:
                raise InUse(f"volume {name} is in use: its data is still mounted")
            raise _mounted(name, where)

    def _mounts_in(self, name: str) -> list[str]:
        """Where anything is mounted at the volume or in it, relative to its directory, oldest first."""
        directory = str(self.volumes / name)
        return [os.path.relpath(entry.mountpoint, directory) for entry in syscalls.mounts_under(directory)]


def _mounted(name: str, where: str) -> InUse:
    return InUse(f"volume {name} is in use: something is mounted at {quoted(where)} in it, unmount that first")
