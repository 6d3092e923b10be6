"""Starts, replacements and stops cut off at each of their steps.

daemon    dies on its way up, again and again, while somebody looks at the view and asks the API: both are answered
keeper    dies while it starts, while it replaces a daemon, and while it stops; the next start finds everything whole
"""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from tests.conftest import until
from tests.torture.kills import Killed
from tests.torture.steps import How
from tests.torture.world import LOST, Broken


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
        until(self._is_served)  # a daemon whose keeper was cut off may have said in the last moment that it is ready

    def _is_served(self) -> bool:
        try:
            self._ask()
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


def _watched(failed: list[str], act: Callable[[], None]) -> None:
    try:
        act()
    except (AssertionError, OSError) as error:
        failed.append(repr(error))


def _is_dead(pid: int) -> bool:
    """Whether a process that its parent has not waited for has ended; see proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
