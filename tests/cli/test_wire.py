"""Answers as they come over a socket: whole, in pieces, cut off, or no HTTP at all."""

import socket
import threading
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.cli.wire import Response, Strange, ask

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\none\r\nA\r\n\ntwo\nthree\r\n0\r\nX: y\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\none\ntwo\nthree"
LOOSE = b"HTTP/1.0 200 OK\r\n\r\none\ntwo\nthree"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def answered(text):
    """A connection on which `text` comes, and then the end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(text)
        theirs.shutdown(socket.SHUT_WR)
        yield ours


def read(text):
    with answered(text) as connection:
        return Response(connection).read()


@pytest.mark.parametrize("text", [CHUNKED, LONG, LOOSE])
def test_lines_come_whole_however_they_are_sent(text):
    with answered(text) as connection:
        assert list(Response(connection).lines()) == [b"one\n", b"two\n", b"three"]


@pytest.mark.parametrize(("text", "content"), [(CHUNKED, b"one\ntwo\nthree"), (LONG, b"one\ntwo\nthree"), (EMPTY, b"")])
def test_an_answer_is_read_whole(text, content):
    assert read(text) == content


@pytest.mark.parametrize("text", [CHUNKED, LONG, EMPTY])
def test_wherever_an_answer_is_cut_off_it_is_told(text):
    for end in range(len(text)):
        with pytest.raises(ConnectionResetError):
            read(text[:end])


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n",
    ],
)
def test_what_is_no_http_is_strange(text):
    with pytest.raises(Strange):
        read(text)


@given(st.binary(max_size=200), st.integers(0, len(CHUNKED)))
def test_any_bytes_are_an_answer_or_one_of_two_errors(text, at):
    with suppress(ConnectionResetError, Strange):
        read(CHUNKED[:at] + text)


def test_a_line_comes_before_the_answer_is_over():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        lines = Response(ours).lines()
        assert next(lines) == b"one\n"
        threading.Timer(0.05, theirs.sendall, [b"3\r\ntwo\r\n0\r\n\r\n"]).start()
        assert list(lines) == [b"two"]


def test_a_request_says_what_it_holds():
    with answered(EMPTY) as connection:
        assert ask(connection, "POST", "/x?y=1", b"{}").status == 204
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(EMPTY)
        ask(ours, "POST", "/x?y=1", b"{}")
        assert theirs.recv(1000) == (
            b"POST /x?y=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
