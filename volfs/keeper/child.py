"""A process of the daemon's program, as its keeper sees it.

    Child()  ->  loading  --LOADED-->  standing by  --hand(Held)-->  serving  --READY-->  ready
                 what may fail           costs only memory            has the view, the sockets, the lock

What is handed over can be sent before it has loaded: it is read when it is wanted. One that stands by takes over from
a daemon that died without the time that loading Python takes, and one that cannot be loaded (an upgrade that is
broken) is found out while the old one still serves.

Law: words go up, descriptors go down, over one socket (SOCK_SEQPACKET); when the keeper's end closes, the child ends.
"""

import array
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from volfs.keeper.vigil import Vigil
from volfs.settings import Settings

LOADED, READY = b"loaded", b"ready"
MOST_DESCRIPTORS = 253  # SCM_MAX_FD of the kernel, see unix(7)
LINGER = 0.5  # seconds that the other threads of a daemon get to end after its first one

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """The descriptors that the keeper hands down. `fresh`: the kernel has cached nothing of this view yet."""

    lock: int
    fuse: int
    init: int
    listeners: list[int]
    fresh: bool

    def send(self, control: socket.socket) -> None:
        """Raises OSError where the child is gone."""
        descriptors = array.array("i", [self.lock, self.fuse, self.init, *self.listeners])
        rights = socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors
        control.sendmsg([json.dumps({"fresh": self.fresh}).encode()], [rights])

    @classmethod
    def receive(cls, control: socket.socket) -> Self | None:
        """Waits until it is handed down; None where the keeper has ended, or has no use for this process any more."""
        said, descriptors = b"", list[int]()
        with suppress(OSError):
            said, descriptors, _, _ = socket.recv_fds(control, 4096, MOST_DESCRIPTORS)
        if not said:
            return None
        lock, fuse, init, *listeners = descriptors
        return cls(lock, fuse, init, listeners, json.loads(said)["fresh"])


class Child:
    """A running process. `on_end` is called from a thread when it has ended, also where it cannot be reaped."""

    def __init__(self, settings: Settings, on_end: Callable[[], None]) -> None:
        self.loaded = self.ready = False
        self._on_end = on_end
        self._dead = False
        self._vigil = Vigil()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        passed = theirs.fileno(), self._vigil.descriptor
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "volfs.daemon", settings.to_json(), *map(str, passed)],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the keeper, which stops the daemon in order
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def hand(self, held: Held) -> None:
        """Lets it serve. One that is gone already is noticed as any that ends."""
        with suppress(OSError):
            held.send(self.control)

    def hear(self) -> None:
        """Takes what it says; to be called when its control socket is readable."""
        said = b""
        with suppress(OSError):
            said = self.control.recv(4096)
        if said == LOADED:
            self.loaded = True
            self._vigil.watch(self._ended)
        elif said == READY:
            self.ready = True
        else:
            self.control.close()  # it is ending; SIGCHLD or the vigil will say so

    def _ended(self) -> None:
        self._dead = True
        self._on_end()

    def exit_code(self) -> int | None:
        """None while it runs. Dead is one also before it can be reaped: then as if killed.

        A thread that waits in the kernel, for a store that hangs or for this very view, outlives a SIGKILL until it is
        answered; of this view only the next daemon can do that.
        """
        code = self._process.poll()
        if code is not None or not self._dead:
            return code
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(LINGER)  # its other threads are ending just now
        log.warning("a thread of the daemon waits in the kernel for what does not answer", extra={"pid": self.pid})
        return -signal.SIGKILL

    def is_reaped(self) -> bool:
        return self._process.poll() is not None

    def tell(self, number: signal.Signals) -> None:
        """Sends a signal, fine when it has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def dismiss(self) -> None:
        """Ends one that was never handed anything: nothing can be lost."""
        self.tell(signal.SIGKILL)
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Gives the descriptors back. A child that still runs takes that as the keeper's end, and ends."""
        self.control.close()
        self._vigil.close()


def announce(control: socket.socket, word: bytes) -> None:
    """What a child says to its keeper, which may be gone."""
    with suppress(OSError):
        os.write(control.fileno(), word)
