"""Somebody unmounts by hand, or kills: the bind of a volume, its tmpfs, the whole view; the daemon, the keeper, both.

Law: whatever went, plain data is untouched, every volume can be used again at once or after the next start, and after
that everything agrees.
"""

import os
import signal
import threading
from collections.abc import Callable
from random import Random

from tests.conftest import until
from tests.torture.kills import STANDING
from tests.torture.operations import OF_PLUGIN
from tests.torture.world import LOST, Broken, World
from volfs.mount import syscalls
from volfs.mount.mountinfo import at

MOST = 3  # things that go in a row


class Hands:
    """Rough hands on a world. `rounds` is how often everything was well again."""

    def __init__(self, world: World) -> None:
        self.rounds = 0
        self.world = world
        for name, want in {**STANDING, "far": OF_PLUGIN}.items():
            world.make(name, want)
        self.acts: dict[str, Callable[[], None]] = {
            "unmount the bind of a plain volume": lambda: self._detach(self._shown("standing")),
            "unmount the bind of a tmpfs": lambda: self._detach(self._shown("standing-too")),
            "unmount the bind of a plugin's volume": lambda: self._detach(self._shown("far")),
            "unmount a tmpfs below": lambda: self._detach(f"{world.volumes}/standing-too/_data"),
            "unmount the view": lambda: self._detach(str(world.served.view)),
            "kill the daemon": world.served.kill_daemon,
            "kill the keeper": self._kill_keeper,
            "kill both": self._kill_both,
        }

    def round(self, choose: Random) -> None:
        """Takes things away in a row, while somebody else is at work; then everything must work again."""
        acts = choose.choices(sorted(self.acts), k=choose.randint(1, MOST))
        try:
            self._use()
            other = threading.Thread(target=self._work, args=(choose.random(),))
            other.start()
            try:
                for one in acts:
                    self.acts[one]()
                    self._start_if_ended()
            finally:
                other.join()
            self._well()
        except (AssertionError, OSError) as error:
            raise Broken(f"{', then '.join(acts)}: {error!r}") from error
        self.rounds += 1

    def _shown(self, name: str) -> str:
        return f"{self.world.served.view}/{name}/_data"

    def _detach(self, target: str) -> None:
        if at(syscalls.read_mountinfo(), target) is not None:
            syscalls.detach(target)

    def _kill_keeper(self) -> None:
        self.world.served.keeper.kill()
        self.world.served.keeper.wait()

    def _kill_both(self) -> None:
        daemon = self.world.served.daemon
        os.kill(self.world.served.keeper.pid, signal.SIGSTOP)  # it must not see its daemon go
        os.kill(daemon, signal.SIGKILL)
        self._kill_keeper()

    def _start_if_ended(self) -> None:
        served = self.world.served
        if served.keeper.poll() is not None:
            served.start()

    def _work(self, number: float) -> None:
        """Somebody who has to do with none of it, and asks again when a connection breaks."""
        name = f"other-{number}"
        for method, path, body in (("POST", "/volumes/create", {"Name": name}), ("DELETE", f"/volumes/{name}", None)):
            for _ in range(100):
                try:
                    if self.world.ask(method, path, body)[0] in (201, 204, 404):
                        break
                except (*LOST, OSError):  # without a keeper there is nobody to ask
                    threading.Event().wait(0.05)

    def _use(self) -> None:
        """Everything is mounted and shown."""
        for name in (*STANDING, "far"):
            os.listdir(self._shown(name))
        assert self.world.plug("Mount", Name="standing-too", ID="c1")[0] == 200

    def _well(self) -> None:
        """A start mends what is left; then all can be used and let go, and agrees."""
        self.world.plug("Mount", Name="standing-too", ID="c1")
        ready = self.world.served.log().count(" ready ")
        self.world.served.kill_daemon()
        self.world.served.ready(ready + 1)
        self.world.check()
        for name in (*STANDING, "far"):
            until(lambda name=name: os.path.ismount(self._shown(name)))  # type: ignore[misc]
        self._use()
        assert self.world.plug("Unmount", Name="standing-too", ID="c1")[0] == 200
        self.world.check()
        for name, want in STANDING.items():
            if (found := self.world.found(name)) != want:
                raise Broken(f"{name} is {found}")
