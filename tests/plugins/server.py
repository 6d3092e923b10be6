"""A volume plugin for tests, a program of its own: `server.py DIRECTORY unix:PATH | tcp:PORT [CERTIFICATE KEY]`.

It keeps its volumes and their users in DIRECTORY/state.json over restarts, writes every call to DIRECTORY/calls, and
does what DIRECTORY/behaviour says, a JSON object of method -> one of

    "hang"        never answers            "garbage"   answers what is no JSON       "status"    answers 500 without Err
    "err: TEXT"   answers this Err         "close"     closes the connection         "null"      Volume is null
    "forget"      List and Get know of no volume, as if it had none
    "raw: JSON"   answers this                   "do: JSON"    does it, but answers this
    "drop"        does it, but closes the connection instead of an answer
"""

import json
import os
import shutil
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, ThreadingTCPServer, UnixStreamServer

directory = Path(sys.argv[1])
lock = threading.Lock()


def load(name, default):
    try:
        return json.loads((directory / name).read_text())
    except (FileNotFoundError, ValueError):
        return default


def data_of(name):
    return directory / "data" / name.encode().hex()


class Volumes:
    """The calls; each takes the request and returns the answer."""

    def __init__(self):
        self.volumes = load("state.json", {})

    def save(self):
        temporary = directory / "state.new"
        temporary.write_text(json.dumps(self.volumes))
        temporary.rename(directory / "state.json")

    def shown(self, name):
        one = self.volumes[name]
        mountpoint = str(data_of(name)) if one["users"] else ""
        return {"Name": name, "Mountpoint": mountpoint, "CreatedAt": one["created"], "Status": {"backend": "test"}}

    def known(self, call):
        if call["Name"] not in self.volumes:
            raise KeyError(f"volume {call['Name']} is not here")
        return self.volumes[call["Name"]]

    def activate(self, call):
        return {"Implements": ["VolumeDriver"]}

    def create(self, call):
        data_of(call["Name"]).mkdir(parents=True, exist_ok=True)
        self.volumes.setdefault(call["Name"], {"opts": call["Opts"], "users": [], "created": "2026-01-02T03:04:05Z"})
        return {}

    def remove(self, call):
        if self.known(call)["users"]:
            raise KeyError(f"volume {call['Name']} is still mounted")
        del self.volumes[call["Name"]]
        shutil.rmtree(data_of(call["Name"]), ignore_errors=True)
        return {}

    def mount(self, call):
        users = self.known(call)["users"]
        if call["ID"] not in users:
            users.append(call["ID"])
        return {"Mountpoint": str(data_of(call["Name"]))}

    def unmount(self, call):
        users = self.known(call)["users"]
        if call["ID"] not in users:
            raise KeyError(f"{call['ID']} is no user of {call['Name']}")
        users.remove(call["ID"])
        return {}

    def path(self, call):
        return {"Mountpoint": self.shown(call["Name"])["Mountpoint"]}

    def get(self, call):
        self.known(call)
        return {"Volume": self.shown(call["Name"])}

    def list(self, call):
        return {"Volumes": [self.shown(name) for name in self.volumes]}

    def capabilities(self, call):
        return {"Capabilities": {"Scope": load("scope", "local")}}


class Handler(BaseHTTPRequestHandler):
    volumes = Volumes()

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        call = json.loads(text) if text.strip() else {}
        method = self.path.rpartition(".")[2]
        behaviour = load("behaviour", {}).get(method, "")
        with lock, open(directory / "calls", "a") as calls:
            calls.write(json.dumps([method, call]) + "\n")
        if behaviour == "hang":
            while load("behaviour", {}).get(method) == "hang":
                time.sleep(0.02)
            return
        if behaviour == "close":
            return
        if behaviour == "drop":
            self.decide(method, call, "")
            return
        self.answer(*self.decide(method, call, behaviour))

    def decide(self, method, call, behaviour):
        if behaviour == "garbage":
            return 200, b"<html>"
        if behaviour == "status":
            return 500, b"{}"
        if behaviour == "null":
            return 200, b'{"Volume": null}'
        if behaviour == "forget":
            return 200, b'{"Volumes": []}' if method == "List" else b'{"Volume": null}'
        if behaviour.startswith("raw: "):
            return 200, behaviour.removeprefix("raw: ").encode()
        if behaviour.startswith("err: "):
            return 500, json.dumps({"Err": behaviour.removeprefix("err: ")}).encode()
        try:
            with lock:
                answer = getattr(self.volumes, method.lower())(call)
                self.volumes.save()
            if behaviour.startswith("do: "):
                return 200, behaviour.removeprefix("do: ").encode()
            return 200, json.dumps(answer).encode()
        except KeyError as error:
            return 500, json.dumps({"Err": error.args[0]}).encode()

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def address_string(self):
        return "client"

    def log_message(self, *args):
        pass


class UnixServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    kind, _, place = sys.argv[2].partition(":")
    if kind == "unix":
        if os.path.exists(place):
            os.unlink(place)
        server = UnixServer(place, Handler)
    else:
        ThreadingTCPServer.daemon_threads = ThreadingTCPServer.allow_reuse_address = True
        server = ThreadingTCPServer(("127.0.0.1", int(place)), Handler)
        if len(sys.argv) > 3:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[3], sys.argv[4])
            server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1] if kind == "tcp" else place, flush=True)
    server.serve_forever()


main()
