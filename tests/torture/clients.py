"""Clients under fire: the daemon is killed every half second, and replaced by SIGHUP in between.

    view     ls, stat, cat, write: not one may fail
    API      create, inspect, list, remove; plugin: create, mount, unmount, remove

Law: no connection is refused. A call under way when the daemon dies is answered by the next one, or ends with a broken
connection; asked again it succeeds, and what it was about is then as it was asked to be.
"""

import json
import os
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from random import Random

from tests.torture.world import LOST, TMPFS, Broken, Want, World

VOLUMES = 20
PERIOD = 0.5  # seconds between two ends of a daemon


class Clients:
    """Mixed load on a world. `done`, `repeated` and `longest` (seconds) are by the kind of operation."""

    def __init__(self, world: World, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self.longest: dict[str, float] = {}
        self.failures: list[str] = []
        self.kills = self.replaced = 0
        self._world, self._seed = world, seed
        self._names = [f"standing{number:02}" for number in range(VOLUMES)]
        self._stopped = threading.Event()

    def run(self, seconds: float) -> None:
        """Load for so long. Raises Broken for the first things that a client noticed."""
        for name in self._names:
            self._world.make(name, Want({"name": name}, None, text=name))
        acts: list[Callable[[Random], None]] = [self._ls, self._stat, self._cat, self._write, self._engine, self._plug]
        acts += [self._engine, self._plug]
        threads = [threading.Thread(target=self._use, args=(act, number)) for number, act in enumerate(acts)]
        for one in threads:
            one.start()
        try:
            self._fire(time.monotonic() + seconds)
        finally:
            self._stopped.set()
            for one in threads:
                one.join()
        if self.failures:
            raise Broken(f"{len(self.failures)} clients noticed: {self.failures[:5]}")
        self._world.check()

    def _fire(self, deadline: float) -> None:
        """Every half second a daemon ends; every fourth time in order. One that is not up yet is killed as well."""
        choose = Random(self._seed)
        served = self._world.served
        while (now := time.monotonic()) < deadline:
            if (self.kills + self.replaced) % 4 == 3:
                served.keeper.send_signal(signal.SIGHUP)
                self.replaced += 1
            else:
                served.kill_daemon()
                self.kills += 1
            pause = PERIOD * choose.uniform(0.8, 1.2)
            if self.kills % 3 == 0:  # one in three gets ready, however slow the machine is
                ready = served.log().count(" ready ")
                while served.log().count(" ready ") <= ready and time.monotonic() < now + 20:
                    time.sleep(0.01)
            time.sleep(max(0.0, now + pause - time.monotonic()))

    def _use(self, act: Callable[[Random], None], number: int) -> None:
        choose = Random(f"{self._seed} {number}")
        while not self._stopped.is_set():
            try:
                act(choose)
            except (AssertionError, OSError, ValueError) as error:
                self.failures.append(f"{act.__name__.strip('_')}: {error!r}, {traceback.format_exc()[-600:]}")
                return  # what it left would be in its own way
            time.sleep(0.002)

    def _timed(self, what: str, act: Callable[[], object]) -> None:
        began = time.monotonic()
        act()
        self.done[what] += 1
        self.longest[what] = max(self.longest.get(what, 0.0), time.monotonic() - began)

    # The view

    def _ls(self, choose: Random) -> None:
        def ls() -> None:
            assert set(self._names) <= set(os.listdir(self._world.served.view))

        self._timed("ls", ls)

    def _stat(self, choose: Random) -> None:
        volume = self._world.served.view / choose.choice(self._names)
        self._timed("stat", lambda: [os.stat(volume / one) for one in ("", "meta", "opts.json")])
        assert not (self._world.served.view / f"no-{choose.random()}").exists()

    def _cat(self, choose: Random) -> None:
        name = choose.choice(self._names)

        def cat() -> None:
            assert json.loads((self._world.served.view / name / "meta").read_text())["Labels"] == {"name": name}

        self._timed("cat", cat)

    def _write(self, choose: Random) -> None:
        name, text = choose.choice(self._names), str(choose.random())
        self._timed("write", lambda: (self._world.served.view / name / "_data" / "written").write_text(text))
        assert (self._world.volumes / name / "_data" / "written").read_text() == text

    # The APIs

    def _again(self, what: str, ask: Callable[[], tuple[int, object]], *right: int) -> object:
        """Asks until there is an answer; one that is asked again may find its work done."""
        answers: list[tuple[int, object]] = []

        def act() -> None:
            while not answers:
                try:
                    answers.append(ask())
                except ConnectionRefusedError as error:
                    raise AssertionError(f"refused: {error}") from error
                except LOST:
                    self.repeated[what] += 1

        self._timed(what, act)
        [(status, answer)] = answers
        assert status in right, f"{what}: {status} {answer}"
        return answer

    def _engine(self, choose: Random) -> None:
        world, name = self._world, f"engine-{threading.get_ident()}-{choose.randrange(4)}"
        want = Want({"n": str(choose.random())}, TMPFS if choose.random() < 0.5 else None)
        self._again("create", lambda: world.ask("POST", "/volumes/create", want.request(name)), 201)
        found = self._again("inspect", lambda: world.ask("GET", f"/volumes/{name}"), 200)
        assert isinstance(found, dict)
        assert (found["Labels"], found["Options"]) == (want.labels, want.options), f"{found} is not {want}"
        assert name in os.listdir(world.served.view), "made, and not listed"
        if want.options:
            self._timed("touch", lambda: (world.served.view / name / "_data" / "file").write_text("x"))
        self._again("list", lambda: world.ask("GET", "/volumes"), 200)
        self._again("remove", lambda: world.ask("DELETE", f"/volumes/{name}"), 204, 404)
        assert not (world.served.view / name).exists(), "removed, and still there"

    def _plug(self, choose: Random) -> None:
        world, name = self._world, f"plug-{threading.get_ident()}-{choose.randrange(4)}"
        self._again("plugin create", lambda: world.plug("Create", Name=name, Opts=TMPFS), 200)
        for user in ("c1", "c2"):
            self._again("plugin mount", lambda user=user: world.plug("Mount", Name=name, ID=user), 200)  # type: ignore[misc]
        data = world.volumes / name / "_data"
        (data / "file").write_text(name)
        self._again("plugin unmount", lambda: world.plug("Unmount", Name=name, ID="c1"), 200)
        assert (data / "file").read_text() == name
        self._again("plugin unmount", lambda: world.plug("Unmount", Name=name, ID="c2"), 200)
        assert not (data / "file").exists()
        self._again("plugin remove", lambda: self._removed(name), 200)

    def _removed(self, name: str) -> tuple[int, object]:
        status, answer = self._world.plug("Remove", Name=name)
        gone = isinstance(answer, dict) and "no such volume" in answer.get("Err", "")
        return (200, answer) if gone else (status, answer)
