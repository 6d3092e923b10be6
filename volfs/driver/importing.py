"""Volumes that are being imported: made by whoever imports them, out of sight, and shown by the daemon all at once.

    ROOT/volumes/.importing-HEX/   0700  flock(2)ed as long as anybody writes in it
      N/                           0701  the N-th volume, `_data` in it; what it says about itself is written last
    ROOT/volumes/.publishing-HEX   0600  there while its volumes get their names: what they are, as JSON

Law: a directory that is locked is left alone by every sweep, so that a daemon may start in the middle of an import; one
that nobody has locked is swept. Parts are shown with a rename each, all or none, and what was shown before is known
by its inode: asked again, nothing is done again.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from volfs.driver.names import parse_volume_name
from volfs.driver.record import Description, read_file, write_file, write_record
from volfs.driver.sweep import DIRECTORY, sweep_tree
from volfs.errors import HostError, Invalid, NotFound
from volfs.mount import syscalls

PREFIX = ".importing-"
PUBLISHING = ".publishing-"
_WORK = re.compile(r"\.importing-[0-9a-f]{16}")
_PART = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Part:
    """A volume to be shown: `source` is its directory in the work directory, known by `inode`."""

    source: str
    inode: int
    name: str
    description: Description


@dataclass(frozen=True)
class Workplace:
    """A work directory of ours and the descriptor that has it locked."""

    name: str
    path: Path
    lock: int

    def new_part(self, source: str) -> Path:
        """Makes the directory of a volume and returns that of its data. Raises HostError."""
        data = self.path / source / "_data"
        with _host_errors(self.path):
            data.mkdir(parents=True)
            data.parent.chmod(0o701)
            data.chmod(0o755)
        return data

    def new_directory(self, name: str) -> Path:
        """Makes a directory that is no volume. Raises HostError."""
        with _host_errors(self.path):
            (self.path / name).mkdir()
        return self.path / name

    def sync(self) -> None:
        """Everything written here is durable when this returns. Raises HostError."""
        with _host_errors(self.path):
            syscalls.sync_file_system(self.lock)


@contextmanager
def workplace(volumes: Path) -> Iterator[Workplace]:
    """Makes a work directory, and deletes what is left in it when the block ends. Raises HostError."""
    with _host_errors(volumes):
        parent = os.open(volumes, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _host_errors(volumes):
            name, lock = _make(parent)
        try:
            yield Workplace(name, volumes / name, lock)
        finally:
            try:
                sweep_tree(parent, name)
            finally:
                os.close(lock)
    finally:
        os.close(parent)


@contextmanager
def unless_locked(name: str, volumes: int) -> Iterator[bool]:
    """Whether nobody has this work directory locked; if so, it is locked for the block."""
    try:
        descriptor = os.open(name, DIRECTORY, dir_fd=volumes)
    except OSError:
        yield True  # gone, or none of ours
        return
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def abandoned(name: str, volumes: int) -> bool:
    """Whether nobody works in this directory any more."""
    with unless_locked(name, volumes) as free:
        return free


def is_shown(part: Part, volumes: int) -> bool:
    """Whether the part has its name already."""
    try:
        return os.stat(part.name, dir_fd=volumes, follow_symlinks=False).st_ino == part.inode
    except FileNotFoundError:
        return False


def show(work: str, parts: Sequence[Part], volumes: int) -> None:
    """Gives complete volumes their names, durably: all of them or none. Raises FileExistsError, NotFound."""
    if not _WORK.fullmatch(work) or not all(_PART.fullmatch(part.source) for part in parts):
        raise Invalid("this is no import in progress")
    waiting = [part for part in parts if not is_shown(part, volumes)]
    if not waiting:
        return
    for part in waiting:
        _describe(f"{work}/{part.source}", part, volumes)
    note = PUBLISHING + work.removeprefix(PREFIX)
    _write_note(note, waiting, volumes)
    moved: list[Part] = []
    try:
        for part in waiting:
            syscalls.rename_to_new(f"{work}/{part.source}", part.name, dir_fd=volumes)
            moved.append(part)
        os.fsync(volumes)
    except BaseException:
        _hide(work, moved, volumes)
        os.unlink(note, dir_fd=volumes)
        raise
    os.unlink(note, dir_fd=volumes)
    os.fsync(volumes)  # before anybody is told: what is removed later was not cut off


def take_back(note: str, volumes: int, known: Callable[[str], bool]) -> None:
    """Hides what was cut off in the middle of being shown: where its importer waits, for that one to ask again.

    Volumes that are `known` are somebody's by now, as those are that came with them. Raises FileExistsError.
    """
    work = PREFIX + note.removeprefix(PUBLISHING)
    parts = _read_note(note, volumes)
    shown = [part for part in parts if is_shown(part, volumes)]
    if len(shown) < len(parts) and not any(known(part.name) for part in shown):
        with suppress(FileExistsError):  # its importer is there, or it is not
            os.mkdir(work, 0o700, dir_fd=volumes)
        _hide(work, shown, volumes)
        os.fsync(volumes)
    os.unlink(note, dir_fd=volumes)
    os.fsync(volumes)


def _hide(work: str, parts: Sequence[Part], volumes: int) -> None:
    for part in parts:
        syscalls.rename_to_new(part.name, f"{work}/{part.source}", dir_fd=volumes)


def _write_note(note: str, parts: Sequence[Part], volumes: int) -> None:
    write_file(note, msgspec.json.encode([(part.source, part.inode, part.name) for part in parts]), volumes)
    os.fsync(volumes)


def _read_note(note: str, volumes: int) -> list[Part]:
    """Nothing was shown yet of one that is not whole; what is none of ours shows nothing either."""
    try:
        rows = msgspec.json.decode(read_file(note, volumes) or b"", type=list[tuple[str, int, str]])
        parts = [Part(source, inode, parse_volume_name(name), Description(0)) for source, inode, name in rows]
    except (msgspec.MsgspecError, Invalid, RecursionError):
        return []
    return parts if all(_PART.fullmatch(part.source) for part in parts) else []


def _make(parent: int) -> tuple[str, int]:
    """A new work directory, locked; a daemon that starts may delete it before it is, then there is another."""
    while True:
        name = PREFIX + secrets.token_hex(8)
        os.mkdir(name, 0o700, dir_fd=parent)
        with suppress(FileNotFoundError):
            lock = os.open(name, DIRECTORY, dir_fd=parent)
            if _locked(lock) and _is(lock, name, parent):
                return name, lock
            os.close(lock)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(descriptor: int, name: str, parent: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextmanager
def _host_errors(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{where} cannot be written: {error.strerror}", error.errno) from error


def _describe(path: str, part: Part, volumes: int) -> None:
    try:
        directory = os.open(path, DIRECTORY, dir_fd=volumes)
    except FileNotFoundError:
        raise NotFound(f"import {part.name}: its directory in progress has gone") from None
    try:
        if os.fstat(directory).st_ino != part.inode:
            raise Invalid(f"import {part.name}: its directory in progress is another one")
        for name in ("opts.json", "meta.json"):  # of a daemon that died before the rename
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
        write_record(directory, part.description)
        os.fsync(directory)
    finally:
        os.close(directory)
