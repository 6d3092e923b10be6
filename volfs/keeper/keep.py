"""The keeper's loop: starts the daemon, hears signals, and starts the next one when it ends."""

import json
import logging
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from volfs import logs
from volfs.errors import Invalid, VolfsError
from volfs.keeper import claims, sockets
from volfs.keeper.fuse import Connection, detach_view, mount_view
from volfs.mount import mountinfo
from volfs.mount.syscalls import read_mountinfo
from volfs.settings import GIVE_UP, Settings
from volfs.volume import suspicion

LOOK = 0.5  # seconds between two looks whether a daemon is dead that cannot be reaped
STOP_DEADLINE = 10.0  # seconds that a daemon gets to end before it is killed
LONGEST_PAUSE = 5.0  # seconds between two tries of a daemon that does not get ready
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

log = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code of the process. Errors go to standard error as one line."""
    logs.configure(settings.log_format)
    try:
        root, view = claims.resolved(settings.root), claims.resolved(settings.view)
        observe = claims.resolved(settings.observe) if settings.observe else ""
        with ExitStack() as stack:
            return Keeper(replace(settings, root=root, view=view, observe=observe), stack).run()
    except VolfsError as error:
        print(f"volfs: {error}", file=sys.stderr)
        sockets.notify(f"STATUS={error}")
        return 125


class Keeper:
    """Everything that is held; given back, in the opposite order, when `stack` is closed."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._settings = settings
        self._stop = self._replace = False
        self._announced = False
        self._failures = 0
        self._lingering: list[subprocess.Popen[bytes]] = []
        self._wakeup = _catch_signals(stack)
        if settings.observe:
            claims.check_observed(settings.observe, settings.view, settings.run_dir)
        self._lock = claims.lock_root(settings.root, settings.view)
        stack.callback(os.close, self._lock)
        below = claims.claim_view(settings.view, settings.root)
        stack.callback(os.close, below)
        self._listeners = self._listen(stack)
        self._connection = mount_view(settings.root, settings.view, read_only=settings.read_only)
        stack.callback(self._close_view)

    def _socket_paths(self) -> list[str]:
        return [f"{self._settings.run_dir}/volfs.sock", *self._settings.plugin_sockets]

    def _listen(self, stack: ExitStack) -> list[socket.socket]:
        """One socket a path: what the service manager handed down, or one of our own, whose name goes at the end."""
        handed_down = sockets.handed_down()
        listeners = []
        for path in self._socket_paths():
            listener = handed_down.pop(os.path.realpath(path), None)
            if listener is None:
                listener = sockets.listen(path)
                stack.callback(sockets.unlink, path)
            stack.callback(listener.close)
            listeners.append(listener)
        if handed_down:
            raise Invalid(
                f"the service manager handed down a socket at {next(iter(handed_down))}, which no option names: "
                "give it as --plugin-socket, or disable its socket unit"
            )
        return listeners

    def _close_view(self) -> None:
        detach_view(self._settings.view)
        self._connection.close()

    def run(self) -> int:
        """Daemon after daemon, until a signal says stop or a daemon says that it can never start."""
        fresh = True
        while True:
            code, ready = self._one_daemon(fresh)
            if self._settings.until_unmounted and not self._stop and self._is_unmounted():
                log.info("the view was unmounted")
                sockets.notify("STOPPING=1")
                self._stop = True
            if self._stop:
                if code or self._replace:
                    self._tidy()
                log.info("stopped")
                return 0
            if code == GIVE_UP:
                return 125
            self._report(code, ready)
            fresh = self._prepare_next(ready)

    def _is_unmounted(self) -> bool:
        """Whether somebody unmounted the view, and nobody is inside of it any more either."""
        return self._connection.ended() and mountinfo.at(read_mountinfo(), self._settings.view) is None

    def _report(self, code: int, ready: bool) -> None:
        if self._replace:
            self._replace = False
            log.info("daemon replaced")
            return
        why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        log.warning("daemon ended, the next one starts", extra={"why": why})
        if code in suspicion.DEATHS:
            suspicion.suspect(Path(self._settings.root, "volumes", suspicion.CATALOGUE))
        self._failures = 0 if ready else self._failures + 1

    def _prepare_next(self, ready: bool) -> bool:
        """Has the kernel ask again what was not answered; returns whether the view had to be mounted afresh instead.

        A connection on which no daemon was ever ready may have FUSE_INIT unanswered, which must not be sent again.
        """
        if self._failures:
            self._pause(min(0.1 * 2 ** (self._failures - 1), LONGEST_PAUSE))
        self._connection.answered = self._connection.answered or ready
        if self._connection.answered and self._connection.resend():
            return False
        if self._connection.answered:
            log.warning("the kernel cannot send requests again, or the view was unmounted: it is mounted afresh")
        self._close_view()
        settings = self._settings
        self._connection = mount_view(settings.root, settings.view, read_only=settings.read_only)
        return True

    def _tidy(self) -> None:
        """Has restore unmount what the view used, where the last daemon was not there to do it when it was asked."""
        detach_view(self._settings.view)
        command = [sys.executable, "-P", "-m", "volfs.daemon", self._settings.to_json()]
        restore = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            restore.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            restore.kill()
            self._lingering.append(restore)  # a thread of it may wait in the kernel, and nobody for that

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stop and (left := deadline - time.monotonic()) > 0:
            self._hear(None, left)

    # One daemon

    def _one_daemon(self, fresh: bool) -> tuple[int, bool]:
        """Starts a daemon and waits until it ends: its exit code, and whether it was ever ready."""
        if self._stop:
            return -signal.SIGTERM, False
        control, theirs = socket.socketpair()
        replay, init = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control, replay:
            with theirs, init:
                replay.send(self._connection.init)
                daemon = self._spawn(theirs, init, fresh)
            return self._watch(daemon, control)

    def _spawn(self, control: socket.socket, init: socket.socket, fresh: bool) -> "subprocess.Popen[bytes]":
        listeners = [listener.fileno() for listener in self._listeners]
        held = {
            "fuse": self._connection.descriptor,
            "init": init.fileno(),
            "control": control.fileno(),
            "listeners": listeners,
            "fresh": fresh,
        }
        passed = (self._lock, self._connection.descriptor, init.fileno(), control.fileno(), *listeners)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "volfs.daemon", self._settings.to_json(), json.dumps(held)],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for the keeper, which stops the daemon in order
        )

    def _watch(self, daemon: "subprocess.Popen[bytes]", control: socket.socket) -> tuple[int, bool]:
        ready = False
        deadline: float | None = None
        while (code := self._exit_code(daemon)) is None:
            asked = self._stop or self._replace
            if asked and deadline is None:
                deadline = time.monotonic() + STOP_DEADLINE
                self._ask_to_end(daemon)
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                log.error("daemon does not end in time, killed")
                daemon.kill()
                deadline = math.inf
                continue
            if self._hear(control, LOOK if left is None else min(left, LOOK)):
                ready = True
                self._announce()
        return code, ready

    def _exit_code(self, daemon: "subprocess.Popen[bytes]") -> int | None:
        """None while it runs. Dead is a daemon also before it can be reaped.

        A thread that waits in the kernel, for a store that hangs or for this very view, outlives a SIGKILL until it is
        answered; of this view only the next daemon can do that. The kernel tells nobody: it is looked for.
        """
        self._lingering = [one for one in self._lingering if one.poll() is None]
        code = daemon.poll()
        if code is not None or not _is_zombie(daemon.pid):
            return code
        with suppress(subprocess.TimeoutExpired):
            return daemon.wait(LOOK)  # its other threads are ending just now
        self._lingering.append(daemon)
        log.warning("a thread of the daemon waits in the kernel for what does not answer", extra={"pid": daemon.pid})
        return -signal.SIGKILL

    def _ask_to_end(self, daemon: "subprocess.Popen[bytes]") -> None:
        with suppress(ProcessLookupError):
            daemon.send_signal(signal.SIGTERM if self._stop else signal.SIGHUP)
        if self._stop:
            sockets.notify("STOPPING=1")
            detach_view(self._settings.view)

    def _announce(self) -> None:
        self._failures = 0
        if not self._announced:
            self._announced = True
            sockets.notify(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=serving {self._settings.view}")

    def _hear(self, control: socket.socket | None, timeout: float | None) -> bool:
        """Waits for a signal or for the daemon's word; returns whether the daemon said that it is ready."""
        sources = [self._wakeup, *([control] if control is not None and control.fileno() >= 0 else [])]
        readable, _, _ = select.select(sources, [], [], timeout)
        if self._wakeup in readable:
            for number in self._wakeup.recv(4096):
                self._stop = self._stop or number in (signal.SIGTERM, signal.SIGINT)
                self._replace = self._replace or number == signal.SIGHUP
        if control is not None and control in readable:
            said = control.recv(4096)
            if not said:
                control.close()  # it is ending; SIGCHLD will say so
            return bool(said)
        return False


def _is_zombie(pid: int) -> bool:
    """Whether the process's first thread has ended; see proc(5), the field after the name in parentheses."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False


def _catch_signals(stack: ExitStack) -> socket.socket:
    """A socket on which the numbers of signals arrive."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    stack.enter_context(reader)
    stack.enter_context(writer)
    stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False))
    for number in _SIGNALS:
        stack.callback(signal.signal, number, signal.signal(number, _noted))
    return reader


def _noted(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has told the loop."""


__all__ = ["Connection", "Keeper", "serve"]
