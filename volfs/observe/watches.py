"""Which directories of a Docker root are watched, and what was heard of them.

    ROOT             volumes/ or containers/ appears
    ROOT/volumes     a volume's directory comes or goes; metadata.db is written
    ROOT/containers  a container's directory comes or goes
    containers/ID    its config.v2.json is put in place; what else happens there, its log for one, wakes nobody

Law: a watch is made before what it watches is read, so that nothing falls between. Where the host has no watches left,
`whole` is False, and whoever looks must look again by himself.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from volfs.observe import inotify
from volfs.observe.inotify import Event, Inotify

CONFIG = "config.v2.json"
_NAMES = inotify.CREATE | inotify.DELETE | inotify.MOVED_FROM | inotify.MOVED_TO
_SELF = inotify.DELETE_SELF | inotify.MOVE_SELF

log = logging.getLogger(__name__)


@dataclass
class Heard:
    """Names of volumes and ids of containers of which something was heard; `lost`: anything may have happened."""

    volumes: set[str] = field(default_factory=set)
    containers: set[str] = field(default_factory=set)
    lost: bool = False


class Watches:
    """The watches of one Docker root. `descriptor` is readable while something is to be heard."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._inotify = Inotify()
        self._places: dict[int, Path] = {}
        self._of_root: dict[Path, int | None] = {}
        self._containers: dict[str, int] = {}
        self._lost = False
        self.descriptor = self._inotify.descriptor
        self.whole = True

    def hear(self) -> Heard:
        """What was heard since the last call."""
        heard = Heard(lost=self._lost)
        self._lost = False
        for event in self._inotify.read():
            self._note(event, heard)
        return heard

    def watch_root(self) -> None:
        """Watches the directories that there are; one that has gone, or taken another's place, makes all heard lost."""
        changes = {self._root: _NAMES, self._root / "containers": _NAMES, self._root / "volumes": _NAMES}
        changes[self._root / "volumes"] |= inotify.MODIFY
        for place, mask in changes.items():
            watch = self._watch(place, mask | _SELF)
            if watch != self._of_root.get(place):
                self._of_root[place] = watch
                self._lost = True
            if watch is not None:
                self._places[watch] = place

    def watch_container(self, container: str) -> None:
        """Watches a container's directory."""
        if container not in self._containers:
            place = self._root / "containers" / container
            watch = self._watch(place, inotify.MOVED_TO | inotify.DELETE)
            if watch is not None:
                self._places[watch] = place
                self._containers[container] = watch

    def close(self) -> None:
        """Ends all of them."""
        self._inotify.close()

    def _watch(self, place: Path, mask: int) -> int | None:
        try:
            return self._inotify.watch(str(place), mask)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if self.whole:
                log.warning(
                    "changes are looked for every second: raise fs.inotify.max_user_watches to hear of them",
                    extra={"why": error.strerror},
                )
            self.whole = False
            return None

    def _note(self, event: Event, heard: Heard) -> None:
        if event.mask & inotify.LOST:
            heard.lost = True
            return
        place = self._places.get(event.watch)
        if place is None:
            return
        if event.mask & inotify.GONE:
            del self._places[event.watch]
            self._containers.pop(place.name, None)
        elif place == self._root / "volumes":
            heard.volumes.add(event.name)
        elif place == self._root / "containers":
            heard.containers.add(event.name)
        elif place.parent == self._root / "containers" and event.name == CONFIG:
            heard.containers.add(place.name)
