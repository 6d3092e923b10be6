"""Mounts what a volume's options name onto the volume's data: an address resolved, then mount(2) once to three times.

Law: complete or not at all; a step that fails takes the earlier ones back. It mounts on descriptors, so that nobody who
can write in the volume can lead a mount astray, and its messages are Docker's, without secrets.
"""

import ipaddress
import os
import socket
from contextlib import suppress

from volfs.driver.options import MountSource, cifs_host, masked_device, with_cifs_host
from volfs.errors import HostError, Invalid
from volfs.mount import options as mount_options
from volfs.mount import syscalls

# What mount(2) ignores when it makes a bind, and takes in a remount of it; Docker does that for `ro` alone.
_BIND_REMOUNT = (
    mount_options.MS_RDONLY
    | mount_options.MS_NOSUID
    | mount_options.MS_NODEV
    | mount_options.MS_NOEXEC
    | mount_options.MS_NOATIME
    | mount_options.MS_NODIRATIME
    | mount_options.MS_RELATIME
)


def attach(source: MountSource, directory: int, name: str, shown: str) -> None:
    """Mounts `source` on `name`, a real directory in the directory of the descriptor; `shown` is its path for people.

    Raises HostError with the errno of the step that failed, NotADirectoryError or FileNotFoundError for `name`.
    """
    found = resolved(source)
    parsed = mount_options.parse(found.o)
    below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        _step(found.device, f"/proc/self/fd/{below}", found.type, parsed.flags, parsed.data, shown)
    finally:
        os.close(below)
    top = f"/proc/self/fd/{directory}/{name}"
    try:
        if parsed.propagation:
            _step("", top, "", parsed.propagation, "", shown)
        if parsed.flags & mount_options.MS_BIND and parsed.flags & _BIND_REMOUNT:
            _step("", top, "", parsed.flags | mount_options.MS_REMOUNT, "", shown)
    except HostError:
        with suppress(OSError):
            syscalls.detach(top)
        raise


def resolved(source: MountSource) -> MountSource:
    """`source` with the host of nfs and cifs as an address, which mount(2) needs; the name stays in opts.json.

    Docker's rule: the first `addr=`, or the host of a cifs device where there is no `addr=`; an nfs device never.
    Raises Invalid for a missing device, HostError where the name has no address now.
    """
    if not source.device:
        raise Invalid("missing device in volume options")
    if not source.type.startswith("nfs") and source.type != "cifs":
        return source
    named = mount_options.address(source.o)
    if named and not _is_ip(named):
        return MountSource(source.type, source.device, mount_options.with_address(source.o, _lookup(named)))
    host = cifs_host(source.device) if source.type == "cifs" and not named else None
    if host and not _is_ip(host.strip("[]")):
        return MountSource(source.type, with_cifs_host(source.device, _lookup(host)), source.o)
    return source


def _step(device: str, target: str, fstype: str, flags: int, data: str, shown: str) -> None:
    try:
        syscalls.mount(device, target, fstype, flags, data)
    except OSError as error:
        what = f"mount {masked_device(device)}:{shown}" if device else f"remount {shown}"
        what += f", flags: 0x{flags:x}" if flags else ""
        what += f", data: {mount_options.masked(data)}" if data else ""
        raise HostError(f"failed to mount local volume: {what}: {error.strerror}", error.errno) from error


def _lookup(host: str) -> str:
    """The first IPv4 address of `host`. Blocks as long as the resolver likes."""
    try:
        answers = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a host name"
        raise HostError(f"error resolving passed in network volume address: lookup {host}: {why}") from error
    return str(answers[0][4][0])


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
