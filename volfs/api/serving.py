"""HTTP on the sockets that the keeper opened: hypercorn, told to be quiet and to end when asked."""

import logging
from collections.abc import Awaitable, Callable

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from volfs.api.engine import EngineApi
from volfs.volume.service import VolumeService


async def serve_engine(
    service: VolumeService,
    listener: int,
    ending: Callable[[], Awaitable[None]],
    grace: float,
    task_status: trio.TaskStatus[list[str]],
) -> None:
    """The Engine API on a listening socket until `ending` returns; requests under way get `grace` seconds then."""
    await serve(
        EngineApi(service),  # type: ignore[arg-type]
        _config(listener, grace),
        shutdown_trigger=ending,
        task_status=task_status,
        mode="asgi",
    )


def _config(listener: int, grace: float) -> Config:
    config = Config()
    config.bind = [f"fd://{listener}"]
    config.graceful_timeout = grace
    config.keep_alive_timeout = 60.0
    config.include_server_header = False
    config.h11_max_incomplete_size = 64 << 10
    config.errorlog = logging.getLogger("volfs.http")
    config.errorlog.setLevel(logging.WARNING)
    return config
