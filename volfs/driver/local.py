"""Docker's local driver: a volume is a directory, and its options may have something mounted on it.

    ROOT/volumes/             0701
      NAME/                   0701  the volume
        _data/                0755  its data
        opts.json meta.json   0600  what it says about itself (volfs.driver.record)
      .creating-…             being built, nobody's yet
      .removing-SERIAL        nobody's any more, to be swept
      .importing-…            somebody's while it is locked (volfs.driver.importing)
      .publishing-…           there while what was imported gets its names

Law: a volume comes and goes with one rename, synced before anybody is told; or (`make`, `set_aside`) it is known
by an identity, of which somebody makes a durable record first. Nothing is deleted before nobody can find it any more,
nothing is taken from under a mount, and a symlink is never followed out of ROOT. Everything here blocks; calls for one
name must not overlap.
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

from volfs.driver import directory, importing
from volfs.driver.measure import Measure, measure_tree
from volfs.driver.mounts import Mounts
from volfs.driver.names import parse_volume_name, quoted, volume_names
from volfs.driver.options import check
from volfs.driver.record import Description, read_record
from volfs.driver.root import host_errors, not_found
from volfs.driver.sweep import DIRECTORY, sweep_tree
from volfs.errors import HostError, InUse, Invalid, NotFound
from volfs.mount import syscalls

__all__ = ["Aside", "Description", "LocalDriver", "Scan"]

_CREATING = ".creating-"
_REMOVING = ".removing-"
SYNCED_SINGLY = 50  # volumes; for more, one sync of the file system takes less time than theirs
_NOT_VOLUMES = ("metadata.", "backingFsBlockDev", ".")


@dataclass(frozen=True)
class Scan:
    """What lies in ROOT/volumes: names in any order, since sorting takes as long as reading them; the rest in order."""

    names: list[str]
    work: list[str]  # left by a crash: to be swept
    ignored: list[str]  # what somebody may have meant as a volume, and that is none
    publishing: tuple[str, ...] = ()  # imports that were cut off: to be taken back


class Aside(NamedTuple):
    """A volume taken away: the work left for `sweep`, and the identity of the directory ("": all is durable)."""

    work: str
    identity: str


class LocalDriver(Mounts):
    """The volumes of one `root`. `volumes` is their directory as the kernel's mount table writes it."""

    name = "local"
    scope = "local"

    def prepare(self) -> None:
        """Makes the root where it is missing; raises HostError, saying what to do, where it cannot be used."""
        with host_errors(f"the root {self.root} cannot be used"):
            _make_directory(self.root, 0o711)
            _make_directory(self.volumes, 0o701)
            if stat.S_IMODE(self.volumes.stat().st_mode) != 0o701:
                self.volumes.chmod(0o701)
            if not os.access(self.volumes, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "volumes is not writable", str(self.volumes))

    def scan(self) -> Scan:
        """Reads the directory once; no volume is opened, so that a million of them cost seconds."""
        directories, others = list[str](), list[str]()
        with host_errors(f"the volumes in {self.root} cannot be listed"), os.scandir(self.volumes) as entries:
            for entry in entries:
                (directories if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
        names, strangers = volume_names(directories)
        others += strangers
        work = [name for name in others if name.startswith((_CREATING, _REMOVING))]
        imports = [name for name in others if name.startswith(importing.PREFIX)]
        if imports:
            with self._open_volumes() as volumes:
                work.extend(name for name in imports if importing.abandoned(name, volumes))
        ignored = sorted(name for name in others if not name.startswith(_NOT_VOLUMES))
        publishing = tuple(sorted(name for name in others if name.startswith(importing.PUBLISHING)))
        return Scan(names, sorted(work), ignored, publishing)

    def check_writable(self) -> None:
        """Raises Invalid where volumes are only looked at: then nobody makes or removes one here."""

    def can_show(self, name: str, options: Mapping[str, str] | None) -> bool:  # noqa: ARG002
        """Whether the data can be had: yes, what the options say is mounted when somebody needs it."""
        return True

    def create(self, name: str, description: Description) -> None:
        """Makes a volume, which is there complete or not at all, and durable when this returns.

        Raises Invalid for options that `check` refuses, FileExistsError where `name` is taken by anything, HostError.
        """
        self._create(name, description, durable=True)

    def make(self, name: str, description: Description) -> str:
        """Makes a volume with nothing synced, for whoever makes a record of it durable; `seal` does the rest later.

        Returns the identity of the directory; "", and all of it is durable, where the file system knows none.
        Raises as `create`.
        """
        return self._create(name, description, durable=False)

    def seal(self, names: Sequence[str]) -> None:
        """Makes the directories of volumes durable, and every name that was given or taken away. Raises HostError.

        One that is not there is fine: it was removed meanwhile.
        """
        with host_errors("volumes cannot be made durable"), self._open_volumes() as volumes:
            for name in names:
                with suppress(FileNotFoundError, NotFound):
                    if syscalls.is_mount_root(name, dir_fd=volumes):
                        continue  # somebody's own file system, which may hang
                    with self._open(name) as opened:
                        directory.unmark(opened) if len(names) > SYNCED_SINGLY else directory.seal(opened)
            if len(names) > SYNCED_SINGLY:
                syscalls.sync_file_system(volumes)
            os.fsync(volumes)

    def complete(self, name: str, description: Description) -> bool:
        """Puts back what a power cut took out of a volume that was not sealed yet; returns whether it took anything.

        Raises HostError.
        """
        with host_errors(f"volume {name} cannot be completed"):
            try:
                with self._open(name) as opened:
                    return directory.complete(opened, description)
            except NotFound:
                self.create(name, description)
                return True

    def identity(self, name: str) -> str:
        """What tells the directory from others that have, or had, its name; "" where there is none, or none known."""
        with suppress(NotFound), host_errors(f"volume {name} cannot be read"), self._open(name) as opened:
            return directory.identity(opened)
        return ""

    def discard_unfinished(self, name: str) -> bool:
        """Whether this is the rest of a `make` that a power cut ended, before anybody was answered: then it goes."""
        with suppress(NotFound), host_errors(f"{name} cannot be deleted"), self._open_volumes() as volumes:
            with self._open(name) as opened:
                if not directory.is_unfinished(opened):
                    return False
            sweep_tree(volumes, name)
            return True
        return False

    def _create(self, name: str, description: Description, *, durable: bool) -> str:
        parse_volume_name(name)
        check(description.options or {})
        work = _CREATING + secrets.token_hex(8)
        with host_errors(f"volume {name} cannot be created"), self._open_volumes() as volumes:
            _refuse_taken(name, volumes)
            try:
                identity = directory.build(work, volumes, description)
                if durable or not identity:
                    _seal(work, volumes)
                    _show(work, name, volumes)
                else:
                    syscalls.rename_to_new(work, name, dir_fd=volumes)
            except BaseException:
                with suppress(OSError, HostError):
                    sweep_tree(volumes, work)
                raise
        return identity

    def are_shown(self, parts: Sequence[importing.Part]) -> list[bool]:
        """Which parts of an import have their names already."""
        with host_errors("what was imported cannot be looked at"), self._open_volumes() as volumes:
            return [importing.is_shown(part, volumes) for part in parts]

    def show(self, work: str, parts: Sequence[importing.Part]) -> None:
        """Gives imported volumes their names; raises FileExistsError where one is taken, NotFound, HostError."""
        with host_errors("what was imported cannot be shown"), self._open_volumes() as volumes:
            importing.show(work, parts, volumes)

    def take_back(self, publishing: str, known: Callable[[str], bool]) -> None:
        """Undoes a `show` that was cut off, unless one of the volumes is `known` already. Raises HostError."""
        with host_errors("what was imported cannot be taken back"), self._open_volumes() as volumes:
            importing.take_back(publishing, volumes, known)

    def describe(self, name: str) -> Description:
        """Reads what the directory says about itself; raises NotFound where there is no directory."""
        with host_errors(f"volume {name} cannot be read"), self._open(name) as opened:
            return read_record(opened)

    def remove(self, name: str, serial: int) -> str:
        """Takes the volume away for good and returns the name of the work that is left for `sweep`.

        Raises InUse, with nothing touched, where anything is mounted at the volume or in it; NotFound.
        """
        work = self.set_aside(name, serial).work
        self.seal(())
        return work

    def set_aside(self, name: str, serial: int) -> Aside:
        """The same with nothing synced, for whoever makes a record of it durable; `seal` does the rest later."""
        with host_errors(f"volume {name} cannot be removed"), self._open_volumes() as volumes:
            self.refuse_mounted(name)  # first: what is mounted at the volume itself may hang
            with self._open(name) as opened:
                identity = directory.identity(opened)
            try:
                work = _set_aside(name, serial, volumes)
            except FileNotFoundError:
                raise not_found(name) from None
            if not identity:
                os.fsync(volumes)
            return Aside(work, identity)

    def put_back(self, work: str, name: str) -> None:
        """Gives a volume that `remove` took away its name again. Raises HostError, FileExistsError."""
        with host_errors(f"volume {name} cannot be put back from {work}"), self._open_volumes() as volumes:
            syscalls.rename_to_new(work, parse_volume_name(name), dir_fd=volumes)

    def sweep(self, work: str) -> None:
        """Finishes what `create` or `remove` left: deletes one of `Scan.work`. Fine when it is gone, or half done.

        Raises HostError where it stops, at a mount for one.
        """
        if "/" in work or "\0" in work or not work.startswith((_CREATING, _REMOVING, importing.PREFIX)):
            raise Invalid(f"{quoted(work)} is no work in progress")
        with (
            host_errors(f"{work} cannot be deleted"),
            self._open_volumes() as volumes,
            importing.unless_locked(work, volumes) as free,
        ):
            if free:
                sweep_tree(volumes, work)

    def measure(self, name: str, total: Measure | None = None, *, mounted: bool = False) -> Measure:
        """What is in the data, hard links counted once; with `mounted`, in what is mounted there; no other mount.

        A `total` that is given grows meanwhile. Raises NotFound, HostError.
        """
        total = total or Measure()
        with host_errors(f"volume {name} cannot be measured"), self._open(name) as opened:
            measure_tree(opened, directory.DATA, total, mounted=mounted)
        return total


def _refuse_taken(name: str, volumes: int) -> None:
    with suppress(FileNotFoundError):
        syscalls.is_mount_root(name, dir_fd=volumes)  # what somebody mounted there may hang: it is not asked
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _seal(work: str, volumes: int) -> None:
    descriptor = os.open(work, DIRECTORY, dir_fd=volumes)
    try:
        directory.seal(descriptor)
    finally:
        os.close(descriptor)


def _show(work: str, name: str, volumes: int) -> None:
    """Gives a complete volume its name, for good; where that cannot be made durable, it is `work` again."""
    syscalls.rename_to_new(work, name, dir_fd=volumes)
    try:
        os.fsync(volumes)
    except BaseException:
        syscalls.rename_to_new(name, work, dir_fd=volumes)
        raise


def _make_directory(path: Path, mode: int) -> None:
    try:
        path.mkdir(mode, parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{path} is a file", str(path)) from None


def _set_aside(name: str, serial: int, volumes: int) -> str:
    """Renames a volume out of sight, over nothing: a store that was rebuilt may give a serial again."""
    for attempt in count():
        work = f"{_REMOVING}{serial}" + (f".{attempt}" if attempt else "")
        try:
            syscalls.rename_to_new(name, work, dir_fd=volumes)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise InUse(f"volume {name} is in use: something is mounted at it") from None
            raise
        break
    return work
