"""Restores and adoptions cut off at each of their steps, of roots with every kind of trouble in them.

Law: the next one, which nobody cuts off, ends where one ends that never was; after it a restore has nothing to do.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from tests.adopt.conftest import DockerRoot
from tests.conftest import PROJECT
from tests.torture.kills import WRITES
from tests.torture.steps import How, Steps
from tests.torture.world import TMPFS, Broken
from volfs.adopt.mark import standing
from volfs.driver.local import Description, LocalDriver
from volfs.driver.notes import Notes
from volfs.driver.options import to_text
from volfs.mount import syscalls
from volfs.mount.mountinfo import under
from volfs.settings import Settings
from volfs.volume import recovery
from volfs.volume.changes import AddReference, Put
from volfs.volume.observe import described
from volfs.volume.restore import removing_serial
from volfs.volume.store import Store
from volfs.volume.volume import Kind, Reference, State

ELSEWHERE = "00000000-0000-4000-8000-000000000000"  # another boot
OURS = ("metadata.mdb", "metadata.adopted", "meta.json", "volfs.lock", ".")  # what volfs writes into a Docker root


def ways_of(names: list[str]) -> Iterator[tuple[int, How]]:
    """Every way to cut off what has these steps."""
    for number, step in enumerate(names, 1):
        for how in (How.BEFORE, How.AFTER, *([How.TORN] if step in WRITES else [])):
            yield number, how


class Trouble(Protocol):
    """A root as somebody left it, and who is to bring it in order; `mounted` is the volume that a mount was left in."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def mounted(self) -> str:
        """A volume with options."""

    def make(self, root: Path) -> None:
        """Makes the root."""

    def command(self, root: Path, view: Path) -> list[str]:
        """Brings the root in order, and ends."""


def _daemon(root: Path, view: Path, *, adopt: bool = False) -> list[str]:
    settings = Settings(
        str(root), str(view), "/nowhere", (), 0o750, 0, "bind", 300.0, "text", plugin_path=(), adopt=adopt
    )
    return [sys.executable, "-P", "-m", "volfs.daemon", settings.to_json()]


@dataclass(frozen=True)
class Crashed:
    """As a crash, a move and an administrator leave a root; `lost`: its catalogue is garbage."""

    lost: bool
    mounted: str = "mounted"

    @property
    def name(self) -> str:
        """For people."""
        return "restore after a lost catalogue" if self.lost else "restore"

    def command(self, root: Path, view: Path) -> list[str]:
        """A daemon that serves nobody."""
        return _daemon(root, view)

    def make(self, root: Path) -> None:
        """Makes it."""
        driver = LocalDriver(root)
        driver.prepare()
        store = Store(driver.volumes / recovery.CATALOGUE)
        names = ("kept", "mounted", "lost", "cut", "returned", "copied")
        options = {"mounted": TMPFS}
        for name in names:
            description = Description(1_700_000_000, labels={"of": name}, options=options.get(name))
            driver.create(name, description)
            if name != "copied":
                store.commit([Put(described(name, description))])
        cut, returned = store.get("cut"), store.get("returned")
        assert cut is not None and returned is not None
        store.commit([Put(recovery.msgspec.structs.replace(returned, state=State.MISSING))])
        old = Reference("old", Kind.PLUGIN, ELSEWHERE, 1)
        store.commit([AddReference("kept", old), AddReference("cut", old)])
        store.commit([AddReference("kept", Reference("new", Kind.PLUGIN, recovery.boot_id(), 1))])
        store.close()
        shutil.rmtree(driver.volumes / "lost")
        driver.remove("cut", cut.serial)
        for work in (".creating-x", ".removing-99"):
            (driver.volumes / work / "_data" / "deep").mkdir(parents=True)
        Notes(root).write("far", Description(1_700_000_000, "fake", {"of": "far"}))
        (root / "plugin-volumes" / ".new-x").write_text("{")
        if self.lost:
            (driver.volumes / recovery.CATALOGUE).write_bytes(b"garbage!" * 20_000)


@dataclass(frozen=True)
class OfDocker:
    """As a Docker that stopped leaves a root. `serving`: adopted by a daemon that starts, else by `volfs adopt`."""

    serving: bool
    mounted: str = "scratch"

    @property
    def name(self) -> str:
        """For people."""
        return "adopt at a start" if self.serving else "adopt"

    def command(self, root: Path, view: Path) -> list[str]:
        """What adopts it."""
        if self.serving:
            return _daemon(root, view, adopt=True)
        return [sys.executable, "-P", "-m", "volfs", "adopt", str(root)]

    def make(self, root: Path) -> None:
        """Makes it."""
        docker = DockerRoot(root)
        docker.volume("db", labels={"team": "web"})
        docker.volume("scratch", to_text(TMPFS).decode(), options=TMPFS)
        docker.volume("own", labels={"team": "theirs"})
        docker.volume("bad", options=TMPFS)  # Docker had not written its opts.json yet
        docker.directory("unknown")
        docker.entry("gone", labels={"team": "lost"})
        docker.entry("far", driver="fake", labels={"a": "1"}, options={"b": "2"})
        docker.container("c1" * 32, ("db", "/data"), ("far", "/far", "fake"), ("gone", "/gone"))
        (docker.volumes / "db" / "_data" / "file").write_text("kept")
        (docker.volumes / "own" / "meta.json").write_text(
            '{"Driver":"local","CreatedAt":"2020-01-01T00:00:00Z","Labels":{"mine":"1"}}'
        )


class Restores:
    """One kind of trouble, brought in order again and again."""

    def __init__(self, directory: Path, trouble: Trouble) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.steps = Steps(directory)
        self.cuts = 0
        self._trouble = trouble
        self._original, self._root, self._view = (directory / one for one in ("trouble", "root", "view"))
        self._trouble.make(self._original)
        self.steps.arm(-1)
        self._prepare()
        assert self._restore(self.steps.environment) == 0
        self.steps.disarm()
        self.names = self.steps.names()
        self._right = self._seen()

    def close(self) -> None:
        """Takes every mount away."""
        for mount in reversed(under(syscalls.read_mountinfo(), str(self._root))):
            syscalls.detach(mount.mountpoint)

    def ways(self) -> Iterator[tuple[int, How]]:
        """Every way to cut one off."""
        return ways_of(self.names)

    def cut(self, at: int, how: How) -> None:
        """Cuts one off, and has the next one finish. Raises Broken."""
        self._prepare()
        self.steps.arm(-1, at, how)
        ended = self._restore(self.steps.environment)
        self.steps.disarm()
        self.cuts += self.steps.struck
        where = f"{self._trouble.name}, {how.name.lower()} at step {at}, {self.names[at - 1]}"
        if self.steps.struck != (ended != 0):
            raise Broken(f"{where}: it ended with {ended}")
        if code := self._restore({}):
            raise Broken(f"{where}: the next one ended with {code}")
        if (seen := self._seen()) != self._right:
            wrong = {key: (value, self._right[key]) for key, value in seen.items() if value != self._right[key]}
            raise Broken(f"{where}: (there is, right is): {wrong}")

    def _prepare(self) -> None:
        self.close()
        shutil.rmtree(self._root, ignore_errors=True)
        subprocess.run(["cp", "-a", self._original, self._root], check=True)
        data = self._root / "volumes" / self._trouble.mounted / "_data"
        syscalls.mount("none", str(data), "tmpfs")

    def _restore(self, environment: dict[str, str]) -> int:
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), **environment}
        command = self._trouble.command(self._root, self._view)
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    def _seen(self) -> dict[str, Any]:
        """All that matters afterwards; and restore has nothing more to do."""
        driver = LocalDriver(self._root)
        store = Store(driver.volumes / recovery.CATALOGUE)
        try:
            plan = recovery._plan(store, driver.scan(), driver, str(self._view))
            plan.sweep = [work for work in plan.sweep if not removing_serial(work)]
            # A new one, torn while it was begun, is moved aside as well.
            had_one = (self._original / "volumes" / recovery.CATALOGUE).exists()
            aside = had_one and any(driver.volumes.glob("*.damaged-*"))
            there = {one for one in os.listdir(driver.volumes) if ".damaged-" not in one}
            volumes = [(one.name, one.driver, one.labels, one.options, one.state) for one in store.volumes()]
            users = [(name, one.id, one.kind) for name, one in store.all_references()]
            mounts = [one.mountpoint for one in under(syscalls.read_mountinfo(), str(self._root))]
        finally:
            store.close()
        notes = self._root / "plugin-volumes"
        return {
            "plan": "" if plan.empty else str(plan),
            "moved aside": aside,
            "there": sorted(there),
            "volumes": volumes,
            "users": users,
            "mounts": mounts,
            "notes": sorted(os.listdir(notes)) if notes.exists() else [],
            "standing": standing(self._root),
            "metas": {one.parent.name: one.read_text() for one in driver.volumes.glob("*/meta.json")},
            "of Docker": self._of_docker(),
        }

    def _of_docker(self) -> dict[str, str]:
        """What was there before that volfs has no business to write, as checksums."""
        found = [one for one in sorted(self._original.rglob("*")) if one.is_file() and not one.name.startswith(OURS)]
        names = [str(one.relative_to(self._original)) for one in found]
        return {
            one: sha256((self._root / one).read_bytes()).hexdigest() for one in names if (self._root / one).exists()
        }
