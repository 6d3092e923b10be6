"""The directory that all volumes of a root are in, and each volume's own in it: named, opened, and nothing else.

Law: a symlink is never followed out of ROOT; what the host refuses is a HostError that says to which volume.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volfs.driver.directory import DATA
from volfs.driver.names import is_volume_name, parse_volume_name
from volfs.driver.sweep import DIRECTORY
from volfs.errors import HostError, NotFound


class Root:
    """One `root`. `volumes` is the directory of its volumes as the kernel's mount table writes it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.volumes = (self.root / "volumes").resolve()
        self._within = f"{self.volumes}/"  # a path is joined so in a fifth of the time, for each volume of a list

    def mountpoint(self, name: str) -> str:
        """Where a container finds the data, mounted or not."""
        return f"{self._within}{parse_volume_name(name)}/{DATA}"

    def changed(self) -> int:
        """When a volume last appeared or disappeared, in seconds since the epoch."""
        with host_errors(f"the volumes in {self.root} cannot be looked at"):
            return int(self.volumes.stat().st_mtime)

    def exists(self, name: str) -> bool:
        """Whether there is a real directory for `name`."""
        if not is_volume_name(name):
            return False
        with host_errors(f"volume {name} cannot be looked up"):
            try:
                return stat.S_ISDIR(os.lstat(self.volumes / name).st_mode)
            except (FileNotFoundError, NotADirectoryError):
                return False

    @contextmanager
    def _open_volumes(self) -> Iterator[int]:
        descriptor = os.open(self.volumes, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _open(self, name: str) -> Iterator[int]:
        """The volume's own directory; raises NotFound where no real directory has the name."""
        try:
            descriptor = os.open(self.volumes / parse_volume_name(name), DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            raise not_found(name) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def not_found(name: str) -> NotFound:
    """What to raise for a volume without a directory."""
    return NotFound(f"volume {name} not found: it has no directory")


@contextmanager
def host_errors(what: str) -> Iterator[None]:
    """Turns what the host refuses into HostError; FileExistsError is an answer and passes."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise HostError(f"{what}: {error.strerror}", error.errno) from error
