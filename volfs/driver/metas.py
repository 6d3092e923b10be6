"""meta.json for many directories at once that have none: those of Docker's volumes.

    ROOT/volumes/.creating-HEX/NAME   while it is being written; in NAME itself only where that is another file system
    .meta.json.new

Law: a directory that describes itself keeps its word. A meta.json is whole or not there, and all of them are durable
when `write_metas` returns: two syncs of the file system, however many there are. Nothing else in a volume is touched,
and nothing is made in one before its meta.json: its times say when the volume was made.
"""

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from volfs.driver.record import Description, meta_text
from volfs.driver.sweep import DIRECTORY, sweep_tree
from volfs.errors import HostError, Invalid
from volfs.mount.syscalls import sync_file_system

META, _NEW, _WORK = "meta.json", ".meta.json.new", ".creating-"


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
    new = [one for one in wanted if _attempt(result, one.name, partial(_has_none, volumes / one.name))]
    if not new:
        return result
    systems: dict[int, int] = {}
    try:
        with _workplace(volumes) as work:
            new = [one for one in new if _attempt(result, one.name, partial(_write, volumes / one.name, one, work))]
            sync_file_system(work)
            show = partial(_show, volumes, work, systems)
            result.names = [one.name for one in new if _attempt(result, one.name, partial(show, one.name))]
            for descriptor in systems.values():
                sync_file_system(descriptor)
    except OSError as error:
        result.failed.update({one.name: str(error.strerror) for one in new if one.name not in result.failed})
        result.names = []
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
        _put(meta_text(description), _NEW, directory)
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


@contextmanager
def _workplace(volumes: Path) -> Iterator[int]:
    """A directory out of sight, which every restore sweeps."""
    parent = os.open(volumes, DIRECTORY)
    try:
        name = _WORK + secrets.token_hex(8)
        os.mkdir(name, 0o700, dir_fd=parent)
        work = os.open(name, DIRECTORY, dir_fd=parent)
        try:
            yield work
        finally:
            os.close(work)
            with suppress(HostError):
                sweep_tree(parent, name)
    finally:
        os.close(parent)


def _has_none(path: Path) -> bool:
    directory = os.open(path, DIRECTORY)
    try:
        return not _is_there(META, directory)
    finally:
        os.close(directory)


def _write(path: Path, wanted: Wanted, work: int) -> bool:
    directory = os.open(path, DIRECTORY)
    try:
        text = meta_text(Description(created(directory), "local", wanted.labels, wanted.options))
    finally:
        os.close(directory)
    _put(text, wanted.name, work)
    return True


def _put(text: bytes, name: str, directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    with open(descriptor, "wb") as file:
        file.write(text)


def _show(volumes: Path, work: int, systems: dict[int, int], name: str) -> bool:
    directory = os.open(volumes / name, DIRECTORY)
    try:
        device = os.fstat(directory).st_dev
        if device not in systems:
            systems[device] = os.dup(directory)
        try:
            os.rename(name, META, src_dir_fd=work, dst_dir_fd=directory)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _carry_over(name, work, directory)
        return True
    finally:
        os.close(directory)


def _carry_over(name: str, work: int, directory: int) -> None:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=work), "rb") as file:
        _put(file.read(), _NEW, directory)
    sync_file_system(directory)
    os.rename(_NEW, META, src_dir_fd=directory, dst_dir_fd=directory)


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
