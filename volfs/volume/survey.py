"""Volumes measured one after another, in a thread that may have to be left behind.

Law: a thread waits for one store at a time, and what it found until then can be taken at any moment. A volume whose
store does not answer holds the thread that asked; until that thread comes back nobody else asks it.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from volfs.driver.local import LocalDriver
from volfs.driver.measure import Measure
from volfs.errors import NotFound, VolfsError
from volfs.volume.volume import Figure, State, Volume

TURN = 0.1  # seconds after which a thread comes back with what it has
SILENT = "its store does not answer"


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one volume; without a figure, `why` says what went wrong, or nothing where nothing did.

    Nothing wrong is what is not there or not mounted now. A serial of 0 is a name that no volume has.
    """

    name: str
    serial: int = 0
    figure: Figure | None = None
    why: str = ""


class Silent:
    """The serials of volumes for whose store a thread still waits."""

    def __init__(self) -> None:
        self._serials: set[int] = set()

    def __contains__(self, serial: int) -> bool:
        return serial in self._serials

    def add(self, serial: int) -> None:
        """A thread was left behind."""
        self._serials.add(serial)

    def discard(self, serial: int) -> None:
        """It came back."""
        self._serials.discard(serial)


class Survey:
    """One thread's work: `volumes`, until they are done or a turn is over. `found` is for the first of them."""

    def __init__(self, driver: LocalDriver, volumes: Sequence[Volume], silent: Silent) -> None:
        self.found: list[Found] = []
        self.now = Measure()
        self._driver = driver
        self._volumes = volumes
        self._silent = silent
        self._lock = threading.Lock()
        self._left_behind = self._over = False

    def go(self) -> None:
        """The thread."""
        end = time.monotonic() + TURN
        try:
            for volume in self._volumes:
                if not self._tell(self._measure(volume)) or time.monotonic() > end:
                    return
        finally:
            with self._lock:
                self._over = True
                if self._left_behind:
                    self._silent.discard(self._volumes[len(self.found)].serial)

    def progress(self) -> tuple[int, int, int]:
        """Something that does not stay the same while the store answers."""
        return len(self.found), self.now.directories, self.now.seen

    def leave_behind(self) -> list[Found]:
        """Gives the thread up; what it found, and that the next volume's store does not answer."""
        with self._lock:
            if self._over or len(self.found) == len(self._volumes):
                return self.found  # it came back just now
            self._left_behind = True
            silent = self._volumes[len(self.found)]
            self._silent.add(silent.serial)
            return [*self.found, Found(silent.name, silent.serial, why=SILENT)]

    def _tell(self, found: Found) -> bool:
        """Returns whether somebody wants to know it, and more."""
        with self._lock:
            if not self._left_behind:
                self.now = Measure()
                self.found.append(found)
            return not self._left_behind

    def _measure(self, volume: Volume) -> Found:
        if not measurable(volume):
            return Found(volume.name, volume.serial)
        if volume.serial in self._silent:
            return Found(volume.name, volume.serial, why=SILENT)
        try:
            total = self._driver.measure(volume.name, self.now, mounted=elsewhere(volume))
        except NotFound:  # removed meanwhile
            return Found(volume.name, volume.serial)
        except VolfsError as error:
            return Found(volume.name, volume.serial, why=str(error))
        if not total.directories:
            return Found(volume.name, volume.serial)
        figure = Figure(total.apparent, total.allocated, total.files, int(time.time()))
        return Found(volume.name, volume.serial, figure)


def measurable(volume: Volume) -> bool:
    """Whether there is something that this host can measure: other drivers' data is theirs."""
    return volume.local and volume.state is State.OK


def elsewhere(volume: Volume) -> bool:
    """Whether the data is on a file system of its own, which may be slow or gone; measured while it is mounted."""
    return volume.source is not None
