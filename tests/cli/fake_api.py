"""A small HTTP server on a Unix socket that answers what a test tells it to and remembers what it was asked."""

import json
import os
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from urllib.parse import parse_qs, urlsplit

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Asked:
    method: str
    path: str
    query: dict
    body: object


@dataclass
class Api:
    """`answers` maps (method, path) to (status, value); a value of bytes is sent as it is."""

    socket: str
    answers: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    drop: int = 0  # that many connections are closed without an answer first


class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = False
    block_on_close = True
    api: Api


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self):
        api = self.server.api
        if api.drop:
            api.drop -= 1
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        api.asked.append(Asked(self.command, parts.path, parse_qs(parts.query), json.loads(body) if body else None))
        status, value = api.answers.get((self.command, parts.path), (404, {"message": "page not found"}))
        if callable(value):
            value = value()
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 (http.server looks for these names)

    def log_message(self, *_args):
        pass

    def address_string(self):
        return "unix"


def environment(**more):
    """This process's environment without what would steer volfs, with the repository's modules."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("VOLFS")}
    return kept | {"PYTHONPATH": str(REPOSITORY), **more}


def one(name, state="ready", **more):
    """A volume object as the API answers it."""
    return {
        "CreatedAt": "2026-11-24T03:39:46Z",
        "Driver": "local",
        "Labels": None,
        "Mountpoint": f"/var/lib/volfs/volumes/{name}/_data",
        "Name": name,
        "Options": None,
        "Scope": "local",
        "Status": {"State": state},
        "UsedBy": [],
        **more,
    }
