"""The view's connection to the kernel: made once, kept for all daemons.

A privileged keeper opens /dev/fuse and mounts itself; otherwise fusermount3 does both and hands the descriptor over
(`_FUSE_COMMFD`). The kernel sends FUSE_INIT once; the keeper reads and keeps it, and each daemon replays it to its
libfuse. Source: the kernel's Documentation/filesystems/fuse.rst and libfuse's util/fusermount.c.
"""

import errno
import os
import select
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass

from volfs.errors import HostError
from volfs.mount import syscalls

DEVICE = "/dev/fuse"
FSTYPE = "fuse.volfs"
_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_NOTIFY_RESEND = struct.pack("=IiQ", 16, 7, 0)  # struct fuse_out_header with FUSE_NOTIFY_RESEND and no body
_LONGEST_INIT = 1 << 20  # bytes; the kernel refuses a read with less room than its longest request


@dataclass
class Connection:
    """An open FUSE descriptor and the kernel's FUSE_INIT. `answered` once a daemon was ready on it."""

    descriptor: int
    init: bytes
    answered: bool = False

    def close(self) -> None:
        """Lets the connection go; with the last descriptor the kernel ends it."""
        os.close(self.descriptor)

    def ended(self) -> bool:
        """Whether the kernel ended it: the view was unmounted and nobody is inside, or it was aborted."""
        poll = select.poll()
        poll.register(self.descriptor, 0)
        return bool(poll.poll(0))

    def resend(self) -> bool:
        """Has the kernel send every unanswered request again; False where it cannot (before Linux 6.9).

        On a connection that has ended the kernel takes the word and does nothing.
        """
        if self.ended():
            return False
        try:
            os.write(self.descriptor, _NOTIFY_RESEND)
        except OSError:
            return False
        return True


def mount_view(root: str, view: str, *, read_only: bool = False) -> Connection:
    """Mounts the view and reads the kernel's FUSE_INIT. Raises HostError, saying what to do."""
    mount = _mount_privileged if syscalls.can_mount() else _mount_by_fusermount
    descriptor = mount(root, view, read_only)
    try:
        return Connection(descriptor, os.read(descriptor, _LONGEST_INIT))
    except OSError as error:
        os.close(descriptor)
        raise HostError(f"the kernel does not begin to talk about {view}: {error.strerror}", error.errno) from error


def detach_view(view: str) -> None:
    """Takes the view and everything bound on it away; who is inside may finish. Fine when nothing is mounted."""
    if syscalls.can_mount():
        syscalls.detach(view)
    else:
        subprocess.run(["fusermount3", "-u", "-z", "-q", "--", view], check=False, stderr=subprocess.DEVNULL)


def _mount_privileged(root: str, view: str, read_only: bool) -> int:
    descriptor = _open_device()
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    try:
        syscalls.mount(root, view, FSTYPE, _MS_NOSUID | _MS_NODEV | (_MS_RDONLY if read_only else 0), options)
    except OSError as error:
        os.close(descriptor)
        raise HostError(f"the view {view} cannot be mounted: {error.strerror}", error.errno) from error
    return descriptor


def _open_device() -> int:
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        what_to_do = {
            errno.ENOENT: "load the kernel's module with `modprobe fuse`; in a container start it with "
            "`--device /dev/fuse`",
            errno.ENODEV: "load the kernel's module with `modprobe fuse`",
            errno.ENXIO: "load the kernel's module with `modprobe fuse`",
        }.get(error.errno or 0, "run volfs as root, or allow the device (`--device /dev/fuse` in a container)")
        raise HostError(f"{DEVICE} cannot be opened: {error.strerror}; {what_to_do}", error.errno) from error


def _mount_by_fusermount(root: str, view: str, read_only: bool) -> int:
    os.close(_open_device())  # for its message: fusermount3's own says less
    program = shutil.which("fusermount3")
    if program is None:
        raise HostError("fusermount3 is not installed: install the package fuse3, or run volfs as root")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        source = root.replace("\\", "\\\\").replace(",", "\\,")
        options = f"default_permissions,nosuid,nodev{',ro' if read_only else ''},fsname={source},subtype=volfs"
        command = [program, "-o", options, "--", view]
        environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
        result = subprocess.run(
            command, env=environment, pass_fds=(theirs.fileno(),), check=False, capture_output=True, text=True
        )
        theirs.close()
        descriptors = socket.recv_fds(ours, 1, 1)[1] if result.returncode == 0 else []
    if not descriptors:
        raise HostError(f"the view {view} cannot be mounted: {result.stderr.strip() or 'fusermount3 failed'}")
    os.set_inheritable(descriptors[0], False)
    return int(descriptors[0])
