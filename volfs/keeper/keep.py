"""The keeper's loop: starts the daemon, hears signals, and starts the next one when it ends."""

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
from volfs.keeper.child import Child, Held
from volfs.keeper.fuse import Connection, detach_view, mount_view
from volfs.mount import mountinfo
from volfs.mount.syscalls import read_mountinfo
from volfs.settings import GIVE_UP, Settings
from volfs.volume import suspicion

SETTLED = 3.0  # seconds that a daemon is ready for before its successor is loaded, which costs some of a processor
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
        self._successor: Child | None = None
        self._replacing = False
        self._lingering: list[Child] = []
        self._wakeup, self._waker = _catch_signals(stack)
        stack.callback(self._dismiss_successor)
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

    def _awake(self) -> None:
        """Called from other threads: the loop looks what has happened."""
        with suppress(OSError):
            self._waker.send(b"\0")

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
                if code or self._replacing:
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
        if self._replacing:
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
            restore.kill()  # a thread of it may wait in the kernel, and nobody for that

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stop and (left := deadline - time.monotonic()) > 0:
            self._hear(None, left)

    # One daemon

    def _one_daemon(self, fresh: bool) -> tuple[int, bool]:
        """Has a daemon serve until it ends: its exit code, and whether it was ever ready."""
        if self._stop:
            return -signal.SIGTERM, False
        daemon, self._successor = self._successor or self._child(), None
        self._replacing = False
        replay, init = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with replay:
                with init:
                    replay.send(self._connection.init)
                    listeners = [listener.fileno() for listener in self._listeners]
                    daemon.hand(Held(self._lock, self._connection.descriptor, init.fileno(), listeners, fresh))
                code = self._watch(daemon)
        finally:
            daemon.close()
        if not daemon.is_reaped():
            self._lingering.append(daemon)
        return code, daemon.ready

    def _child(self) -> Child:
        return Child(self._settings, self._awake)

    def _watch(self, daemon: Child) -> int:
        """Its exit code, once it has ended. Meanwhile it gets a successor, and is asked to end when it has to."""
        due = math.inf  # the successor of a daemon that has settled
        deadline: float | None = None
        while (code := daemon.exit_code()) is None:
            now = time.monotonic()
            if now >= due and self._successor is None and not self._replace:
                self._successor, due = self._child(), math.inf
            if deadline is None and (self._stop or self._may_replace()):
                deadline = now + STOP_DEADLINE
                self._ask_to_end(daemon)
            if deadline is not None and now >= deadline:
                log.error("daemon does not end in time, killed")
                daemon.tell(signal.SIGKILL)
                deadline = math.inf
            if self._hear(daemon, min(due, deadline or math.inf) - now):
                due = time.monotonic() + SETTLED
                self._announce()
        return code

    def _may_replace(self) -> bool:
        """Whether a daemon that was to be replaced can be: the code that is installed now has been loaded.

        One that stood by may be of the code before an upgrade, and nobody gives a daemon up for code that does not run.
        """
        if self._replace:
            self._replace, self._replacing = False, True
            self._dismiss_successor()
            self._successor = self._child()
        elif self._replacing and self._successor is None:
            self._replacing = False
            log.error("volfs as it is installed now cannot be started, the daemon is not replaced")
        return self._replacing and self._successor is not None and self._successor.loaded

    def _dismiss_successor(self) -> None:
        if self._successor is not None:
            self._successor.dismiss()
            self._successor = None

    def _ask_to_end(self, daemon: Child) -> None:
        daemon.tell(signal.SIGTERM if self._stop else signal.SIGHUP)
        if self._stop:
            sockets.notify("STOPPING=1")
            detach_view(self._settings.view)

    def _announce(self) -> None:
        self._failures = 0
        if not self._announced:
            self._announced = True
            sockets.notify(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=serving {self._settings.view}")

    def _hear(self, daemon: Child | None, timeout: float) -> bool:
        """Waits for a signal, a word or an end; returns whether the daemon has become ready."""
        children = [one for one in (daemon, self._successor) if one is not None and one.control.fileno() >= 0]
        sources = [self._wakeup, *(one.control for one in children)]
        readable, _, _ = select.select(sources, [], [], None if timeout == math.inf else max(timeout, 0.0))
        was_ready = daemon is not None and daemon.ready
        for one in children:
            if one.control in readable:
                one.hear()
        if self._wakeup in readable:
            self._note(self._wakeup.recv(4096))
        return daemon is not None and daemon.ready and not was_ready

    def _note(self, numbers: bytes) -> None:
        self._stop = self._stop or signal.SIGTERM in numbers or signal.SIGINT in numbers
        self._replace = self._replace or signal.SIGHUP in numbers
        self._lingering = [one for one in self._lingering if not one.is_reaped()]
        if self._successor is not None and self._successor.exit_code() is not None:
            log.warning("a daemon that stood by has ended")
            self._dismiss_successor()


def _catch_signals(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """A socket on which the numbers of signals arrive, and its other end."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    stack.enter_context(reader)
    stack.enter_context(writer)
    stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False))
    for number in _SIGNALS:
        stack.callback(signal.signal, number, signal.signal(number, _noted))
    return reader, writer


def _noted(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has told the loop."""


__all__ = ["Connection", "Keeper", "serve"]
