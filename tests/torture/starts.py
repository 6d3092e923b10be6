"""Starts and stops cut off at each of their steps.

restore   of a root with every kind of trouble in it, by a daemon that dies; the next one ends where an uncut one does
daemon    dies on its way up, again and again, while somebody looks at the view and asks the API: both are answered
keeper    dies while it starts, while it replaces a daemon, and while it stops; the next start finds everything whole
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT, until
from tests.torture.kills import WRITES, Killed
from tests.torture.steps import How, Steps
from tests.torture.world import LOST, TMPFS, Broken
from volfs.driver.local import Description, LocalDriver
from volfs.driver.notes import Notes
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


def ways_of(names: list[str]) -> Iterator[tuple[int, How]]:
    """Every way to cut off what has these steps."""
    for number, step in enumerate(names, 1):
        for how in (How.BEFORE, How.AFTER, *([How.TORN] if step in WRITES else [])):
            yield number, how


@dataclass(frozen=True)
class Trouble:
    """A root as a crash, a move and an administrator leave it; `lost`: its catalogue is garbage."""

    root: Path
    lost: bool

    def make(self) -> None:
        """Makes it."""
        driver = LocalDriver(self.root)
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
        Notes(self.root).write("far", Description(1_700_000_000, "fake", {"of": "far"}))
        (self.root / "plugin-volumes" / ".new-x").write_text("{")
        if self.lost:
            (driver.volumes / recovery.CATALOGUE).write_bytes(b"garbage!" * 20_000)


class Restores:
    """Restores of one kind of trouble."""

    def __init__(self, directory: Path, *, lost: bool) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = "restore after a lost catalogue" if lost else "restore"
        self.steps = Steps(directory)
        self.cuts = 0
        self._trouble = Trouble(directory / "trouble", lost)
        self._root = directory / "root"
        self._view = directory / "view"
        self._trouble.make()
        self.steps.arm(-1)
        self._prepare()
        self._restore(self.steps.environment)
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
        """Cuts a restore off, and has the next one finish. Raises Broken."""
        self._prepare()
        self.steps.arm(-1, at, how)
        ended = self._restore(self.steps.environment)
        self.steps.disarm()
        self.cuts += self.steps.struck
        where = f"{self.name}, {how.name.lower()} at step {at}, {self.names[at - 1]}"
        if self.steps.struck != (ended != 0):
            raise Broken(f"{where}: it ended with {ended}")
        if code := self._restore({}):
            raise Broken(f"{where}: the next one ended with {code}")
        if (seen := self._seen()) != self._right:
            raise Broken(f"{where}: there is {seen}, right is {self._right}")

    def _prepare(self) -> None:
        self.close()
        shutil.rmtree(self._root, ignore_errors=True)
        subprocess.run(["cp", "-a", self._trouble.root, self._root], check=True)
        data = self._root / "volumes" / "mounted" / "_data"
        syscalls.mount("none", str(data), "tmpfs")

    def _restore(self, environment: dict[str, str]) -> int:
        settings = Settings(str(self._root), str(self._view), "/nowhere", (), 0o750, 0, "bind", 300.0, "text")
        command = [sys.executable, "-P", "-m", "volfs.daemon", settings.to_json()]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), **environment}
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    def _seen(self) -> dict[str, Any]:
        """All that matters after a restore; and restore has nothing more to do."""
        driver = LocalDriver(self._root)
        store = Store(driver.volumes / recovery.CATALOGUE)
        try:
            plan = recovery._plan(store, driver.scan(), driver, str(self._view))
            plan.sweep = [work for work in plan.sweep if not removing_serial(work)]
            aside = any(
                driver.volumes.glob("*.damaged-*")
            )  # a new one, torn while it was begun, is moved aside as well
            there = {one for one in os.listdir(driver.volumes) if ".damaged-" not in one}
            volumes = [(one.name, one.driver, one.labels, one.options, one.state) for one in store.volumes()]
            users = [(name, one.id, one.kind) for name, one in store.all_references()]
            mounts = [one.mountpoint for one in under(syscalls.read_mountinfo(), str(self._root))]
        finally:
            store.close()
        notes = sorted(os.listdir(self._root / "plugin-volumes"))
        return {
            "plan": "" if plan.empty else str(plan),
            "moved aside": aside,
            "there": sorted(there),
            "volumes": volumes,
            "users": users,
            "mounts": mounts,
            "notes": notes,
        }


class Starts:
    """Daemons and keepers that die while they start or stop, in the world of `killed`."""

    def __init__(self, killed: Killed) -> None:
        self.killed = killed
        self.steps, self.world = killed.steps, killed.world
        self.cuts = 0
        self.ways: dict[str, Callable[[int, How], None]] = {
            "start of a daemon": self._daemon_starts,
            "start of a keeper": self._keeper_starts,
            "replacing a daemon": self._keeper_replaces,
            "stop of a keeper": self._keeper_stops,
        }

    def steps_of(self, way: str) -> list[str]:
        """What it does when it is not cut off."""
        self.ways[way](0, How.BEFORE)
        return self.steps.names()

    def cut(self, way: str, at: int, how: How) -> None:
        """Cuts it off once and judges. Raises Broken."""
        try:
            self.ways[way](at, how)
            self.cuts += self.steps.struck
            self.world.check()
            self.killed.check_standing()
        except (AssertionError, OSError) as error:
            raise Broken(f"{way}, {how.name.lower()} at step {at}: {error}") from error

    def _daemon_starts(self, at: int, how: How) -> None:
        served = self.world.served
        view = served.view / "standing-too" / "_data"
        os.stat(view)
        ready = served.log().count(" ready ")
        daemon = served.daemon
        os.kill(served.keeper.pid, signal.SIGSTOP)
        os.kill(daemon, signal.SIGKILL)
        until(lambda: _is_dead(daemon))
        self.steps.arm(-1, at, how, spared=served.keeper.pid)
        os.kill(served.keeper.pid, signal.SIGCONT)
        failed: list[str] = []
        users = [threading.Thread(target=_watched, args=(failed, one)) for one in (self._look, self._ask)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        self.steps.settled()
        self.steps.disarm()
        served.ready(ready + 1)
        if failed:
            raise Broken(f"somebody noticed: {failed}")

    def _look(self) -> None:
        for name in ("standing", "standing-too"):
            assert sorted(os.listdir(self.world.served.view / name)) == ["_data", "meta", "opts.json"]
            os.listdir(self.world.served.view / name / "_data")

    def _ask(self) -> None:
        """A connection may break once it is accepted; it is never refused."""
        while True:
            try:
                assert self.world.ask("GET", "/volumes/standing")[0] == 200
            except ConnectionRefusedError:
                raise
            except LOST:
                continue
            return

    def _keeper_starts(self, at: int, how: How) -> None:
        served = self.world.served
        assert served.stop() == 0
        self.steps.arm(-1, at, how)
        ready = served.log().count(" ready ")
        served.keeper = served.spawn()
        until(lambda: served.log().count(" ready ") > ready or served.keeper.poll() is not None)
        self._end_it_all()

    def _keeper_replaces(self, at: int, how: How) -> None:
        served = self.world.served
        os.stat(served.view / "standing-too" / "_data")
        ready = served.log().count(" ready ")
        self.steps.arm(served.keeper.pid, at, how)
        served.keeper.send_signal(signal.SIGHUP)
        until(lambda: served.log().count(" ready ") > ready or served.keeper.poll() is not None)
        self._end_it_all()

    def _keeper_stops(self, at: int, how: How) -> None:
        served = self.world.served
        os.stat(served.view / "standing-too" / "_data")
        self.steps.arm(served.keeper.pid, at, how)
        served.keeper.terminate()
        served.keeper.wait(30)
        self._end_it_all()

    def _end_it_all(self) -> None:
        served = self.world.served
        self.steps.settled()
        self.steps.disarm()
        if served.keeper.poll() is None and not self.steps.struck:
            return
        served.keeper.wait(30)
        served.start()


def _watched(failed: list[str], act: Callable[[], None]) -> None:
    try:
        act()
    except (AssertionError, OSError) as error:
        failed.append(repr(error))


def _is_dead(pid: int) -> bool:
    """Whether a process that its parent has not waited for has ended; see proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
