"""`GET /volfs/usage`: figures one JSON object a line, as they come; `volfs df` follows it.

    {"Progress": {"Done": 3, "Total": 200, "Size": 1048576, "Files": 12}}     also when nothing new is there
    {"Name": "db", "Driver": "local", "State": "ok", "UsageData": {...}}      with "Warning" where something is wrong
    {"Name": "nope", "Error": "get nope: no such volume"}                     one that was asked for by name
    {"End": true}                                                             without it, something is missing

Law: a client that goes away ends its answer and nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import trio

from volfs.api.http import JSON, Client, Stream, hear_the_end
from volfs.volume.describe import usage_data
from volfs.volume.service import VolumeService
from volfs.volume.survey import Found
from volfs.volume.usage import Run, Usage
from volfs.volume.volume import Figure

ANSWER_WITHIN = 45.0  # seconds; docker-py waits for a minute
SENT_AT_ONCE = 500  # volumes in a part of the answer: some milliseconds


async def measured(usage: Usage) -> Mapping[int, Figure]:
    """Figures by serial: those of all volumes, or what there is of them when a caller has waited long enough."""
    run = usage.start()
    with trio.move_on_after(ANSWER_WITHIN):
        await run.ended.wait()
    return run.figures


class UsageStream(Stream):
    """An answer that goes on until the volumes are measured; with `cached`, the last figures and no more."""

    def __init__(self, service: VolumeService, names: Sequence[str], *, cached: bool) -> None:
        super().__init__(media_type=JSON)
        self._service, self._names, self._cached = service, names, cached

    async def write_to(self, client: Client) -> None:
        """A line after another."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear_the_end, client, nursery.cancel_scope)
            await client.begin()
            if self._cached:
                await self._tell_kept(client)
            else:
                await self._tell_measured(self._service.usage.start(self._names or None), client)
            nursery.cancel_scope.cancel()

    async def _tell_kept(self, client: Client) -> None:
        if self._names:
            await self._tell([Found(name) for name in dict.fromkeys(self._names)], client)
        batch = self._service.store.volumes(limit=SENT_AT_ONCE) if not self._names else []
        while batch:
            await self._tell([Found(volume.name) for volume in batch], client)
            batch = self._service.store.volumes(after=batch[-1].name, limit=SENT_AT_ONCE)
        await _send([{"End": True}], client)

    async def _tell_measured(self, run: Run, client: Client) -> None:
        told = 0
        while (found := await run.more(told)) or not run.ended.is_set():
            await self._tell(found, client)
            told += len(found)
            now = run.progress()
            progress = {"Done": now.done, "Total": now.total, "Size": now.apparent, "Files": now.files}
            await _send([{"Progress": progress}], client)
        if run.whole:
            await _send([{"End": True}], client)

    async def _tell(self, found: Sequence[Found], client: Client) -> None:
        for begin in range(0, len(found), SENT_AT_ONCE):
            lines = [await self._line(one) for one in found[begin : begin + SENT_AT_ONCE]]
            await _send([line for line in lines if line is not None], client)

    async def _line(self, found: Found) -> dict[str, Any] | None:
        """None for a volume that went away while all were measured, which is not about it."""
        volume = self._service.store.get(found.name) if found.name else None
        if volume is None:
            return {"Name": found.name, "Error": f"get {found.name}: no such volume"} if self._names else None
        users = await self._service.users(volume.name)
        line = {
            "Name": volume.name,
            "Driver": volume.driver,
            "State": volume.state.value,
            "UsageData": usage_data(found.figure or self._service.usage.last(volume), users),
        }
        return {**line, "Warning": found.why} if found.why else line


async def _send(lines: Sequence[dict[str, Any]], client: Client) -> None:
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    if body:
        await client.send(body)
