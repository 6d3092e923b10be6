"""The files of a Docker data root, read whole while a dockerd may be writing them.

Law: reads only; no symlink is followed, no fifo waited for, no file larger than LARGEST taken in, and where the kernel
allows it not even an access time is changed. dockerd's lock on its metadata.db (flock) does not hinder reading.
"""

import errno
import os
import stat
from pathlib import Path

from volfs.dockerroot import bolt, metadata
from volfs.errors import HostError, Invalid, NotFound
from volfs.findings import Finding

LARGEST = 1 << 30
TRIES = 20  # copying 4 MB takes about half a millisecond; dockerd at its fastest changes its file in every 0.8 ms
_CHANGING = Finding(
    "bolt-changing", "the file was changed whenever it was read: what was read may be of several moments"
)


def read_metadata(path: Path) -> tuple[list[metadata.Record], bolt.Reading]:
    """What a metadata.db says at one moment. Raises NotFound, HostError, and Invalid for what is no regular file."""
    descriptor = _open(path)
    try:
        for _ in range(TRIES):
            copy = _copy(descriptor, path)
            now = bolt.newest_transaction(os.pread(descriptor, bolt.BEGINNING, 0))
            if now == bolt.newest_transaction(copy):
                return metadata.read(copy)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", error.errno) from error
    finally:
        os.close(descriptor)
    records, reading = metadata.read(copy)
    return records, bolt.Reading(reading.pairs, (*reading.findings, _CHANGING), reading.transaction)


def state_of(path: Path) -> tuple[int, int, int | None]:
    """What tells one state of a metadata.db from another: the file, and its newest transaction. Raises as above."""
    descriptor = _open(path)
    try:
        found = os.fstat(descriptor)
        beginning = os.pread(descriptor, bolt.BEGINNING, 0) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", error.errno) from error
    finally:
        os.close(descriptor)
    return found.st_dev, found.st_ino, bolt.newest_transaction(beginning)


def read_text(path: Path) -> bytes:
    """A small file, such as a container's config.v2.json. Raises as `read_metadata` does."""
    descriptor = _open(path)
    try:
        return _copy(descriptor, path)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", error.errno) from error
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        try:
            return os.open(path, flags | os.O_NOATIME)
        except PermissionError:  # open(2): O_NOATIME is for the owner of a file and for root
            return os.open(path, flags)
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Invalid(f"{path} is a symlink where Docker keeps a file") from None
        raise HostError(f"{path}: {error.strerror}", error.errno) from error


def _copy(descriptor: int, path: Path) -> bytes:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise Invalid(f"{path} is not a regular file")
    if found.st_size > LARGEST:
        raise Invalid(f"{path} is larger than {LARGEST} bytes")
    parts, position = [], 0
    while position < found.st_size and (part := os.pread(descriptor, found.st_size - position, position)):
        parts.append(part)
        position += len(part)
    return b"".join(parts)
