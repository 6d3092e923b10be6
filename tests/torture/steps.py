"""A process ended at a chosen call: every call of volfs that changes something is a step, counted over all its threads.

    arm(pid, at=7)     the seventh step from now on is this process's last; -1 for whoever makes the next one
    arm(pid)           counts only: how many steps an operation has, and which

Law: the process ends by its own SIGKILL exactly there, `BEFORE` the call, `AFTER` it, with a write half done (`TORN`),
or `WITH_PARENT`, its keeper. `steps.c` is loaded into volfs by the dynamic linker; volfs knows nothing of it.
"""

import mmap
import struct
import subprocess
import time
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("steps.c")
KEPT, NAME = 4096, 16
HEAD = struct.Struct("=6q")  # struct plan of steps.c
PID, SPARED, AT, HOW, COUNTED, STRUCK = range(6)


class How(IntEnum):
    """What the step does before the end."""

    BEFORE = 0
    AFTER = 1
    TORN = 2
    WITH_PARENT = 3


class Steps:
    """The file that the tortured processes share with us, and the library that they load."""

    def __init__(self, directory: Path) -> None:
        library, shared = directory / "steps.so", directory / "steps"
        command = ["gcc", "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        shared.write_bytes(bytes(HEAD.size + KEPT * NAME))
        self.environment = {"LD_PRELOAD": str(library), "VOLFS_STEPS": str(shared)}
        with shared.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 0)

    def arm(self, pid: int, at: int = 0, how: How = How.BEFORE, spared: int = 0) -> None:
        """From now on the steps of this process count; none of `spared` does where `pid` is -1."""
        self._set(PID, 0)
        self._shared[HEAD.size :] = bytes(KEPT * NAME)
        for field, value in ((SPARED, spared), (AT, at), (HOW, how), (COUNTED, 0), (STRUCK, 0), (PID, pid)):
            self._set(field, value)

    def disarm(self) -> None:
        """Nobody is counted any more."""
        self._set(PID, 0)

    @property
    def struck(self) -> bool:
        """Whether somebody has been ended."""
        return self._get(STRUCK) != 0

    def settled(self, quiet: float = 0.25) -> bool:
        """Waits until a process was ended (True), or no step was made for a while."""
        before, since = -1, time.monotonic()
        while not self.struck:
            if (now := self._get(COUNTED)) != before:
                before, since = now, time.monotonic()
            if time.monotonic() > since + quiet:
                return False
            time.sleep(0.005)
        return True

    def names(self) -> list[str]:
        """The steps so far."""
        count = min(self._get(COUNTED), KEPT)
        rows = (self._shared[at : at + NAME] for at in range(HEAD.size, HEAD.size + count * NAME, NAME))
        return [row.rstrip(b"\0").decode() for row in rows]

    def _get(self, field: int) -> int:
        return int(HEAD.unpack_from(self._shared)[field])

    def _set(self, field: int, value: int) -> None:
        struct.pack_into("=q", self._shared, field * 8, value)
