"""A client that asks and does not read keeps nobody waiting."""

import socket as sockets
import time


def test_a_client_that_does_not_read_keeps_no_stop_waiting(host):
    host.create("big", Labels={"a": "x" * 8_000_000})
    with sockets.socket(sockets.AF_UNIX) as client:
        client.connect(str(host.socket))
        client.sendall(b"GET /volumes HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(10)
        began = time.monotonic()
        assert host.stop() == 0
        assert time.monotonic() - began < 15
        assert "kill" not in host.log().lower(), host.log()
