"""What a daemon holds after much use: descriptors, threads, memory, the catalogue's size, mounts, processes.

    round   lookups of names that are there and of ones that are not, data that is touched and let go,
            volumes made, mounted, unmounted and removed, each on a connection of its own

Law: what is held at the end of the second half is what was held at the end of the first. Memory may differ by what an
allocator and Python's caches do, which does not depend on how long it ran.
"""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.torture.world import TMPFS, Broken, Want, World

LOOKUPS_A_CYCLE = 10
USERS = 4
SLACK = 3 << 20  # bytes of memory that two halves may differ by, and a twentieth
DESCRIPTORS = 4  # of connections that are idle just then
THREADS = 16  # idle threads that trio keeps for ten seconds, more or less


@dataclass(frozen=True)
class Held:
    """What the daemon and its keeper hold; sizes in bytes."""

    descriptors: int
    keepers: int
    threads: int
    memory: int
    catalogue: int
    mounts: int
    entries: int

    def __str__(self) -> str:
        return (
            f"{self.descriptors} + {self.keepers} descriptors, {self.threads} threads, {self.memory >> 10} KB, "
            f"catalogue {self.catalogue >> 10} KB, {self.mounts} mounts, {self.entries} entries in ROOT/volumes"
        )


class Leaks:
    """Much use of a world. `cycles` creates and removes, `lookups` in the view."""

    def __init__(self, world: World) -> None:
        self.cycles = self.lookups = 0
        self.held: list[Held] = []
        self._world = world
        self._counted = threading.Lock()

    def run(self, cycles: int, deadline: float) -> None:
        """A warm-up of an eighth, then two halves; ends early at the deadline (monotonic). Raises Broken."""
        began = time.monotonic()
        self._world.make("standing", Want({"a": "b"}, text="x"))
        self._idle = self._look()
        self._half(cycles // 8, began + (deadline - began) / 8)
        middle = time.monotonic()
        for end in (middle + (deadline - middle) / 2, deadline):
            self._half(cycles // 2, end)
            self.held.append(self._settled())
        self._compare(*self.held)
        self._world.check()

    def _half(self, cycles: int, deadline: float) -> None:
        failures: list[str] = []
        threads = [
            threading.Thread(target=self._use, args=(number, cycles // USERS, deadline, failures))
            for number in range(USERS)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        if failures:
            raise Broken(f"under load: {failures}")

    def _use(self, number: int, cycles: int, deadline: float, failures: list[str]) -> None:
        try:
            for cycle in range(cycles):
                if time.monotonic() > deadline:
                    return
                self._cycle(f"u{number}", cycle)
        except (AssertionError, OSError) as error:
            failures.append(repr(error))

    def _cycle(self, user: str, cycle: int) -> None:
        world, name, options = self._world, f"{user}-{cycle % 50}", TMPFS if cycle % 4 == 0 else None
        world.served.create(name, Labels={"cycle": str(cycle)}, DriverOpts=options)
        for number in range(LOOKUPS_A_CYCLE - 3):
            assert not (world.served.view / f"{user}-none-{cycle}-{number}").exists()
        os.stat(world.served.view / name / "meta")
        if options:
            assert world.plug("Mount", Name=name, ID="c1")[0] == 200
            os.listdir(world.served.view / name / "_data")
            assert world.plug("Unmount", Name=name, ID="c1")[0] == 200
        os.stat(world.served.view / "standing" / "_data")
        status, answer = world.ask("DELETE", f"/volumes/{name}")
        assert status == 204, answer
        assert not (world.served.view / name).exists()
        with self._counted:
            self.cycles += 1
            self.lookups += LOOKUPS_A_CYCLE

    def _settled(self) -> Held:
        """What is held once the background has done its work, and connections and threads that are idle have ended."""
        self._world.check()
        deadline = time.monotonic() + 12
        now = self._look()
        while time.monotonic() < deadline and (now.threads > THREADS or now.descriptors > self._idle.descriptors):
            time.sleep(0.25)
            now = self._look()
        return now

    def _look(self) -> Held:
        served = self._world.served
        daemon = served.daemon
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{daemon}/status").read_text().splitlines() if ":\t" in line
        )
        return Held(
            len(os.listdir(f"/proc/{daemon}/fd")),
            len(os.listdir(f"/proc/{served.keeper.pid}/fd")),
            int(status["Threads"]),
            int(status["VmRSS"].split()[0]) << 10,
            (self._world.volumes / "metadata.mdb").stat().st_size,
            len(served.mounts()),
            len(os.listdir(self._world.volumes)),
        )

    def _compare(self, first: Held, second: Held) -> None:
        if second.descriptors > first.descriptors + DESCRIPTORS:
            raise Broken(f"descriptors grow: {first}, then {second}")
        for one in ("keepers", "mounts", "entries"):
            if getattr(second, one) > getattr(first, one):
                raise Broken(f"{one} grow: {first}, then {second}")
        if second.threads > first.threads + THREADS:
            raise Broken(f"threads grow: {first}, then {second}")
        if second.memory > first.memory * 1.05 + SLACK:
            raise Broken(f"memory grows: {first}, then {second}")
        if second.catalogue > first.catalogue * 1.25:
            raise Broken(f"the catalogue grows: {first}, then {second}")
