"""HTTP as values: what a client asks, and what it is answered. What bytes they are is `connections`' business.

Law: a face is a function from a Request to an Answer, which never raises. A Stream is an Answer that goes on: it writes
to its Client until it is done or the client has gone.
"""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import cached_property
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qsl, unquote

import msgspec
import trio

LONGEST_BODY = 64 << 20  # bytes; Docker takes labels of many megabytes
JSON = "application/json"
_REASONS = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n" for one in HTTPStatus}
_WITHOUT_BODY = (204, 304)


class Request:
    """A whole request. `headers` by their names in lower case; of several of one name, the last."""

    def __init__(self, method: str, target: bytes, headers: Mapping[str, str], body: bytes = b"") -> None:
        path, _, self._query = target.decode("latin-1").partition("?")
        self.method, self.headers, self.body = method, headers, body
        self.path = unquote(path) if "%" in path else path
        self.name = ""  # of the volume that the path is about, for whoever finds one in it

    @cached_property
    def _asked(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in parse_qsl(self._query, keep_blank_values=True, max_num_fields=None):
            found.setdefault(name, []).append(value)
        return found

    def asked(self, name: str) -> str:
        """The parameter of this name, "" where there is none; of several the last."""
        return self._asked.get(name, [""])[-1] if self._query else ""

    def asked_all(self, name: str) -> list[str]:
        """All parameters of this name."""
        return self._asked.get(name, [])


class Client(Protocol):
    """Who gets a stream. What is sent to one that has gone raises trio.BrokenResourceError."""

    async def begin(self) -> None:
        """Sends the head."""

    async def send(self, body: bytes) -> None:
        """Sends a part of the body."""

    async def gone(self) -> None:
        """Returns when the client has gone."""


class Answer:
    """A whole answer. `more` are lines of its head that a face gives to all of its answers."""

    def __init__(self, body: bytes = b"", status: int = 200, media_type: str = "", more: str = "") -> None:
        self.status, self.body, self.media_type, self.more = status, body, media_type, more

    def head(self, framing: str, *, keep: bool) -> bytes:
        """Everything before the body. `framing` says how long that is."""
        kind = f"Content-Type: {self.media_type}\r\n" if self.media_type else ""
        close = "" if keep else "Connection: close\r\n"
        return f"{_REASONS[self.status]}{kind}{framing}{self.more}{_date()}{close}\r\n".encode()

    @property
    def framing(self) -> str:
        """The line of the head that says how long the body is."""
        return "" if self.status in _WITHOUT_BODY else f"Content-Length: {len(self.body)}\r\n"


class Stream(Answer):
    """An answer that is written as it comes."""

    async def write_to(self, client: Client) -> None:
        """Writes all of it."""
        raise NotImplementedError


def json(value: object, status: int = 200, media_type: str = JSON) -> Answer:
    """An answer in JSON."""
    return Answer(msgspec.json.encode(value) + b"\n", status, media_type)


async def hear_the_end(client: Client, scope: trio.CancelScope) -> None:
    """Cancels an answer that goes on when its client goes."""
    await client.gone()
    scope.cancel()


def _date() -> str:
    global _dated
    second = int(time.time())
    if _dated[0] != second:
        _dated = second, f"Date: {formatdate(second, usegmt=True)}\r\n"
    return _dated[1]


_dated = (0, "")
