"""Clients that break HTTP in every way: each gets an answer or an end, and nobody else notices."""

import concurrent.futures
import contextlib
import os
import socket
import threading
import time

import pytest

from tests.conftest import Served, until
from tests.torture.http_fuzz import attack, is_answer, talk

SEEDS = range(100)


@pytest.fixture
def plugged(serve, tmp_path):
    """A daemon with both kinds of sockets, which are added as `sockets`."""
    served = serve("--plugin-socket", str(tmp_path / "plugin.sock"))
    served.create("db")
    served.sockets = (served.socket, tmp_path / "plugin.sock")
    return served


def sockets_of(served: Served) -> int:
    """The sockets that the daemon has open."""
    there = f"/proc/{served.daemon}/fd"
    links = []
    for one in os.listdir(there):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"{there}/{one}"))
    return sum(link.startswith("socket:") for link in links)


def test_any_bytes_on_both_sockets_are_answered_or_refused_and_harm_nobody(plugged):
    daemon = plugged.daemon
    before, said = sockets_of(plugged), plugged.log()
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(talk, path, attack(seed)) for seed in SEEDS for path in plugged.sockets]
        for one in answers:
            assert is_answer(one.result())
    assert plugged.daemon == daemon
    new = plugged.log().removeprefix(said)
    assert "error" not in new, new
    assert "broke" not in new, new
    assert plugged.request("GET", "/volumes")[0] == 200
    until(lambda: sockets_of(plugged) <= before)


def test_a_client_that_breaks_the_protocol_while_it_is_answered_ends_only_its_connection(plugged):
    """The close and the answer meet."""
    daemon = plugged.daemon
    bad = (
        b"POST /volumes/create HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n{}"
        + b"\xff" * 18
        + b"\0\0 GARBAGE \r\n\r\n"
    )
    for sent in (bad, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n" + b"[" * 41):
        with concurrent.futures.ThreadPoolExecutor(16) as clients:
            for one in [clients.submit(talk, path, sent) for _ in range(60) for path in plugged.sockets]:
                assert is_answer(one.result())
    assert plugged.daemon == daemon


def test_clients_that_have_gone_leave_no_connection_behind(plugged):
    head = b" HTTP/1.1\r\nHost: a\r\n"
    begun = (
        b"GET /volumes" + head + b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /x" + head + b"Transfer-Encoding: chunked\r\n\r\n1\r\n}\r\n" + b"f" * 30,
        b"POST /volumes/create" + head + b"Content-Length: 100\r\n\r\n{",
        b"GET /events" + head + b"\r\n",
    )
    before = sockets_of(plugged)
    clients = []
    for sent in begun * 10:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(plugged.socket))
        client.sendall(sent)
        clients.append(client)
    assert plugged.request("GET", "/_ping")[0] == 200, "they were all accepted before"
    for client in clients:
        client.close()
    until(lambda: sockets_of(plugged) <= before)


def test_a_websocket_is_refused(plugged):
    asked = b"GET /volumes HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    asked += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    for path in plugged.sockets:
        assert talk(path, asked).startswith(b"HTTP/1.1 403 ")


def test_a_body_that_is_deep_or_no_text_is_the_clients_fault_wherever_one_is_read(plugged):
    engine, plugin = plugged.sockets
    asked = [(engine, f"/{one}") for one in ("volumes/create", "volfs/containers/mounts", "volfs/publish")]
    asked.append((plugin, "/VolumeDriver.Get"))
    for text in (b'{"x":' + b"[" * 100_000, b"[" * 100_000, b'{"Name":"\\ud800"}', b'{"Name":"\xff"}'):
        for path, target in asked:
            head = f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            answer = talk(path, f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text)
            assert b"its log says why" not in answer, (target, text[:20])
            assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 500"), answer
            assert b'"message":' in answer or b'"Err":' in answer


def test_clients_that_send_a_byte_at_a_time_keep_nobody_waiting(plugged):
    """Three hundred that never finish their request, and one that is answered as quickly as without them."""
    text = b"GET /volumes HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 60_000

    def latency():
        times = []
        for _ in range(60):
            began = time.monotonic()
            assert plugged.request("GET", "/volumes/db")[0] == 200
            times.append(time.monotonic() - began)
        return sorted(times)[len(times) // 2]

    before = latency()
    slow, ended = [], threading.Event()
    try:
        for _ in range(300):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(plugged.socket))
            slow.append(client)

        def drip():
            for position in range(len(text)):
                if ended.wait(0.01):
                    return
                for client in slow:
                    with contextlib.suppress(OSError):
                        client.sendall(text[position : position + 1])

        dripping = threading.Thread(target=drip)
        dripping.start()
        after = latency()
        ended.set()
        dripping.join()
    finally:
        ended.set()
        for client in slow:
            client.close()
    assert after < before * 30


def test_a_thousand_clients_at_once_are_all_answered(plugged):
    answers = []

    def ask(number):
        answers.append(
            talk(plugged.socket, b"GET /volumes/db HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", patience=60)
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 1000
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
