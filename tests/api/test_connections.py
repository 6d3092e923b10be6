"""HTTP/1.1 with one client: what it sends, in whatever pieces, and what it is answered."""

import contextlib
import itertools
import math

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from volfs.api import connections
from volfs.api.connections import Connections
from volfs.api.http import LONGEST_BODY, Answer, Stream, hear_the_end, json
from volfs.api.parsing import LONGEST_HEAD, Parsing

pytestmark = pytest.mark.anyio
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX: y\r\n\r\n"
)


class Counting(Stream):
    """Goes on until its client goes."""

    ended = 0

    async def write_to(self, client):
        try:
            await client.begin()
            await client.send(b"one\n")
            await client.send(b"")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hear_the_end, client, nursery.cancel_scope)
        finally:
            Counting.ended += 1


class Short(Stream):
    async def write_to(self, client):
        await client.begin()
        await client.send(b"one\n")
        await client.send(b"two\n")


async def face(request):
    """Says what it was asked."""
    match request.path:
        case "/stream":
            return Counting(media_type="text/plain")
        case "/short":
            return Short(media_type="text/plain")
        case "/nothing":
            return Answer(status=204)
        case "/large":
            return Answer(b"x" * 3_000_000)
        case "/fails":
            raise ValueError("a fault")
    return json([request.method, request.path, request.asked_all("q"), request.body.decode()])


@pytest.fixture
def anyio_backend():
    return "trio"


@pytest.fixture
async def connect():
    """Connects to a server; the socket of the client."""
    async with trio.open_nursery() as nursery:
        served = Connections(face)
        nursery.start_soon(served.look)

        async def make():
            ours, theirs = trio.socket.socketpair()
            nursery.start_soon(served.serve, trio.SocketStream(theirs))
            clients.append(ours)
            return ours

        make.served, clients = served, []
        yield make
        nursery.cancel_scope.cancel()
    for client in clients:
        client.close()


async def rest(client):
    """Everything until the server closes."""
    text = b""
    while part := await client.recv(1 << 16):
        text += part
    return text


async def said(connect, sent):
    client = await connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, client, sent)
        return await rest(client)


async def send(client, text):
    with contextlib.suppress(OSError):  # it may be refused before all of it is sent
        await trio.SocketStream(client).send_all(text)
        client.shutdown(trio.socket.SHUT_WR)


async def test_a_request_is_answered_and_the_next_one_too(connect):
    client = await connect()
    for _ in range(3):
        await client.send(GET % b"a%20b?q=1&q=%41")
        text = await client.recv(1 << 16)
        assert text.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ")
        assert b"\r\nDate: " in text
        assert text.endswith(b'\r\n\r\n["GET","/a b",["1","A"],""]\n')


async def test_requests_sent_at_once_are_answered_in_their_order(connect):
    text = await said(connect, GET % b"1" + POST + CHUNKED + GET % b"2")
    assert [line for line in text.split(b"\n") if line.startswith(b"[")] == [
        b'["GET","/1",[],""]',
        b'["POST","/body",[],"hello"]',
        b'["POST","/body",[],"hello"]',
        b'["GET","/2",[],""]',
    ]


@pytest.mark.parametrize(
    ("sent", "closes"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", True),
    ],
)
async def test_a_connection_is_kept_as_the_client_wants(connect, sent, closes):
    client = await connect()
    await client.send(sent)
    text = await client.recv(1 << 16)
    assert text.startswith(b"HTTP/1.1 200 ")
    assert (b"\r\nConnection: close\r\n" in text) == closes
    if closes:
        assert await rest(client) == b""


async def test_the_answer_to_head_has_no_body(connect):
    text = await said(connect, b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"2")
    head, _, follows = text.partition(b"\r\n\r\n")
    assert b"Content-Length: 20" in head
    assert follows.startswith(b"HTTP/1.1 200 OK")


async def test_no_content_has_no_length(connect):
    text = await said(connect, GET % b"nothing")
    assert text.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"Content-" not in text


async def test_a_large_answer_arrives_whole(connect):
    assert (await said(connect, GET % b"large")).endswith(b"\r\n\r\n" + b"x" * 3_000_000)


async def test_a_stream_is_chunked_and_the_connection_goes_on(connect):
    text = await said(connect, GET % b"short" + GET % b"2")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in text
    assert b"\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\nHTTP/1.1 200 OK" in text


async def test_a_stream_to_an_old_client_ends_with_the_connection(connect):
    text = await said(connect, b"GET /short HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert text.endswith(b"\r\n\r\none\ntwo\n")
    assert b"Connection: close" in text


async def test_a_stream_ends_with_its_client(connect):
    Counting.ended = 0
    client = await connect()
    await client.send(GET % b"stream")
    assert (await client.recv(1 << 16)).startswith(b"HTTP/1.1 200")
    client.close()
    while not Counting.ended:
        await trio.sleep(0.01)


async def test_what_is_sent_behind_a_stream_is_answered_after_it(connect):
    client = await connect()
    await client.send(GET % b"stream")
    await client.recv(1 << 16)
    await client.send(GET % b"2")
    await trio.testing.wait_all_tasks_blocked()
    client.shutdown(trio.socket.SHUT_WR)
    assert b"0\r\n\r\nHTTP/1.1 200 OK" in await rest(client)


async def test_a_client_that_asks_for_leave_gets_it_once(connect):
    client = await connect()
    await client.send(b"POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert await client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"x")
    await client.send(b"y")
    assert (await client.recv(1 << 16)).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "wrong",
    [
        b"\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2 * LONGEST_HEAD,
    ],
)
async def test_what_is_no_request_is_refused_after_those_before_it(connect, wrong):
    text = await said(connect, GET % b"1" + wrong)
    assert text.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n" in text
    assert b'{"message":"' in text


async def test_a_body_without_end_is_refused(connect, monkeypatch):
    monkeypatch.setattr("volfs.api.parsing.LONGEST_BODY", 100_000)
    text = await said(connect, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 150_000)
    assert text.startswith(b"HTTP/1.1 400 ")
    assert LONGEST_BODY > 100_000


async def test_a_websocket_is_refused(connect):
    text = await said(connect, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
    assert text.startswith(b"HTTP/1.1 403 Forbidden")


async def test_a_fault_ends_its_connection_and_no_other(connect, caplog):
    other = await connect()
    assert await said(connect, GET % b"fails") == b""
    assert "a connection broke" in caplog.text
    await other.send(GET % b"1")
    assert (await other.recv(1 << 16)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"])
async def test_who_sends_nothing_more_is_left(connect, monkeypatch, sent):
    for name in ("IDLE", "SLOW", "LOOK"):
        monkeypatch.setattr(connections, name, 0.05)
    client = await connect()
    if sent:
        await client.send(sent)
    assert await rest(client) == b""


async def test_at_the_end_who_is_being_answered_is_answered_and_the_others_are_left(connect):
    idle, busy = await connect(), await connect()
    await idle.send(GET % b"1")
    await idle.recv(1 << 16)
    await busy.send(GET % b"stream")
    await busy.recv(1 << 16)
    connect.served.end()
    assert await rest(idle) == b""
    busy.shutdown(trio.socket.SHUT_WR)
    assert (await rest(busy)).endswith(b"0\r\n\r\n")


async def test_who_sends_a_byte_at_a_time_is_answered_all_the_same(connect, monkeypatch):
    monkeypatch.setattr(connections, "PACE", 0.001)
    client = await connect()
    for byte in GET % b"slow":
        await client.send(bytes([byte]))
        await trio.testing.wait_all_tasks_blocked()
    assert (await client.recv(1 << 16)).endswith(b'["GET","/slow",[],""]\n')


def read(pieces):
    parsing = Parsing()
    for piece in pieces:
        parsing.feed(piece)
    return [(one.request.method, one.request.path, one.request.body, one.keep) for one in parsing.whole]


@given(cuts=st.lists(st.integers(0, 400)), sent=st.permutations([GET % b"1", POST, CHUNKED, GET % b"2"]))
def test_in_whatever_pieces_they_come_the_requests_are_the_same(cuts, sent):
    text = b"".join(sent)
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[begin:end] for begin, end in itertools.pairwise(places)]
    assert read(pieces) == read([text])
    assert len(read([text])) == 4


@given(st.binary(), st.integers(0, 100))
def test_any_bytes_are_requests_or_a_refusal(text, at):
    parsing = Parsing()
    parsing.feed((GET % b"1")[:at] + text)
    assert all(one.request.method for one in parsing.whole)
    assert math.isfinite(len(parsing.refused))
