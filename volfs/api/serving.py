"""HTTP on the sockets that the keeper opened: hypercorn, told to be quiet and to end when asked."""

import logging
from collections.abc import Awaitable, Callable, Sequence

import trio
from hypercorn.config import Config

from volfs.api.connections import serve_connections
from volfs.api.engine import EngineApi
from volfs.api.plugin import PluginApi
from volfs.volume.evidence import Evidence
from volfs.volume.lists import Lists
from volfs.volume.service import VolumeService


async def serve_http(
    service: VolumeService,
    lists: Lists,
    evidence: Evidence,
    listeners: Sequence[int],
    ending: Callable[[], Awaitable[None]],
    grace: float,
    task_status: trio.TaskStatus[None],
) -> None:
    """The Engine API on the first listening socket and the plugin protocol on the others, until `ending` returns.

    Requests under way get `grace` seconds then.
    """
    async with trio.open_nursery() as nursery:
        for position, listener in enumerate(listeners):
            app = EngineApi(service, lists) if position == 0 else PluginApi(service, evidence)
            await nursery.start(serve_connections, app, _config(grace), listener, ending)
        task_status.started()


def _config(grace: float) -> Config:
    config = Config()
    config.graceful_timeout = grace
    config.keep_alive_timeout = 5.0  # seconds; a client that closed an idle connection is noticed only then
    config.include_server_header = False
    config.h11_max_incomplete_size = 64 << 10
    config.errorlog = logging.getLogger("volfs.http")
    config.errorlog.setLevel(logging.WARNING)
    return config
