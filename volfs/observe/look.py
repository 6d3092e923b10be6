"""One look at a Docker root: what its files say now, without a byte changed.

Law: names first, then Docker's store, then what is in a directory, because dockerd makes a volume's directory complete
before its entry and takes the directory away first. What is out of step is left as it was for SETTLING seconds: dockerd
is at work on it. What was read is kept until something is heard of it, because a host may have 10,000s of volumes.
"""

import logging
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from volfs.dockerroot.metadata import Record
from volfs.dockerroot.source import read_metadata, state_of
from volfs.driver.names import VolumeName, is_volume_name
from volfs.errors import HostError, NotFound, VolfsError
from volfs.observe.compare import Sight
from volfs.observe.containers import Containers
from volfs.observe.driver import ObservedDriver
from volfs.observe.watches import Watches
from volfs.volume.observe import described
from volfs.volume.volume import LOCAL, State, Volume

SETTLING = 1.0  # seconds; a second look after them is still within the two that a change may take to be seen

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Directory:
    """A volume's directory: which one it is, and when it last changed, in seconds since the epoch."""

    identity: str
    changed: float


class DockerRoot:
    """A Docker root and what is known of it. Calls must not overlap. `boot` is the kernel's boot id."""

    def __init__(self, driver: ObservedDriver, boot: str) -> None:
        self.driver = driver
        self.watches = Watches(driver.root)
        self._containers = Containers(driver.root / "containers", self.watches, boot)
        self._directories: dict[str, _Directory] = {}
        self._kept: dict[str, tuple[Record | None, Volume]] = {}
        self._mountable: list[str] = []  # volumes with options
        self._absent: dict[str, float] = {}
        self._store_state: object = None
        self._complaint = ""
        self._last: Sight | None = None
        self._settled = True
        self._scanned = 0.0

    def look(self, *, afresh: bool = False) -> Sight:
        """What there is now. `afresh`: without trust in having heard of every change."""
        self.watches.watch_root()
        heard = self.watches.hear()
        everything = afresh or heard.lost or not self.watches.whole
        for name in list(self._directories) if everything else heard.volumes:
            self._directories.pop(name, None)
        self._containers.doubt(None if everything else heard.containers)
        last = self._last
        if last is not None and last.there and last.settled and not everything and not heard.volumes:
            why, volumes = "", self._with_mounts(last.volumes)
        else:
            self._settled = True
            why = self._scan()
            if not why:
                self._read_store()
            volumes = dict(self._volumes())
        uses = self._containers.look(sorted(_names(self.driver.root / "containers")))
        references = {(name, one.reference.id): one.reference for one in uses for name in one.volumes}
        self._last = Sight(volumes, references, why, self._settled)
        return self._last

    # Names

    def _scan(self) -> str:
        """Brings the directories up to date; returns why Docker's volumes cannot be listed, "" where they can."""
        before, self._directories = self._directories, {}
        trusted, self._scanned = self._scanned - SETTLING, time.time()
        try:
            descriptor = _open_directory(self.driver.volumes)
        except OSError as error:
            return error.strerror or str(error)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    if is_volume_name(name) and entry.is_dir(follow_symlinks=False):
                        directory = before.get(name)
                        if directory is None or directory.changed >= trusted:
                            directory = _directory(descriptor, name)
                        if directory is not None:
                            self._directories[name] = directory
        finally:
            os.close(descriptor)
        return ""

    # Docker's store

    def _read_store(self) -> None:
        path = self.driver.volumes / "metadata.db"
        try:
            state = state_of(path)
            if state == self._store_state:
                return
            records, reading = read_metadata(path)
        except NotFound:
            self._store_state, self.driver.records = None, {}
            return
        except VolfsError as error:
            self._complain(str(error))
            return
        if any(finding.code == "bolt-changing" for finding in reading.findings):
            self._settled = False
            return
        found = {record.name: record for record in records}
        self._complain("; ".join(finding.text for finding in reading.findings))
        self.driver.records = {**self.driver.records, **found} if reading.findings else found
        self._store_state = state

    def _complain(self, why: str) -> None:
        if why and why != self._complaint:
            log.warning("Docker's store of volumes cannot be read whole", extra={"why": why})
        self._complaint = why

    # Volumes

    def _volumes(self) -> Iterator[tuple[str, Volume]]:
        now = time.time()
        kept, self._kept, self._mountable = self._kept, {}, []
        for name, directory in self._directories.items():
            record = self.driver.records.get(name)
            if record is not None and record.driver not in ("", LOCAL):
                continue
            volume = self._volume(name, directory, record, kept.get(name), now)
            if volume is not None:
                yield name, volume
        self._absent = {name: self._absent.get(name, now) for name in self._without_directory()}
        for name, since in self._absent.items():
            volume = self._missing(name, now < since + SETTLING)
            if volume is not None:
                yield name, volume

    def _with_mounts(self, volumes: Mapping[str, Volume]) -> Mapping[str, Volume]:
        """The same volumes, of which nothing was heard: only what Docker has mounted may be otherwise."""
        now = {name: self._as_mounted(self._kept[name][1]) for name in self._mountable}
        return {**volumes, **now} if any(volumes[name] != one for name, one in now.items()) else volumes

    def _as_mounted(self, volume: Volume) -> Volume:
        """A volume with options, whose data can be had only while Docker has it mounted."""
        if self.driver.can_show(volume.name, volume.options):
            return volume
        return msgspec.structs.replace(volume, state=State.UNMOUNTED)

    def _volume(
        self,
        name: str,
        directory: _Directory,
        record: Record | None,
        kept: tuple[Record | None, Volume] | None,
        now: float,
    ) -> Volume | None:
        young = directory.changed <= now < directory.changed + SETTLING  # a clock may have been set back
        if young:
            self._settled = False
        if kept is not None and not young and kept[0] == record and kept[1].identity == directory.identity:
            volume = kept[1]
        elif record is None and (young or not self._is_volume(name)):
            return None
        else:
            try:
                description = self.driver.describe(name)
            except (NotFound, HostError):  # it has gone since its name was read: the next look says what that means
                self._settled = False
                return self._last.volumes.get(name) if self._last is not None else None
            volume = described(VolumeName(name), description)
            volume = msgspec.structs.replace(volume, identity=directory.identity)
        if volume.state is State.OK:
            self._kept[name] = record, volume
            if volume.options and volume.source is not None:
                self._mountable.append(name)
                return self._as_mounted(volume)
        return volume

    def _is_volume(self, name: str) -> bool:
        """Whether a dockerd that starts would take a directory without an entry for a volume."""
        place = self.driver.volumes / name
        return any(os.path.lexists(place / one) for one in ("_data", "opts.json"))

    def _without_directory(self) -> Iterator[str]:
        for name, record in self.driver.records.items():
            if name not in self._directories and record.driver in ("", LOCAL) and is_volume_name(name):
                yield name

    def _missing(self, name: str, young: bool) -> Volume | None:
        """A volume whose directory is not there; as it was while that is `young`, but not at the first look."""
        if young and self._last is not None:
            self._settled = False
            return self._last.volumes.get(name)
        record = self.driver.records[name]
        return Volume(VolumeName(name), 0, 0, options=record.options, labels=record.labels, state=State.MISSING)


def _directory(parent: int, name: str) -> _Directory | None:
    with suppress(OSError):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return _Directory(f"{status.st_ino}.{status.st_ctime_ns}", status.st_ctime)
    return None


def _names(path: Path) -> list[str]:
    """The names of the directories in a directory; none where it is not there."""
    try:
        descriptor = _open_directory(path)
    except OSError:
        return []
    try:
        with os.scandir(descriptor) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    finally:
        os.close(descriptor)


def _open_directory(path: Path) -> int:
    """A descriptor to list a directory by, which leaves its access time alone where the kernel allows that."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:  # open(2): O_NOATIME is for the owner and for root
        return os.open(path, flags)
