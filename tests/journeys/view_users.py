"""Four threads that use a view, and one that uses the API, until standard input closes; then what failed, as JSON.

    python view_users.py VIEW ROOT SOCKET

Every thread counts what it did. A write is right when the real directory has it. The API is asked again only where a
connection broke under way, which a killed daemon cannot help; a connection refused is a failure.
"""

import contextlib
import http.client
import json
import os
import random
import socket
import sys
import threading
import time


class Users:
    def __init__(self, view: str, root: str, api: str) -> None:
        self.view, self.root, self.api = view, root, api
        self.volumes = sorted(os.listdir(view))
        self.done: dict[str, int] = {}
        self.failures: list[str] = []
        self.longest = 0.0
        self.stopped = threading.Event()

    def ls(self, choose: random.Random) -> None:
        assert sorted(os.listdir(self.view)) == self.volumes
        assert sorted(os.listdir(f"{self.view}/{choose.choice(self.volumes)}")) == ["_data", "meta", "opts.json"]

    def stat(self, choose: random.Random) -> None:
        volume = choose.choice(self.volumes)
        for name in ("", "meta", "opts.json"):
            os.stat(f"{self.view}/{volume}/{name}")
        try:
            os.stat(f"{self.view}/no-{choose.random()}")
        except FileNotFoundError:
            return
        raise AssertionError("a volume that is none")

    def cat(self, choose: random.Random) -> None:
        volume = choose.choice(self.volumes)
        with open(f"{self.view}/{volume}/meta") as meta:
            assert json.load(meta)["Name"] == volume
        with open(f"{self.view}/{volume}/opts.json") as opts:
            assert opts.read() == "{}\n"

    def write(self, choose: random.Random) -> None:
        volume, text = choose.choice(self.volumes), str(choose.random())
        with open(f"{self.view}/{volume}/_data/file", "w") as file:
            for _ in range(3):
                file.write(text)
                file.flush()
                time.sleep(0.001)
        with open(f"{self.root}/volumes/{volume}/_data/file") as file:
            assert file.read() == text * 3

    def ask(self, choose: random.Random) -> None:
        volume = choose.choice(self.volumes)
        while True:
            connection = http.client.HTTPConnection("volfs")
            with contextlib.closing(connection), contextlib.closing(socket.socket(socket.AF_UNIX)) as connected:
                connected.connect(self.api)
                connection.sock = connected
                try:
                    connection.request("GET", f"/volumes/{volume}")
                    answer = connection.getresponse()
                    assert (answer.status, json.loads(answer.read())["Name"]) == (200, volume)
                except (
                    ConnectionResetError,
                    BrokenPipeError,
                    http.client.IncompleteRead,
                    http.client.RemoteDisconnected,
                ):
                    continue
            return

    def use(self, name: str, seed: int) -> None:
        choose, act = random.Random(seed), getattr(self, name)
        while not self.stopped.is_set():
            began = time.monotonic()
            try:
                act(choose)
            except Exception as failure:  # noqa: BLE001
                self.failures.append(f"{name}: {failure!r}")
            self.done[name] = self.done.get(name, 0) + 1
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.002)


def main() -> None:
    users = Users(*sys.argv[1:])
    names = ("ls", "stat", "cat", "write", "ask")
    threads = [threading.Thread(target=users.use, args=(name, seed)) for seed, name in enumerate(names)]
    for thread in threads:
        thread.start()
    print("at work", flush=True)
    sys.stdin.read()
    users.stopped.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"done": users.done, "failures": users.failures, "longest": users.longest}))


main()
