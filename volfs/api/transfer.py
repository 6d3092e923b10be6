"""What `volfs export` and `volfs import` ask beyond Docker's API.

    GET  /volfs/hold?name=NAME&for=export   a line of JSON with the Mountpoint; the volume is in use as long as the
                                            connection lasts
    POST /volfs/publish                     shows what was imported: {"Work", "Volumes": [{"Source", "Inode", "Name",
                                            "Created", "Labels", "Options"}, …]}

Law: data never goes through HTTP. A user of this kind ends with its connection or with the daemon, whichever is first;
restore takes away what a daemon that died could not.
"""

import secrets
from functools import partial
from typing import Annotated

import msgspec
import trio

from volfs.api.http import JSON, Answer, Client, Request, Stream, hear_the_end
from volfs.driver.importing import Part
from volfs.driver.record import Description
from volfs.errors import Invalid, NotFound
from volfs.volume.service import VolumeService
from volfs.volume.volume import Kind

_USES = ("export", "import")
_LAST_SECOND = 253_402_300_799  # of the year 9999, which is the last that RFC 3339 can write


class _Volume(msgspec.Struct, rename="pascal"):
    source: str
    inode: int
    name: str
    created: Annotated[int, msgspec.Meta(ge=0, le=_LAST_SECOND)]
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None


class _Publication(msgspec.Struct, rename="pascal"):
    work: str
    volumes: list[_Volume]


class Transfer:
    """Handlers for the Engine API's application."""

    def __init__(self, service: VolumeService) -> None:
        self._service = service

    async def hold(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        """The volume is mounted and in use from before the answer's first byte to its last."""
        name, use = request.asked("name"), request.asked("for")
        if not name:
            raise NotFound("hold: no such volume")
        if use not in _USES:
            raise Invalid(f"a volume is held for one of {', '.join(_USES)}")
        user = f"{use}-{secrets.token_hex(6)}"
        mountpoint = await self._service.uses.mount(name, user, Kind.TOOL)
        return HoldStream(self._service, name, user, mountpoint)

    async def publish(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        """Answers when the volumes are visible."""
        asked = _parse(request.body)
        parts = [
            Part(one.source, one.inode, one.name, Description(one.created, labels=one.labels, options=one.options))
            for one in asked.volumes
        ]
        await self._service.publishing.publish(asked.work, parts)
        return Answer(status=204)


def _parse(body: bytes) -> _Publication:
    try:
        return msgspec.json.decode(body, type=_Publication)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"invalid JSON: {error}") from None


class HoldStream(Stream):
    """An answer that goes on until the client goes or the daemon ends; then the user is none any more."""

    def __init__(self, service: VolumeService, name: str, user: str, mountpoint: str) -> None:
        super().__init__(media_type=JSON)
        self._events = service.events
        self._line = msgspec.json.encode({"Name": name, "User": user, "Mountpoint": mountpoint}) + b"\n"
        self._leave = partial(service.uses.unmount, name, user)

    async def write_to(self, client: Client) -> None:
        """The line, and nothing more."""
        try:
            await client.begin()
            await client.send(self._line)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hear_the_end, client, nursery.cancel_scope)
                nursery.start_soon(self._hear_the_daemon, nursery.cancel_scope)
        finally:
            await self._leave()

    async def _hear_the_daemon(self, scope: trio.CancelScope) -> None:
        with self._events.listen() as news:
            async for _ in news:
                pass
        scope.cancel()
