"""Parts of volumes: found inside of the volume by the kernel, and bound to a place where nobody can change them.

    ROOT/container-mounts/   0701
      ID/                    0701  a container
        DIGEST                     a bind: one for each volume and subpath

Law: what openat2(2) found in one call, which cannot leave the volume, is what is bound; no name is looked up again, so
that a symlink that is swapped in at the wrong moment leads nowhere. The places are ours alone, and nothing in them is
ever deleted but empty directories and empty files that lie under our own binds. Blocks; calls for one container must
not overlap. Docker's `safe-mount` places go with its daemon; these stay as long as their container has its volumes.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from volfs.errors import HostError
from volfs.mount.syscalls import bind, detach, is_mount_root, open_beneath

_MODE = 0o701  # as ROOT/volumes: who has the name may pass, nobody may look


class Subpaths:
    """The places of a root."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "container-mounts"

    def place(self, container: str, volume: str, subpath: str) -> Path:
        """Where a part of a volume is bound for a container."""
        digest = hashlib.sha256(f"{volume}\0{subpath}".encode(errors="surrogateescape")).hexdigest()
        return self._directory / container / digest[:32]

    def bind(self, place: Path, mountpoint: str, subpath: str, *, follow: bool) -> None:
        """Binds the part of the volume at `mountpoint` to its `place`; fine when it is there already.

        With `follow` the mountpoint itself may be a symlink. Raises OSError, ENOTSUP for what can be no source.
        """
        base = os.open(mountpoint, os.O_PATH | os.O_DIRECTORY | (0 if follow else os.O_NOFOLLOW))
        try:
            found = open_beneath(base, subpath)
        finally:
            os.close(base)
        try:
            self._bind(found, place)
        finally:
            os.close(found)

    def _bind(self, found: int, place: Path) -> None:
        status = os.fstat(found)
        if _is_bound(place, status):
            return
        self.remove(place)
        for directory in (self._directory, place.parent):
            directory.mkdir(_MODE, exist_ok=True)
            directory.chmod(_MODE)
        if stat.S_ISDIR(status.st_mode):
            place.mkdir(0o700)
        elif stat.S_ISREG(status.st_mode) or stat.S_ISSOCK(status.st_mode):
            place.touch(0o600)
        else:
            raise OSError(errno.ENOTSUP, "neither a directory nor a file nor a socket", str(place))
        try:
            bind(found, str(place), nosuid=False, nodev=False)
        except OSError:
            with suppress(OSError):
                self.remove(place)
            raise

    def remove(self, place: Path) -> None:
        """Takes a bind and its place away; fine when it is not there."""
        while detach(str(place)):
            pass
        try:
            place.rmdir()
        except NotADirectoryError:
            place.unlink()
        except FileNotFoundError:
            return
        with suppress(OSError):  # others are in it
            place.parent.rmdir()

    def keep_only(self, container: str, places: Collection[Path]) -> None:
        """Takes away what else is bound for a container, all that can be. Raises HostError where something stays."""
        directory = self._directory / container
        failed: list[OSError] = []
        for place in _entries(directory):
            if place not in places:
                try:
                    self.remove(place)
                except OSError as error:
                    failed.append(error)
        with suppress(OSError):  # there is something in it, or it is gone
            directory.rmdir()
        if failed:
            raise HostError(f"{directory} cannot be cleared: {failed[0].strerror}", failed[0].errno)

    def containers(self) -> list[str]:
        """The ids of those that have a directory here."""
        return [directory.name for directory in _entries(self._directory)]


def _entries(directory: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from sorted(directory.iterdir())


def _is_bound(place: Path, status: os.stat_result) -> bool:
    """Whether just this file or directory is bound there."""
    try:
        if not is_mount_root(str(place)):
            return False
        there = place.stat()
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino)
