"""meta.json for many directories at once that have none: those of Docker's volumes.

    .meta.json.new   while it is being written

Law: a directory that describes itself keeps its word. A meta.json is whole or not there, and all of them are durable
when `write_metas` returns: two syncs of the file system, however many there are. Nothing else in a volume is touched.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from volfs.driver.record import Description, meta_text
from volfs.driver.sweep import DIRECTORY
from volfs.errors import Invalid
from volfs.mount.syscalls import sync_file_system

META, _NEW = "meta.json", ".meta.json.new"


@dataclass(frozen=True)
class Wanted:
    """What a volume's meta.json is to say; its creation time is that of its directory."""

    name: str
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None


@dataclass
class Written:
    """The names of volumes that have a meta.json now, and why others could not be given one."""

    names: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def write_metas(volumes: Path, wanted: Iterable[Wanted]) -> Written:
    """Gives each directory a meta.json that has none. A directory that cannot have one is no failure of the others."""
    result = Written()
    systems: dict[int, int] = {}
    try:
        new = [
            one.name for one in wanted if _attempt(result, one.name, partial(_write, volumes / one.name, one, systems))
        ]
        _sync(systems)
        result.names = [name for name in new if _attempt(result, name, partial(_show, volumes / name))]
        _sync(systems)
    finally:
        for descriptor in systems.values():
            os.close(descriptor)
    return result


def write_meta(path: Path, description: Description, aside: str) -> bool:
    """Writes one directory's meta.json, durable when this returns; one that is there is kept as `aside`.

    Returns whether there was one. Raises OSError, Invalid.
    """
    directory = os.open(path, DIRECTORY)
    try:
        _put(meta_text(description), directory)
        there = _is_there(META, directory)
        if there:
            os.rename(META, aside, src_dir_fd=directory, dst_dir_fd=directory)
        os.rename(_NEW, META, src_dir_fd=directory, dst_dir_fd=directory)
        sync_file_system(directory)
        return there
    finally:
        os.close(directory)


def created(directory: int) -> int:
    """When a volume was made, in seconds since the epoch.

    Docker takes the ctime of its directory, which is that of the copy where it was copied. Its mtime is of the same
    moment, because nothing is made in it later, and goes with a copy.
    """
    status = os.fstat(directory)
    return int(min(status.st_ctime, status.st_mtime))


def _write(path: Path, wanted: Wanted, systems: dict[int, int]) -> bool:
    directory = os.open(path, DIRECTORY)
    try:
        if _is_there(META, directory):
            return False
        _put(meta_text(Description(created(directory), "local", wanted.labels, wanted.options)), directory)
        device = os.fstat(directory).st_dev
        if device not in systems:
            systems[device] = os.dup(directory)
        return True
    finally:
        os.close(directory)


def _put(text: bytes, directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_NEW, dir_fd=directory)
    descriptor = os.open(_NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    with open(descriptor, "wb") as file:
        file.write(text)


def _show(path: Path) -> bool:
    directory = os.open(path, DIRECTORY)
    try:
        os.rename(_NEW, META, src_dir_fd=directory, dst_dir_fd=directory)
        return True
    finally:
        os.close(directory)


def _attempt(result: Written, name: str, step: Callable[[], bool]) -> bool:
    try:
        return step()
    except (Invalid, OSError) as error:
        result.failed[name] = str(error.strerror if isinstance(error, OSError) else error)
        return False


def _is_there(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _sync(systems: dict[int, int]) -> None:
    for descriptor in systems.values():
        sync_file_system(descriptor)
