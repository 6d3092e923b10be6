"""Bytes for the sockets, some for each seed: requests as clients send them, broken in one or several places.

Law: the same seed gives the same bytes. What comes back is judged by `talk`: an HTTP answer, or a connection that ends.
"""

import json
import random
import socket
from collections.abc import Sequence
from pathlib import Path

METHODS = (b"GET", b"POST", b"DELETE", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"PRI", b"get")
PATHS = (
    b"/_ping", b"/version", b"/info", b"/volumes", b"/v1.41/volumes", b"/volumes/create", b"/volumes/prune",
    b"/volumes/db", b"/volumes/", b"/system/df?type=volume", b"/events?until=1", b"/volfs/usage?name=db&cached=1",
    b"/volfs/containers/mounts", b"/volfs/publish", b"/volfs/hold?name=db&for=x", b"/volfs/containers/ab",
    b"/Plugin.Activate", b"/VolumeDriver.Create", b"/VolumeDriver.Remove", b"/VolumeDriver.Mount",
    b"/VolumeDriver.Unmount", b"/VolumeDriver.Path", b"/VolumeDriver.Get", b"/VolumeDriver.List",
    b"/VolumeDriver.Capabilities", b"*", b"/v9.9/volumes", b"http://x/volumes",
)  # fmt: skip
HEADERS = (
    b"Host: a", b"Content-Type: application/json", b"Content-Type: \xff", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip", b"Connection: close", b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABk", b"Expect: 100-continue", b"Content-Length: 1", b"Content-Length: -1",
    b"Content-Length: 99999999999999999999", b"X: " + b"y" * 3000, b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"\x00: \x00", b" folded", b"X:\xff\xfe",
)  # fmt: skip
FIELDS = ("Name", "name", "Driver", "DriverOpts", "Labels", "ID", "Opts", "ClusterVolumeSpec", "\ud800")
TEXTS = (
    "",
    "db",
    "local",
    "../x",
    "a\0b",
    "\ud800",
    "é" * 200,
    "x" * 300,
    "type",
    "device",
    "tmpfs",
    "o",
    "size",
    "1e9",
)


def value(chance: random.Random, depth: int = 0) -> object:
    """Any JSON value, rather one that makes sense."""
    kind = chance.randrange(9 if depth < 3 else 6)
    if kind < 3:
        return chance.choice(TEXTS)
    if kind == 3:
        return chance.choice((None, True, 0, -1, 1e308, 1 << 70))
    if kind < 8:
        return {chance.choice(FIELDS + TEXTS): value(chance, depth + 1) for _ in range(chance.randrange(4))}
    return [value(chance, depth + 1) for _ in range(chance.randrange(3))]


def body(chance: random.Random) -> bytes:
    """The body of a request."""
    match chance.randrange(6):
        case 0:
            return chance.randbytes(chance.randrange(40))
        case 1:
            return chance.choice((b'{"x":' + b"[" * 50_000, b"[" * 50_000, b'{"Name":"\\ud800"}', b'{"Name":"a"}{}'))
        case _:
            wanted = {name: value(chance, 1) for name in chance.sample(FIELDS, chance.randrange(1, 5))}
            return json.dumps(wanted).encode()


def request(chance: random.Random) -> bytes:
    """One request, whole or nearly."""
    path = chance.choice(PATHS)
    if chance.random() < 0.3:
        path += b"?" + chance.choice((b"filters=", b"force=", b"since=", b"name=", b"type="))
        path += b"%%%02x" % chance.randrange(256) * chance.randrange(4)
        path += chance.choice((b"", b'{"label":', b"{}", b"[" * 20_000))
    content = body(chance) if chance.random() < 0.6 else b""
    headers = [b"Host: a"] if chance.random() < 0.9 else []
    if content and chance.random() < 0.8:
        headers += [b"Content-Type: application/json", b"Content-Length: %d" % len(content)]
    elif content and chance.random() < 0.7:
        headers += [b"Content-Type: application/json", b"Transfer-Encoding: chunked"]
        content = chunked(chance, content)
    headers += chance.choices(HEADERS, k=chance.choice((0, 0, 1, 1, 2, 4)))
    version = chance.choice((b"HTTP/1.1",) * 8 + (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9"))
    method = chance.choice(METHODS[:3] * 4 + METHODS)
    return b"\r\n".join([b" ".join([method, path, version]), *headers, b"", content])


def chunked(chance: random.Random, content: bytes) -> bytes:
    """`content` in chunks, sometimes with an end or a length that is wrong."""
    parts = []
    while content:
        length = chance.randrange(1, len(content) + 1)
        parts.append(b"%x%s\r\n%b\r\n" % (length, chance.choice((b"", b"", b";x=y")), content[:length]))
        content = content[length:]
    end = chance.choice((b"0\r\n\r\n",) * 5 + (b"0\r\nX: y\r\n\r\n", b"", b"-1\r\n\r\n", b"zz\r\n", b"f" * 30))
    return b"".join(parts) + end


def attack(seed: int) -> bytes:
    """What one client sends: requests one behind the other, and accidents to their bytes."""
    chance = random.Random(seed)
    text = bytearray(b"".join(request(chance) for _ in range(chance.choice((1, 1, 1, 2, 5)))))
    for _ in range(chance.choice((0, 0, 0, 1, 1, 3, 10))):
        at = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                text[at] = chance.randrange(256)
            case 1:
                del text[at : at + chance.randrange(1, 20)]
            case 2:
                text[at:at] = chance.randbytes(chance.randrange(1, 20))
            case 3:
                text[at:at] = bytes(text[: chance.randrange(100)])
        if not text:
            return b"\n"
    return bytes(text)


def talk(path: Path, sent: bytes, *, patience: float = 20.0, pieces: Sequence[int] = ()) -> bytes:
    """Sends it, as one or in pieces, and closes that side; returns the answer. Raises TimeoutError where none ends."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(patience)
        client.connect(str(path))
        answer = b""
        try:
            for start, end in zip((0, *pieces), (*pieces, len(sent)), strict=True):
                client.sendall(sent[start:end])
            client.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            while received := client.recv(1 << 16):
                answer += received
        except ConnectionResetError:
            pass
        return answer


def is_answer(answer: bytes) -> bool:
    """Whether it is HTTP, or nothing at all."""
    return answer[:9] in (b"", b"HTTP/1.1 ")
