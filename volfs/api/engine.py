"""The volume part of Docker's Engine API, over HTTP on a Unix socket: what the docker CLI and `volfs` talk to.

Law: nothing is decided here. A request becomes a call of the service, its answer a message; an error becomes a status
by the one table of `messages`. What is not expected is logged with its traceback and answered 500 without it.
"""

import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import trio

from volfs import __version__
from volfs.api import about, containers, messages
from volfs.api.events import EventStream, parse_wanted
from volfs.api.http import JSON, Answer, Request, json
from volfs.api.transfer import Transfer
from volfs.api.usage import UsageStream, measured
from volfs.container.setup import Containers
from volfs.errors import NotFound, VolfsError
from volfs.volume.describe import shown, usage_data
from volfs.volume.filters import LISTING, PRUNING, Filters, parse_filters
from volfs.volume.lists import SEARCH, Lists
from volfs.volume.prune import Prune
from volfs.volume.service import MANY, VolumeService
from volfs.volume.volume import Reference, Volume

SHOWN_AT_ONCE = 500  # volumes shown between two turns of the event loop: some milliseconds

_HEADERS = (
    f"Api-Version: {messages.API_VERSION}\r\nDocker-Experimental: false\r\nOstype: linux\r\n"
    f"Server: volfs/{__version__} (linux)\r\n"
)
_OF_PING = "Cache-Control: no-cache, no-store, must-revalidate\r\nBuilder-Version: \r\nSwarm: inactive\r\n"

log = logging.getLogger(__name__)
Handler = Callable[[Request, str], Awaitable[Answer]]


class EngineApi:
    """The face of the first socket. `version` in the handlers is the API version that the client speaks."""

    def __init__(self, service: VolumeService, lists: Lists) -> None:
        self._service = service
        self._lists = lists
        self._aside = trio.CapacityLimiter(1)
        self._pruning = Prune(service)
        self._containers = containers.ContainerRoutes(Containers(service, lists))
        transfer = Transfer(service)
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "/_ping"): self._ping,
            ("HEAD", "/_ping"): self._ping,
            ("GET", "/version"): self._version,
            ("GET", "/info"): self._info,
            ("GET", "/events"): self._events,
            ("GET", "/system/df"): self._usage,
            ("GET", "/volfs/usage"): self._usage_as_it_comes,
            ("GET", "/volumes"): self._list,
            ("POST", "/volfs/containers/mounts"): self._containers.mounts,
            ("POST", "/volumes/create"): self._create,
            ("POST", "/volumes/prune"): self._prune,
            ("GET", "/volfs/hold"): transfer.hold,
            ("POST", "/volfs/publish"): transfer.publish,
        }

    async def __call__(self, request: Request) -> Answer:
        """Answers every request, whatever comes of it."""
        answer = await self._answer(request)
        answer.more += _HEADERS
        return answer

    async def _answer(self, request: Request) -> Answer:
        try:
            version, path = messages.split_version(request.path)
            return await self._handler(request, path)(request, version)
        except VolfsError as error:
            return json({"message": str(error)}, messages.status_of(error))
        except Exception:
            log.exception("a request failed", extra={"method": request.method, "path": request.path})
            return json({"message": "volfs failed on this request; its log says why"}, 500)

    def _handler(self, request: Request, path: str) -> Handler:
        handler = self._routes.get((request.method, path))
        if handler is not None:
            return handler
        if path.startswith("/volumes/"):
            request.name = path.removeprefix("/volumes/")
            if request.method == "GET":
                return self._inspect
            if request.method == "DELETE":
                return self._remove
        if path.startswith(containers.PREFIX) and request.method == "DELETE":
            return self._containers.release
        raise NotFound("page not found")

    async def _ping(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        return Answer(b"OK", media_type="text/plain; charset=utf-8", more=_OF_PING)

    async def _version(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        host = os.uname()
        return json(about.version_of(host.release, host.machine))

    async def _info(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        kernel = os.uname()
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        host = about.Host(kernel.nodename, kernel.release, kernel.machine, os.cpu_count() or 1, memory)
        drivers = ["local", *self._service.store.drivers()]
        return json(about.info_of(host, self._service.root, drivers))

    async def _events(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        wanted = parse_wanted(request.asked("since"), request.asked("until"), request.asked("filters"))
        return EventStream(self._service.events, wanted, time.time_ns())

    async def _list(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        filters = parse_filters(request.asked("filters"), LISTING)
        warnings = await self._lists.glance()
        parts = []
        async for batch in self._service.batches(filters):
            parts.append(msgspec.json.encode([await self._told(one, users) for one, users in batch]))
        return Answer(messages.listed(parts, msgspec.json.encode(warnings or None)), media_type=JSON)

    async def _inspect(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        name = request.name
        if not name:
            raise NotFound("get: no such volume")
        volume = await self._lists.find(name)
        return json(messages.inspected(await self._shown(volume), self._service.drivers.told(volume)))

    async def _create(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        body = request.body
        if body:
            messages.check_content_type(request.headers.get("content-type", ""))
        wanted = messages.parse_create(body)
        volume = await self._service.create(wanted.name, wanted.driver, wanted.options, wanted.labels)
        return json(await self._shown(volume), 201)

    async def _remove(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        name = request.name
        if not name:
            raise NotFound("get: no such volume")
        force = messages.truth(request.asked("force"))
        if self._service.store.get(name) is None:
            await self._lists.glance(SEARCH)  # a plugin may have it
        await self._service.remove(name, force=force)
        return Answer(status=204)

    async def _prune(self, request: Request, version: str) -> Answer:
        filters = parse_filters(request.asked("filters"), PRUNING)
        if not messages.at_least(version, "1.42"):
            filters = replace(filters, all=True)  # before, a prune meant every unused volume
        pruned = await self._pruning.run(filters)
        return json({"VolumesDeleted": pruned.names, "SpaceReclaimed": pruned.reclaimed})

    async def _usage(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        kinds = messages.kinds_of_usage(request.asked_all("type"))
        objects = []
        if "volume" in kinds:
            figures = await measured(self._service.usage)
            for volume in await self._service.listed(Filters()):
                figure = figures.get(volume.serial) or self._service.usage.last(volume)
                users = await self._service.users(volume.name)
                objects.append({**await self._shown(volume), "UsageData": usage_data(figure, users)})
                if len(objects) % SHOWN_AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
        return json(messages.usage_of(objects))

    async def _usage_as_it_comes(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        cached = messages.truth(request.asked("cached"))
        return UsageStream(self._service, request.asked_all("name"), cached=cached)

    async def _shown(self, volume: Volume) -> dict[str, Any]:
        return await self._told(volume, await self._service.users(volume.name))

    async def _told(self, volume: Volume, users: Sequence[Reference]) -> dict[str, Any]:
        """What is told of a volume; of one with very many users it takes its time, and nobody else's."""
        mountpoint = self._service.mountpoint(volume)
        if len(users) < MANY:
            return shown(volume, mountpoint, users)
        return await trio.to_thread.run_sync(_shown_of_many, volume, mountpoint, users, limiter=self._aside)


def _shown_of_many(volume: Volume, mountpoint: str, users: Sequence[Reference]) -> dict[str, Any]:
    """Encoded one by one: one call for all of them would let nobody else run."""
    fields = shown(volume, mountpoint, users)
    fields["UsedBy"] = msgspec.Raw(b"[" + b",".join(map(msgspec.json.encode, fields["UsedBy"])) + b"]")
    return fields
