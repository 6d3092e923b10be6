"""`GET /events` in Docker's shape: one JSON object an event, what is kept first, then as it happens until `until`."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from volfs.api.http import JSON, Client, Stream, hear_the_end
from volfs.errors import Invalid
from volfs.volume.events import Event, Events

_TIMESTAMP = re.compile(r"(-?[0-9]{1,12})(?:\.([0-9]{1,9}))?")


@dataclass(frozen=True)
class Wanted:
    """Which events are asked for; times in nanoseconds since 1970. `since` None: nothing of what was."""

    since: int | None
    until: float
    filters: Mapping[str, Collection[str]]

    def match(self, event: Event) -> bool:
        """Docker's rules: all keys must match, each by any of its values; `volume` also by its beginning."""
        return all(_matches(key, values, event) for key, values in self.filters.items())


def parse_wanted(since: str, until: str, filters: str) -> Wanted:
    """Reads the query of a request; raises Invalid."""
    wanted = Wanted(
        _nanoseconds(since) if since else None, _nanoseconds(until) if until else math.inf, _filters(filters)
    )
    if wanted.since is not None and wanted.since > wanted.until:
        raise Invalid(f"`since` time ({since}) cannot be after `until` time ({until})")
    return wanted


def _nanoseconds(text: str) -> int:
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise Invalid(f'failed to parse value as time or duration: "{text}"')
    return int(match[1]) * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))


def _filters(text: str) -> dict[str, list[str]]:
    """Both of Docker's shapes: `{"event": {"create": true}}` and `{"event": ["create"]}`."""
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str]] | None) or {}
    except (msgspec.MsgspecError, RecursionError):
        raise Invalid("invalid filter") from None
    return {key: list(values) for key, values in found.items()}


def _matches(key: str, values: Collection[str], event: Event) -> bool:
    if not values:
        return True
    match key:
        case "type":
            return "volume" in values
        case "scope":
            return "local" in values
        case "event":
            return event.action in values
        case "volume":
            return any(event.volume.startswith(value) for value in values)
        case "label":
            return all(_labelled(event.attributes, value) for value in values)
        case _:
            return False  # of containers, images and so on, which nothing here is


def _labelled(attributes: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in attributes and (not equals or attributes[key] == value)


def shown_event(event: Event) -> dict[str, Any]:
    """The object that is sent."""
    return {
        "Type": "volume",
        "Action": event.action,
        "Actor": {"ID": event.volume, "Attributes": dict(event.attributes)},
        "scope": "local",
        "time": event.time // 1_000_000_000,
        "timeNano": event.time,
    }


class EventStream(Stream):
    """An answer that goes on until `until`, until the client goes, or until the daemon ends."""

    def __init__(self, events: Events, wanted: Wanted, now: int) -> None:
        super().__init__(media_type=JSON)
        self._events, self._wanted, self._now = events, wanted, now

    async def write_to(self, client: Client) -> None:
        """What was, and then what happens."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear_the_end, client, nursery.cancel_scope)
            with self._events.listen() as news:
                before = [] if self._wanted.since is None else self._events.kept(self._wanted.since, self._wanted.until)
                await client.begin()
                for event in before:
                    await self._tell(event, client)
                with trio.move_on_after(max(0.0, (self._wanted.until - self._now) / 1e9)):
                    async for event in news:
                        await self._tell(event, client)
            nursery.cancel_scope.cancel()

    async def _tell(self, event: Event, client: Client) -> None:
        if self._wanted.match(event):
            await client.send(msgspec.json.encode(shown_event(event)) + b"\n")
