"""A client that asks and does not read keeps nobody waiting."""

import socket as sockets


def test_a_client_that_does_not_read_keeps_no_stop_waiting(served):
    served.create("big", Labels={"a": "x" * 8_000_000})
    with sockets.socket(sockets.AF_UNIX) as client:
        client.connect(str(served.socket))
        client.sendall(b"GET /volumes HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(10)
        assert served.stop() == 0
    assert "requests under way are cut off" in served.log()
    assert "killed" not in served.log(), "it ends by itself, before its keeper loses patience"
    assert served.mounts() == []
