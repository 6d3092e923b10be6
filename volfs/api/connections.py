"""Connections of a listening socket, each for itself: hypercorn speaks HTTP in them, and this is what it runs in.

Law: whatever goes wrong in a connection ends that connection and nothing else. hypercorn's own loop takes the whole
process with it, for one where a client breaks the protocol while it is being answered: the close and the answer meet.
"""

import logging
import select
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, Framework
from hypercorn.utils import wrap_app

LOOK = 2.0  # seconds between two looks whether a client is still there
QUIET = 10.0  # seconds between two lines about connections that cannot be accepted, which is tried ten times a second

log = logging.getLogger(__name__)


class Connection(TCPServer):
    """One client. Where it has gone and nothing is being answered, hypercorn may still wait for it, for ever."""

    def __init__(self, app: AppWrapper, *rest: Any) -> None:  # noqa: ANN401 (hypercorn's own)
        async def counted(*call: Any) -> None:  # noqa: ANN401
            self._answering += 1
            try:
                await app(*call)
            finally:
                self._answering -= 1

        self._answering = 0
        super().__init__(cast(AppWrapper, counted), *rest)

    async def run(self) -> None:
        """Serves until either side closes."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, nursery.cancel_scope)
                await super().run()
                nursery.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 (anything: the law)
            log.warning("a connection broke", extra={"why": _reason(error)})

    async def _watch(self, scope: trio.CancelScope) -> None:
        while True:
            await trio.sleep(LOOK)
            if not self._answering and _is_gone(self.stream.socket):
                scope.cancel()

    async def _read_data(self) -> None:
        """Speaks HTTP/1 only: an answer in HTTP/2 waits for a client that has gone, for ever."""
        if isinstance(self.protocol.protocol, H11Protocol):
            self.protocol.protocol._check_protocol = _stay  # type: ignore[assignment, method-assign]  # noqa: SLF001
        await super()._read_data()

    async def protocol_send(self, event: Event) -> None:
        """Sends, unless the connection is being closed at this moment."""
        try:
            await super().protocol_send(event)
        except trio.BusyResourceError:
            await self.protocol.handle(Closed())


async def serve_connections(
    app: Framework,
    config: Config,
    listener: int,
    ending: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[None],
) -> None:
    """Accepts on the listening socket of this descriptor until `ending` returns; what is under way gets a grace."""
    context = WorkerContext(None)
    connection = partial(Connection, wrap_app(app, config.wsgi_max_body_size, "asgi"), config, context)
    accepted = trio.SocketListener(trio.socket.from_stdlib_socket(socket.socket(fileno=listener)))
    _complain_seldom()
    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as accepting:
            serve = partial(trio.serve_listeners, handler_nursery=connections)
            accepting.start_soon(serve, partial(connection, ConnectionState({})), [accepted])
            task_status.started()
            await ending()
            accepting.cancel_scope.cancel()
        await context.terminated.set()
        connections.cancel_scope.deadline = trio.current_time() + config.graceful_timeout


async def _stay(request: h11.Request) -> None:
    """Takes a request for another protocol as one of this."""


def _is_gone(client: trio.socket.SocketType) -> bool:
    """Whether the other side has closed, or this one has."""
    poll = select.poll()
    try:
        poll.register(client.fileno(), 0)
    except ValueError:
        return True
    return any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))


def _reason(error: BaseException) -> str:
    """The first thing that went wrong, in a line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


class _Seldom(logging.Filter):
    """trio says with a traceback, each time, that there is no descriptor for a client that waits."""

    def __init__(self) -> None:
        super().__init__()
        self._said = -QUIET

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        if time.monotonic() < self._said + QUIET:
            return False
        self._said = time.monotonic()
        return True


def _complain_seldom() -> None:
    logger = logging.getLogger("trio.serve_listeners")
    if not logger.filters:
        logger.addFilter(_Seldom())
