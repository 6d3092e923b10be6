"""The listening sockets, which no restart of the daemon closes; and the service manager, which may hand some down.

Law: a socket that was handed down belongs to whoever opened it. It is told by its path, and its name is never removed.
"""

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

from volfs.errors import Conflict, HostError, Invalid

BACKLOG = 1024  # connections that wait while one daemon follows another
_FIRST_HANDED_DOWN = 3  # SD_LISTEN_FDS_START


def handed_down() -> dict[str, socket.socket]:
    """The listening Unix sockets that the service manager opened for us, by their paths; see sd_listen_fds(3).

    Can be asked once: processes that are started from here must not take them for theirs. Raises Invalid for one that
    is something else.
    """
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
    pid, count, *_ = [os.environ.pop(name, "") for name in names]
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    found = {}
    for descriptor in range(_FIRST_HANDED_DOWN, _FIRST_HANDED_DOWN + int(count)):
        path = _listening_path(descriptor)
        if path is None:
            raise Invalid(
                f"the service manager handed down what is no listening Unix socket (descriptor {descriptor}): "
                "a socket unit for volfs has ListenStream= with a path"
            )
        os.set_inheritable(descriptor, False)
        found[os.path.realpath(path)] = socket.socket(fileno=descriptor)
    return found


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


def _listening_path(descriptor: int) -> str | None:
    """None for what is no listening stream socket with a path."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as one:
            listening = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            path = one.getsockname() if listening and one.family == socket.AF_UNIX else b""
            stream = one.type == socket.SOCK_STREAM
    except OSError:
        return None
    return path if stream and isinstance(path, str) and path else None


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
