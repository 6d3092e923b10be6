"""HTTP on the sockets that the keeper opened, until the daemon ends: accepting ends then, and nobody is cut off."""

import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from volfs.api.connections import Connections, Face
from volfs.api.engine import EngineApi
from volfs.api.plugin import PluginApi
from volfs.volume.evidence import Evidence
from volfs.volume.lists import Lists
from volfs.volume.service import VolumeService

QUIET = 10.0  # seconds between two lines about connections that cannot be accepted, which is tried ten times a second


async def serve_http(
    service: VolumeService,
    lists: Lists,
    evidence: Evidence,
    listeners: Sequence[int],
    ending: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[None],
) -> None:
    """The Engine API on the first listening socket and the plugin protocol on the others, until `ending` returns.

    Then it returns when everybody has been answered.
    """
    _complain_seldom()
    async with trio.open_nursery() as nursery:
        for position, listener in enumerate(listeners):
            face = EngineApi(service, lists) if position == 0 else PluginApi(service, evidence)
            await nursery.start(_serve, face, listener, ending)
        task_status.started()


async def _serve(
    face: Face, listener: int, ending: Callable[[], Awaitable[None]], task_status: trio.TaskStatus[None]
) -> None:
    connections = Connections(face)
    accepted = trio.SocketListener(trio.socket.from_stdlib_socket(socket.socket(fileno=listener)))
    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as accepting:
            accepting.start_soon(partial(trio.serve_listeners, handler_nursery=clients), connections.serve, [accepted])
            accepting.start_soon(connections.look)
            task_status.started()
            await ending()
            accepting.cancel_scope.cancel()
        connections.end()


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
