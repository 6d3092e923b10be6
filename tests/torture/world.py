"""A tortured volfs with everything that is known about it: what it was told, and whether all that can be seen agrees.

Law: what was answered is there, whole; what was not is there whole or not at all. The catalogue, the directories, the
notes, the view, the plugin and the kernel's mount table say the same; no work is left over, restore has nothing to do.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.conftest import Served
from tests.plugins.conftest import TestPlugin
from volfs.driver.local import LocalDriver
from volfs.driver.options import to_text
from volfs.mount.mountinfo import under
from volfs.mount.syscalls import read_mountinfo
from volfs.volume import recovery
from volfs.volume.store import Store

LOST = (ConnectionError, HTTPException)  # the daemon went before it had answered all of it: ask again
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
OUR_FILES = {"metadata.mdb", "metadata.mdb-lock"}
PATIENCE = 20.0  # seconds until everything must agree


class Broken(AssertionError):
    """A promise that was not kept."""


@dataclass(frozen=True)
class Want:
    """A volume as somebody asked for it; `users` are Mount IDs, `text` is what is in its file, None for none."""

    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None
    driver: str = "local"
    users: frozenset[str] = field(default_factory=frozenset)
    text: str | None = None
    state: str = "ok"

    def request(self, name: str) -> dict[str, Any]:
        """The body that asks for it."""
        return {"Name": name, "Driver": self.driver, "DriverOpts": self.options, "Labels": self.labels}


class World:
    """A daemon with a plugin beside it, in a directory of their own."""

    def __init__(self, directory: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.directory = directory
        (directory / "plugins").mkdir(parents=True)
        self.plugin = TestPlugin(directory / "of-fake", f"unix:{directory}/plugins/fake.sock")
        self.plugin_socket = directory / "plugin.sock"
        options = ["--plugin-path", str(directory / "plugins"), "--plugin-socket", str(self.plugin_socket), *arguments]
        self.served = Served.__new__(Served)
        try:
            self.served.__init__(directory, *options, environment=environment)  # type: ignore[misc]
        except BaseException:
            self.close()
            raise
        self.volumes = self.served.root / "volumes"

    def close(self) -> None:
        """Ends everything and takes every mount away."""
        self.served.clean_up()
        for mount in reversed(under(read_mountinfo(), str(self.directory))):
            recovery.detach(mount.mountpoint)
        self.plugin.stop()

    # Asking

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request of the Engine API; raises one of LOST where it was not answered."""
        return self.served.request(method, path, body)

    def plug(self, call: str, **body: object) -> tuple[int, Any]:
        """One call of the plugin protocol."""
        through = Served.__new__(Served)
        through.socket = self.plugin_socket
        return through.request("POST", f"/VolumeDriver.{call}", body)

    def make(self, name: str, want: Want) -> None:
        """Brings a volume about as it is wanted, whatever is there now; nothing is killed meanwhile."""
        self.gone(name)
        self.served.create(name, **{key: value for key, value in want.request(name).items() if key != "Name"})
        if want.text is not None:
            self._data(name, want).joinpath("file").write_text(want.text)
        for user in want.users:
            assert self.plug("Mount", Name=name, ID=user)[0] == 200

    def _data(self, name: str, want: Want) -> Path:
        if want.driver == "local" and not want.options:
            return self.volumes / name / "_data"
        if want.driver == "local":  # the mount has to be there to be written to
            return self.served.view / name / "_data"
        return self.plugin.data(name)

    def gone(self, name: str) -> None:
        """Sees to it that there is no such volume."""
        for user in self.users(name):
            self.plug("Unmount", Name=name, ID=user)
        status, answer = self.ask("DELETE", f"/volumes/{name}?force=1")
        assert status == 204, answer

    def users(self, name: str) -> list[str]:
        """The Mount IDs that volfs has on record."""
        status, answer = self.ask("GET", f"/volumes/{name}")
        return [one["Id"] for one in answer["UsedBy"] if one["Kind"] == "plugin"] if status == 200 else []

    # Judging

    def found(self, name: str) -> Want | None:
        """The volume as it is now; its parts must agree. None: there is none."""
        status, answer = self.ask("GET", f"/volumes/{name}")
        if status == 404:
            return None
        users = frozenset(one["Id"] for one in answer["UsedBy"] if one["Kind"] == "plugin")
        want = Want(answer["Labels"], answer["Options"], answer["Driver"], users, state=answer["Status"]["State"])
        shown = json.loads((self.served.view / name / "meta").read_text())
        for one in ("Labels", "Options", "Driver", "CreatedAt"):
            if shown[one] != answer[one]:
                raise Broken(f"the view says of {name} {one}={shown[one]}, the API {answer[one]}")
        if want.driver == "local":
            self._check_files(name, want)
            expected = to_text(want.options).decode() if want.options else "{}"
            if (text := (self.served.view / name / "opts.json").read_text()).strip() != expected:
                raise Broken(f"the view's opts.json of {name} is {text}")
        with contextlib.suppress(FileNotFoundError):
            return replace(want, text=self._text(name, want))
        return want

    def _text(self, name: str, want: Want) -> str | None:
        if want.driver == "local" and want.options:
            return None  # a tmpfs lives as long as its users
        return (self._data(name, want) / "file").read_text()

    def _check_files(self, name: str, want: Want) -> None:
        directory = self.volumes / name
        meta = json.loads((directory / "meta.json").read_text())
        if (meta["Labels"], meta["Options"]) != (want.labels, want.options):
            raise Broken(f"meta.json of {name} says {meta}, the API {want}")
        opts = (directory / "opts.json").read_bytes() if (directory / "opts.json").exists() else None
        if opts != (to_text(want.options) if want.options else None):
            raise Broken(f"opts.json of {name} is {opts!r}")
        if sorted({*os.listdir(directory), "opts.json"}) != ["_data", "meta.json", "opts.json"]:
            raise Broken(f"in {name} lies {os.listdir(directory)}")

    def check(self) -> None:
        """Everything agrees; what is done in the background gets its time. Raises Broken."""
        deadline = time.monotonic() + PATIENCE
        while wrong := next(self._wrong(), ""):
            if time.monotonic() > deadline:
                raise Broken(wrong)
            time.sleep(0.02)

    def _wrong(self) -> Iterator[str]:
        """What does not agree."""
        listed = {one["Name"]: one for one in self.ask("GET", "/volumes")[1]["Volumes"]}
        if (shown := sorted(os.listdir(self.served.view))) != sorted(listed):
            yield f"the view shows {shown}, the API {sorted(listed)}"
        local = {name for name, one in listed.items() if one["Driver"] == "local"}
        if (there := set(os.listdir(self.volumes))) != local | OUR_FILES:
            yield f"in ROOT/volumes lie {there}, volumes are {local}"
        notes = self.served.root / "plugin-volumes"
        if any(one.startswith(".") for one in (os.listdir(notes) if notes.exists() else [])):
            yield f"a note is left half written: {os.listdir(notes)}"
        yield from self._wrong_mounts(listed, local)
        yield from self._wrong_users(listed, local)
        if plan := self.plan():
            yield f"restore has something to do: {plan}"

    def _wrong_mounts(self, listed: dict[str, Any], local: set[str]) -> Iterator[str]:
        kinds = {name: {user["Kind"] for user in one["UsedBy"]} for name, one in listed.items()}
        expected = [str(self.served.view)]
        expected += [f"{self.served.view}/{name}/_data" for name in listed if "view" in kinds[name]]
        expected += [f"{self.volumes}/{name}/_data" for name in local if listed[name]["Options"] and kinds[name]]
        if (mounts := sorted(self.served.mounts())) != sorted(expected):
            yield f"mounted is {mounts}, expected {sorted(expected)}"
        for name in local:
            if listed[name]["Options"] and "view" in kinds[name]:
                pair = [self._identity(f"{where}/{name}/_data") for where in (self.served.view, self.volumes)]
                if pair[0] != pair[1]:
                    yield f"the view shows another file system in {name} than the one that is mounted"

    def _identity(self, path: str) -> tuple[int, int]:
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(path)
            return status.st_dev, status.st_ino
        return 0, 0

    def _wrong_users(self, listed: dict[str, Any], local: set[str]) -> Iterator[str]:
        for name in set(listed) - local:
            users = {one["Id"] for one in listed[name]["UsedBy"]}
            told = self.plugin.users(name) if name in self.plugin.volumes else users
            if (theirs := {"view" if one.startswith("volfs-view-") else one for one in told}) != users:
                yield f"the plugin thinks that {theirs} use {name}, volfs {users}"

    def plan(self) -> str:
        """What a restore would do now; "" where it would do nothing."""
        store = Store(self.volumes / recovery.CATALOGUE)
        try:
            driver = LocalDriver(self.served.root)
            plan = recovery._plan(store, driver.scan(), driver, str(self.served.view))
            return "" if plan.empty else str(plan)
        finally:
            store.close()
