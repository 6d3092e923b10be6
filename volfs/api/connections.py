"""HTTP/1.1 with clients, one request of each after another.

    nothing comes yet     IDLE seconds; the end of the daemon ends it at once
    a request comes       SLOW seconds from one piece to the next
    it is answered        as long as it takes; what the client sends meanwhile is answered in its order
    what comes is none    answered 400, and the connection ends

Law: whatever goes wrong in a connection ends that connection and nothing else. No timer runs for a connection: one task
looks at all of them now and then, and not while there are none.
"""

import logging
import math
import socket as sockets
from collections.abc import Awaitable, Callable

import trio

from volfs.api.http import Answer, Request, Stream, json
from volfs.api.parsing import Parsing, Whole

IDLE = 60.0
SLOW = 30.0
LOOK = 5.0  # seconds between two looks at the connections
FEW, SMALL, PACE = 8, 512, 0.1  # who sends a request in more pieces of so few bytes is read so seldom (seconds)
PARTING = 1.0  # seconds in which a client that was refused can read why
READ_AT_ONCE = 64 << 10
JOINED = 16 << 10  # bytes of a body that are sent in one piece with its head
CHUNKED = "Transfer-Encoding: chunked\r\n"

log = logging.getLogger(__name__)
Face = Callable[[Request], Awaitable[Answer]]


class Connection:
    """One client. It is the Client of the streams that are its answers."""

    def __init__(self, face: Face, socket: trio.socket.SocketType) -> None:
        self.ending = False
        self._face, self._socket = face, socket
        self._scope = trio.CancelScope()
        self._deadline = math.inf  # when whatever is waited for must have come
        self._parsing = Parsing()
        self._early = bytearray()  # what came while a stream was the answer
        self._chunks = True

    async def run(self) -> None:
        """Serves until either side closes."""
        try:
            with self._scope:
                await self._serve()
        except (OSError, trio.BrokenResourceError):
            pass  # the client has gone
        except Exception as error:  # noqa: BLE001 (anything: the law)
            log.warning("a connection broke", extra={"why": _reason(error)})
        finally:
            self._socket.close()

    def end(self) -> None:
        """The daemon ends: what is under way is answered first."""
        self.ending = True
        self.end_after(math.inf)

    def end_after(self, now: float) -> None:
        """Ends it where what it waits for has not come by then."""
        if self._deadline < now:
            self._scope.cancel()

    async def _serve(self) -> None:
        while (asked := await self._next()) is not None:
            keep = asked.keep and not self.ending and not self._parsing.ended
            answer = await self._answer_to(asked.request)
            if isinstance(answer, Stream):
                await self._go_on(answer, asked, keep=keep and asked.chunks)
            else:
                await self._write(answer, keep=keep, body=asked.request.method != "HEAD")
            if not keep:
                break
        if self._parsing.refused:
            await self._write(json({"message": self._parsing.refused}, 400), keep=False)
            await self._part()

    async def _answer_to(self, request: Request) -> Answer:
        if request.headers.get("upgrade", "").lower() == "websocket":
            return json({"message": "nothing here speaks WebSocket"}, 403)
        return await self._face(request)

    async def _next(self) -> Whole | None:
        """The next request that is whole; None where none comes any more, or what comes is none."""
        parsing, pieces = self._parsing, 0
        while not parsing.whole:
            if parsing.refused or parsing.ended:
                return None
            self._deadline = trio.current_time() + (SLOW if parsing.begun else IDLE)
            data = bytes(self._early) or await self._socket.recv(READ_AT_ONCE)
            self._early.clear()
            if not data:
                return None
            parsing.feed(data)
            pieces += len(data) < SMALL
            if pieces > FEW:
                await trio.sleep(PACE)
            if parsing.must_let():
                await self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._deadline = math.inf
        return parsing.whole.popleft()

    async def _write(self, answer: Answer, *, keep: bool, body: bool = True) -> None:
        head = answer.head(answer.framing, keep=keep)
        if not body:
            await self._send(head)
        elif len(answer.body) <= JOINED:
            await self._send(head + answer.body)
        else:
            await self._send(head)
            await self._send(answer.body)

    async def _go_on(self, stream: Stream, asked: Whole, *, keep: bool) -> None:
        self._chunks = asked.chunks
        self._head = stream.head(CHUNKED if self._chunks else "", keep=keep)
        await stream.write_to(self)
        if self._chunks:
            await self._send(b"0\r\n\r\n")

    async def begin(self) -> None:
        """Sends the head of a stream."""
        await self._send(self._head)

    async def send(self, body: bytes) -> None:
        """Sends a part of a stream."""
        if body:
            await self._send(b"%x\r\n%b\r\n" % (len(body), body) if self._chunks else body)

    async def gone(self) -> None:
        """Returns when the client has closed. What it sends before is kept, up to a bound: then nobody listens."""
        while len(self._early) < READ_AT_ONCE:
            try:
                data = await self._socket.recv(READ_AT_ONCE)
            except OSError:
                return
            if not data:
                return
            self._early += data
        await trio.sleep_forever()

    async def _send(self, data: bytes) -> None:
        sent = await self._socket.send(data)
        if sent < len(data):
            rest = memoryview(data)[sent:]
            while rest:
                rest = rest[await self._socket.send(rest) :]

    async def _part(self) -> None:
        """Reads what the client still sends: to close before would take away what it has not read yet."""
        self._socket.shutdown(sockets.SHUT_WR)
        with trio.move_on_after(PARTING):
            while await self._socket.recv(READ_AT_ONCE):
                pass


class Connections:
    """All connections of one listening socket. `run` is their task."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._open: set[Connection] = set()
        self._some = trio.Event()
        self._ending = False

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serves a client that was accepted."""
        connection = Connection(self._face, stream.socket)
        connection.ending = self._ending
        self._open.add(connection)
        self._some.set()
        try:
            await connection.run()
        finally:
            self._open.remove(connection)

    async def look(self) -> None:
        """Ends those that nothing comes from, until it is cancelled."""
        while True:
            await self._some.wait()
            await trio.sleep(LOOK)
            for one in self._open:
                one.end_after(trio.current_time())
            if not self._open:
                self._some = trio.Event()

    def end(self) -> None:
        """Takes leave of everybody who is not being answered."""
        self._ending = True
        for one in self._open:
            one.end()


def _reason(error: BaseException) -> str:
    """The first thing that went wrong, in a line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
