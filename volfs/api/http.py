"""What both faces for programs need of HTTP: a request's body, its client's end, and ASGI's lifespan."""

import trio
from starlette.requests import Request
from starlette.types import Receive, Send

from volfs.errors import Invalid

LONGEST_BODY = 64 << 20  # bytes; Docker takes labels of many megabytes


async def read_body(request: Request) -> bytes:
    """The whole body, chunked or not. Raises Invalid for one that is too long to be meant."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise Invalid(f"the body is longer than {LONGEST_BODY >> 20} MiB")
    return bytes(body)


async def hear_the_end(receive: Receive, scope: trio.CancelScope) -> None:
    """Cancels an answer that goes on when its client goes."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def live(receive: Receive, send: Send) -> None:
    """Answers the server's lifespan messages: there is nothing to begin and nothing to end."""
    while (message := await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    if message["type"] == "lifespan.shutdown":
        await send({"type": "lifespan.shutdown.complete"})


async def refuse(send: Send) -> None:
    """Answers 403 to a client that wants a WebSocket: nothing here speaks it."""
    await send({"type": "websocket.close"})
