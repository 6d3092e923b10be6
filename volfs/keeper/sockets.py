"""The listening sockets, which no restart of the daemon closes; and the service manager's."""

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

from volfs.errors import Conflict, HostError

BACKLOG = 1024  # connections that wait while one daemon follows another


def listen(path: str) -> socket.socket:
    """A listening Unix socket that only its owner may use; a dead one in its place is replaced.

    Raises Conflict where somebody answers there, HostError.
    """
    try:
        Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _clear(path)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except OSError as error:
        raise HostError(f"the socket {path} cannot be made: {error.strerror or error}", error.errno) from error
    return listener


def unlink(path: str) -> None:
    """Takes a socket's name away."""
    with suppress(OSError):
        Path(path).unlink()


def notify(state: str) -> None:
    """Tells the service manager; without one (NOTIFY_SOCKET) nothing happens. See sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), address)


def _clear(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                Path(path).unlink()
            elif error.errno != errno.ENOENT:
                raise
            return
    raise Conflict(f"somebody answers on the socket {path} already: stop that one, or give another --run-dir")
