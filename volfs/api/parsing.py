"""Bytes of a client become requests: httptools reads them, and this keeps them within bounds.

Law: any bytes become requests, or a refusal in one line, after which nothing more is read. What is held of a client is
at most a body of LONGEST_BODY, a head of LONGEST_HEAD and what came in one piece. Pure.
"""

from collections import deque
from typing import NamedTuple

import httptools

from volfs.api.http import LONGEST_BODY, Request

LONGEST_HEAD = 128 << 10  # bytes; filters and names of volumes are in it


class Whole(NamedTuple):
    """A request, and whether its client wants the connection kept; `chunks`: it knows bodies whose end is told last."""

    request: Request
    keep: bool
    chunks: bool


class Parsing:
    """What one client sends. `begun`: a request is under way; `ended`: the client wants no HTTP after the last one."""

    def __init__(self) -> None:
        self.whole: deque[Whole] = deque()
        self.refused = ""
        self.begun = self.ended = False
        self._parser = httptools.HttpRequestParser(self)
        self._clear()

    def _clear(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._length = self._idle = 0
        self._has_head = self._was_let = False

    def feed(self, data: bytes) -> None:
        """Reads more."""
        self._idle += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.ended = True
        except httptools.HttpParserError as error:
            self.refused = f"this is no HTTP: {error}"
        if self._idle > LONGEST_HEAD + len(data):
            self.refused = "the head of the request is too long"

    def must_let(self) -> bool:
        """Whether the client waits to be told that it may send its body; true once."""
        if not self._has_head or self._was_let or "expect" not in self._headers:
            return False
        self._was_let = True
        return self._headers["expect"].lower() == "100-continue" and not self._length

    # httptools calls these.

    def on_message_begin(self) -> None:
        self._clear()
        self.begun = True

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # what comes after the body tells nobody anything
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._has_head = True
        if "host" not in self._headers and self._parser.get_http_version() == "1.1":
            self.refused = "the request names no Host"

    def on_body(self, part: bytes) -> None:
        self._idle = 0
        self._length += len(part)
        if self._length > LONGEST_BODY:
            self.refused = f"the body is longer than {LONGEST_BODY >> 20} MiB"
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        self.begun = False
        self._idle = 0
        if not self.refused:
            request = Request(self._parser.get_method().decode(), self._target, self._headers, b"".join(self._body))
            modern = self._parser.get_http_version() == "1.1"
            self.whole.append(Whole(request, self._parser.should_keep_alive(), modern))
        self._body, self._headers = [], {}
