"""HTTP/1.1 as a client of one request speaks it: the request out, the answer in, on a socket that is connected.

Law: an answer that is cut off anywhere is a ConnectionResetError, one that is no HTTP is Strange. http.client does the
same, and importing it takes half as long as a whole `volfs ls`.
"""

import socket
from collections.abc import Iterator

LONGEST_LINE = 64 << 10  # bytes
MOST_HEADERS = 100


class Strange(Exception):
    """What answers does not speak HTTP."""


class Response:
    """An answer whose head is there. `status` is HTTP's."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")
        self.status = self._status()
        self._headers = dict(self._header_lines())
        self._chunked = self._headers.get("transfer-encoding", "").lower() == "chunked"

    def read(self) -> bytes:
        """All of it. An answer that does not say how long it is was cut off in its head."""
        if self._length() is None and not self._chunked:
            raise ConnectionResetError
        return b"".join(self._parts())

    def lines(self) -> Iterator[bytes]:
        """A line after another, each as it comes."""
        rest = b""
        for part in self._parts():
            *whole, rest = (rest + part).split(b"\n")
            yield from (line + b"\n" for line in whole)
        if rest:
            yield rest

    def _status(self) -> int:
        line = self._file.readline(LONGEST_LINE)
        if not line.startswith(b"HTTP/1."):
            raise ConnectionResetError if b"HTTP/1.1 ".startswith(line[:9]) else Strange
        words = line.split(None, 2)
        if not line.endswith(b"\n"):
            raise ConnectionResetError
        if len(words) < 2 or not words[1].isdigit():
            raise Strange
        return int(words[1])

    def _header_lines(self) -> Iterator[tuple[str, str]]:
        for _ in range(MOST_HEADERS):
            line = self._line()
            if line in (b"\r\n", b"\n"):
                return
            name, _, value = line.decode("latin-1").partition(":")
            yield name.strip().lower(), value.strip()
        raise Strange

    def _length(self) -> int | None:
        if self.status == 204:
            return 0
        text = self._headers.get("content-length", "")
        return int(text) if text.isdigit() else None

    def _parts(self) -> Iterator[bytes]:
        if self._chunked:
            yield from self._chunks()
        elif (length := self._length()) is not None:
            yield self._exactly(length)
        else:
            while part := self._file.read1(LONGEST_LINE):
                yield part

    def _chunks(self) -> Iterator[bytes]:
        while length := self._chunk_length():
            yield self._exactly(length + 2)[:-2]
        while self._line() not in (b"\r\n", b"\n"):
            pass

    def _chunk_length(self) -> int:
        digits = self._line().partition(b";")[0].strip()
        if not digits.isalnum() or len(digits) > 16:  # `int` takes signs and underscores as well
            raise Strange
        try:
            return int(digits, 16)
        except ValueError:
            raise Strange from None

    def _exactly(self, length: int) -> bytes:
        content = self._file.read(length)
        if len(content) < length:
            raise ConnectionResetError
        return content

    def _line(self) -> bytes:
        line = self._file.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise Strange if len(line) == LONGEST_LINE else ConnectionResetError
        return line


def ask(connection: socket.socket, method: str, target: str, content: bytes | None = None) -> Response:
    """Sends a request, with JSON where there is content; returns when the head of the answer is there."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    if content is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    elif method == "POST":
        lines.append("Content-Length: 0")
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + (content or b""))
    return Response(connection)
