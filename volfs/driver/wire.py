"""One HTTP request over one connection: to a Unix socket, over TCP, or over TLS.

Law: a whole answer or WireError; an answer is at most LARGEST bytes. Deadlines are the caller's.
"""

import errno
import ssl
from collections.abc import Sequence

import h11
import trio

from volfs.driver.address import Address, Tls

LARGEST = 64 << 20  # bytes of an answer; a list of 100,000 volumes is some 20 MB
FULL = 0.05  # seconds until the next try where a plugin has no room for one more to wait
_CHUNK = 1 << 16
_HEADERS = [("Host", "plugin.moby.localhost"), ("Accept", "application/vnd.docker.plugins.v1.2+json")]


class WireError(Exception):
    """No answer, or none that is HTTP; the text says why, for people."""


class NoConnection(WireError):
    """Nobody listens; nothing was sent."""


async def connect(address: Address) -> trio.abc.Stream:
    """An open connection; nothing was sent. Raises NoConnection."""
    try:
        if address.path:
            return await _unix(address.path)
        if address.tls is None:
            return await trio.open_tcp_stream(address.host, address.port)
        context = await trio.to_thread.run_sync(_context, address.tls, limiter=trio.CapacityLimiter(1))
        return await _encrypted(address.host, address.port, context)
    except (OSError, ssl.SSLError, trio.BrokenResourceError, ValueError) as error:
        raise NoConnection(f"{address}: {_why(error)}") from error


async def _unix(path: str) -> trio.abc.Stream:
    """Where as many wait as it lets wait, connect(2) says EAGAIN, and trio takes that for a connection."""
    while True:
        stream = await trio.open_unix_socket(path)
        try:
            stream.socket.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            await stream.aclose()
            await trio.sleep(FULL)
        else:
            return stream


async def _encrypted(host: str, port: int, context: ssl.SSLContext) -> trio.abc.Stream:
    stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context, https_compatible=True)
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def post(stream: trio.abc.Stream, path: str, body: bytes) -> tuple[int, bytes]:
    """Sends one POST and closes the connection: status and body of the answer. Raises WireError."""
    http = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="POST",
        target=f"/{path}",
        headers=[*_HEADERS, ("Content-Length", str(len(body))), ("Connection", "close")],
    )
    try:
        async with stream:
            await stream.send_all(_bytes(http, [request, h11.Data(body), h11.EndOfMessage()]))
            return await _answer(http, stream)
    except (OSError, trio.BrokenResourceError, h11.ProtocolError) as error:
        raise WireError(_why(error)) from error


async def _answer(http: h11.Connection, stream: trio.abc.Stream) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some(_CHUNK)))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LARGEST:
                raise WireError(f"its answer is longer than {LARGEST >> 20} MiB")
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)
        elif isinstance(event, h11.ConnectionClosed):
            raise WireError("it closed the connection")


def _bytes(http: h11.Connection, events: Sequence[h11.Event]) -> bytes:
    return b"".join(http.send(event) or b"" for event in events)


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.CAFile or None)
    if tls.InsecureSkipVerify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.CertFile:
        context.load_cert_chain(tls.CertFile, tls.KeyFile or None)
    return context


def _why(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) and error.__cause__ else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
