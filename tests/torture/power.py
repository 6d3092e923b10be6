"""Power cuts: volfs on a disk of disk.py under load; disks as they would be after a cut at any moment are restored.

    load     creates, removes, mounts, unmounts, each with the times at which it was asked for and answered
    cut      at an event of the disk: what was answered before it must be there, what was asked for after it must not
    again    a cut in two comes a second time, at an event of the restore, or of the file system's own before it
    judged   the image is mounted (the file system replays its journal), restored by a daemon, and compared

Law: a volume is as its last answered change left it, or, while a change was under way, as before or as after it; whole:
entry, directory, meta.json and opts.json agree, and what its user has written and synced is in it. A power cut is a
boot, which ends every use. A second restore has nothing to do.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.conftest import PROJECT
from tests.torture import disk
from tests.torture.world import TMPFS, Broken, Want, World
from volfs.driver.local import LocalDriver
from volfs.driver.notes import Notes
from volfs.mount import syscalls
from volfs.mount.mountinfo import under
from volfs.settings import Settings
from volfs.volume import recovery
from volfs.volume.restore import removing_serial
from volfs.volume.store import Store
from volfs.volume.volume import State

# How each is made, how large (bytes), and how it is mounted.
FILE_SYSTEMS = {
    "ext4": (["mkfs.ext4", "-q", "-F"], 64 << 20, ""),
    "xfs": (["mkfs.xfs", "-q", "-f"], 320 << 20, "nouuid"),
    "btrfs": (["mkfs.btrfs", "-q", "-f"], 256 << 20, ""),
}
USERS = 4
NAMES = 6  # of each user
TWICE = 0.5  # of the cuts are followed by one while what is left is restored


@dataclass(frozen=True)
class Done:
    """A change of a volume; times are monotonic."""

    name: str
    before: Want | None
    after: Want | None
    began: float
    answered: float


class Load:
    """Users who change volumes of their own, each one after another."""

    def __init__(self, world: World, seed: int) -> None:
        self.history: list[Done] = []
        self.failures: list[str] = []
        self._world, self._stopped = world, threading.Event()
        self._threads = [threading.Thread(target=self._use, args=(seed, number)) for number in range(USERS)]

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the block runs, so do the users."""
        for one in self._threads:
            one.start()
        try:
            yield
        finally:
            self._stopped.set()
            for one in self._threads:
                one.join()

    def _use(self, seed: int, number: int) -> None:
        choose = Random(f"{seed} {number}")
        volumes: dict[str, Want | None] = {f"user{number}-{one}": None for one in range(NAMES)}
        try:
            while not self._stopped.is_set():
                name = choose.choice(sorted(volumes))
                began = time.monotonic()
                after = self._change(name, volumes[name], choose)
                self.history.append(Done(name, volumes[name], after, began, time.monotonic()))
                volumes[name] = after
        except (AssertionError, OSError) as error:
            self.failures.append(repr(error))

    def _change(self, name: str, now: Want | None, choose: Random) -> Want | None:
        if now is None:
            kind = choose.random()
            options = {**TMPFS, "o": f"size={choose.randint(1, 9)}m"} if kind < 0.4 else None
            made = Want({"made": str(choose.random())}, options)
            if kind > 0.8:
                made = replace(made, driver="fake", options={"a": str(choose.random())})
            self._answered(self._world.ask("POST", "/volumes/create", made.request(name)), 201)
            return made
        if now.text is None and not now.options and choose.random() < 0.5:
            return replace(now, text=self._write(name, str(choose.random())))
        if now.users:
            self._answered(self._world.plug("Unmount", Name=name, ID="c1"), 200)
            return replace(now, users=frozenset())
        if now.driver == "local" and choose.random() < 0.3:
            self._answered(self._world.plug("Mount", Name=name, ID="c1"), 200)
            return replace(now, users=frozenset({"c1"}))
        self._answered(self._world.ask("DELETE", f"/volumes/{name}"), 204)
        return None

    def _write(self, name: str, text: str) -> str:
        """A container's file, as a program writes one that it wants to keep: see fsync(2)."""
        data = self._world.volumes / name / "_data"
        with (data / "file").open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        syscalls.sync_directory(data)
        return text

    def _answered(self, answer: tuple[int, object], right: int) -> None:
        assert answer[0] == right, answer

    def possible(self, moment: float) -> dict[str, set[Want | None]]:
        """What each volume may be when the power goes at that moment."""
        found: dict[str, list[Want | None]] = {one.name: [None] for one in self.history}
        for one in self.history:
            if one.answered <= moment:
                found[one.name] = [one.after]
            elif one.began <= moment:
                found[one.name] = [one.before, one.after]
        return {name: set(map(_hashable, wants)) for name, wants in found.items()}


def _hashable(want: Want | None) -> object:
    return want and (tuple((want.labels or {}).items()), tuple((want.options or {}).items()), want.text, want.driver)


class Cuts:
    """Power cuts on one kind of file system. `run` puts it under load, `cut` judges one moment of it."""

    def __init__(self, directory: Path, kind: str, seed: int) -> None:
        self.directory, self.kind, self.seed = directory, kind, seed
        self.count = self.changes = self.flushes = self.redone = self.twice = 0
        self.history: list[disk.Event] = []
        make, size, self._options = FILE_SYSTEMS[kind]
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "base").touch()
        os.truncate(directory / "base", size)
        subprocess.run([*make, str(directory / "base")], check=True, stdout=subprocess.DEVNULL)

    def run(self, seconds: float) -> None:
        """Load for so long; then everything is stopped, and only the disk's log is left."""
        with self._mounted(self.directory) as place:
            world = World(place)
            try:
                self._load = Load(world, self.seed)
                with self._load.running():
                    time.sleep(seconds)
            finally:
                world.served.stop()
                world.plugin.stop()
        if self._load.failures:
            raise Broken(f"{self.kind}: {self._load.failures}")
        self.history = disk.events(self.directory / "log")
        self.changes = len(self._load.history)
        self.flushes = sum(one.kind == disk.FLUSH for one in self.history)

    @contextmanager
    def _mounted(self, directory: Path) -> Iterator[Path]:
        """A directory whose `root` is on the disk of this one."""
        place = directory / "place"
        (place / "root").mkdir(parents=True)
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.disk", str(directory)],
            stdout=subprocess.PIPE,
            cwd=PROJECT,
        )
        loop = ""
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            command = ["losetup", "--direct-io=on", "-f", "--show", str(directory / "disk" / "image")]
            loop = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            options = ["-o", self._options] if self._options else []
            subprocess.run(["mount", "-t", self.kind, *options, loop, place / "root"], check=True)
            yield place
        finally:
            for mount in reversed(under(syscalls.read_mountinfo(), str(place))):
                syscalls.detach(mount.mountpoint)
            if loop:
                subprocess.run(["losetup", "-d", loop], check=True)
                _gone(loop)
            subprocess.run(["umount", directory / "disk"], check=True)
            server.wait(30)
            server.stdout.close()

    def cut(self, choose: Random) -> None:
        """Cuts the power at a moment of the load, restores, and judges. Raises Broken."""
        first = next(number for number, one in enumerate(self.history) if one.time > self._load.history[0].began)
        at = choose.randrange(first, len(self.history)) + 1
        target = self.directory / "image"
        disk.image(self.directory, self.history, at, choose, target)
        if choose.random() < TWICE:
            target = self._cut_again(target, choose)
        root = self.directory / "restored"
        root.mkdir(exist_ok=True)
        options = ",".join(["loop", *([self._options] if self._options else [])])
        subprocess.run(["mount", "-t", self.kind, "-o", options, target, root], check=True)
        try:
            self._judge(root, self.history[at - 1].time)
        except AssertionError as error:
            raise Broken(f"{self.kind}, the power cut after {at} of {len(self.history)} events: {error}") from error
        finally:
            subprocess.run(["umount", root], check=True)
        self.count += 1

    def _cut_again(self, target: Path, choose: Random) -> Path:
        """The disk as it is when the power goes once more, while what the first cut left is mounted and restored."""
        again = self.directory / "again"
        shutil.rmtree(again, ignore_errors=True)
        again.mkdir()
        target.rename(again / "base")
        with self._mounted(again) as place:
            self._restore(place / "root")
        if not (history := disk.events(again / "log")):
            return again / "base"
        disk.image(again, history, choose.randrange(len(history)) + 1, choose, again / "image")
        self.twice += 1
        return again / "image"

    def _restore(self, root: Path) -> None:
        """A daemon of another boot that serves nobody. Raises Broken where it was no ordinary restore."""
        settings = Settings(str(root), str(self.directory / "view"), "/nowhere", (), 0o750, 0, "bind", 300.0, "text")
        boot = self.directory / "boot_id"
        boot.write_text("00000000-0000-4000-8000-000000000001\n")
        another = f'mount --bind "{boot}" /proc/sys/kernel/random/boot_id && exec "$@"'
        restore = [sys.executable, "-P", "-m", "volfs.daemon", settings.to_json()]
        command = ["unshare", "--mount", "sh", "-c", another, "sh", *restore]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        self.redone += result.stderr.count("that a power cut took back")
        if result.returncode or "rebuilt" in result.stderr or "damaged" in result.stderr:
            raise Broken(f"restore ended with {result.returncode}: {result.stderr}")

    def _judge(self, root: Path, moment: float) -> None:
        self._restore(root)
        driver = LocalDriver(root)
        store = Store(driver.volumes / recovery.CATALOGUE)
        try:
            if store.unsynced():
                raise Broken(f"the catalogue still vouches for {store.unsynced()}")
            plan = recovery._plan(store, driver.scan(), driver, str(self.directory / "view"))
            plan.sweep = [work for work in plan.sweep if not removing_serial(work)]
            if not plan.empty:
                raise Broken(f"the second restore has something to do: {plan}")
            possible = self._load.possible(moment)
            for name, wants in possible.items():
                if (found := _hashable(_found(name, store, driver))) not in wants:
                    raise Broken(f"{name} is {found}, right is {wants}")
            if strangers := {one.name for one in store.volumes()} - set(possible):
                raise Broken(f"nobody asked for {strangers}")
        finally:
            store.close()

    def close(self) -> None:
        """Deletes the disk."""
        shutil.rmtree(self.directory, ignore_errors=True)


def _found(name: str, store: Store, driver: LocalDriver) -> Want | None:
    """A volume as a restore left it; its parts must agree."""
    volume = store.get(name)
    if volume is None:
        return None
    if volume.driver != "local":
        note = Notes(driver.volumes.parent).read(name)
        noted = note and (note.driver, note.labels, note.options)
        if noted not in (None, (volume.driver, volume.labels, volume.options)):
            raise Broken(f"{name} is {volume}, its note says {note}")
        return Want(volume.labels, volume.options, volume.driver)
    said = driver.describe(name)
    parts = (said.damage, said.labels, said.options, said.created)
    if volume.state is not State.OK or parts != (None, volume.labels, volume.options, volume.created):
        raise Broken(f"{name} is {volume}, its directory says {said}")
    if users := store.references(name):
        raise Broken(f"{name} is used by {users} in another boot")
    file = driver.volumes / name / "_data" / "file"
    return Want(volume.labels, volume.options, text=file.read_text() if file.exists() else None)


def _gone(loop: str) -> None:
    """Waits until a loop device has let its file go; it does that when the last mount has gone."""
    deadline = time.monotonic() + 20
    while Path(f"/sys/block/{Path(loop).name}/loop").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
