"""Docker's volumes as the local driver's hands see them, with their own hands bound.

Law: what would change something is refused with one line, except what a running view does by itself: that does nothing.
What a volume is, its directory and Docker's store say together: options are those of opts.json.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from volfs.dockerroot.metadata import Record
from volfs.dockerroot.source import read_text
from volfs.driver.local import Description, LocalDriver
from volfs.driver.options import mount_source
from volfs.driver.record import agreed_options
from volfs.driver.root import not_found
from volfs.errors import HostError, Invalid, NotFound, Unavailable, VolfsError
from volfs.mount.syscalls import is_mount_root, read_only_copy

_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ObservedDriver(LocalDriver):
    """The volumes of a Docker root. `records` is what Docker's store said of them last."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.records: Mapping[str, Record] = {}

    def prepare(self) -> None:
        """Nothing: the root is Docker's."""

    def check_writable(self) -> NoReturn:
        """Raises Invalid."""
        raise Invalid(f"this volfs observes {self.root}: change volumes with docker")

    def can_show(self, name: str, options: Mapping[str, str] | None) -> bool:
        """Whether what the options say is mounted; without any, the directory has the data."""
        if mount_source(options) is None:
            return True
        with suppress(OSError, VolfsError):
            return is_mount_root(self.mountpoint(name))
        return False

    def changed(self) -> int:
        """When a volume last appeared or disappeared; 0 while the root is not there."""
        with suppress(HostError):
            return super().changed()
        return 0

    def describe(self, name: str) -> Description:
        """What the directory and Docker's store say. Raises NotFound where there is no directory, HostError."""
        record = self.records.get(name) or Record(name)
        with self._look_into(name) as directory:
            created = int(os.fstat(directory).st_ctime)
            try:
                options = agreed_options(_opts_json(directory), record.options)
            except (Invalid, HostError) as error:
                return Description(created, "local", record.labels, record.options, f"opts.json: {error}")
            return Description(created, "local", record.labels, options)

    def mount(self, name: str, options: Mapping[str, str] | None) -> str:
        """Sees whether the data is there: Docker mounts, nobody else. Raises NotFound, Unavailable."""
        with self._look_into(name) as directory:
            try:
                data = os.open("_data", _PATH, dir_fd=directory)
            except OSError as error:
                raise NotFound(f"volume {name} has no _data directory: {error.strerror}") from None
            try:
                if mount_source(options) is not None and not is_mount_root("", dir_fd=data):
                    raise Unavailable(f"volume {name} is not mounted now")
            finally:
                os.close(data)
        return self.mountpoint(name)

    def unmount(self, name: str) -> None:
        """Nothing: what Docker has mounted is Docker's."""

    def create(self, name: str, description: Description) -> None:  # noqa: ARG002
        """Refused."""
        self.check_writable()

    def remove(self, name: str, serial: int) -> str:  # noqa: ARG002
        """Refused."""
        self.check_writable()

    def release(self, name: str) -> None:  # noqa: ARG002
        """Refused."""
        self.check_writable()

    def sweep(self, work: str) -> None:  # noqa: ARG002
        """Refused."""
        self.check_writable()

    @contextmanager
    def _open(self, name: str) -> Iterator[int]:
        """For who reads all of a volume: by mounts of its own, which keep access times as they are, if that may be."""
        with self._look_into(name) as directory:
            try:
                copy = read_only_copy(directory)
            except PermissionError:
                yield directory
                return
            try:
                yield copy
            finally:
                os.close(copy)

    @contextmanager
    def _look_into(self, name: str) -> Iterator[int]:
        """An O_PATH descriptor of a volume's own directory; raises NotFound where there is none, HostError."""
        path = Path(self.mountpoint(name)).parent
        try:
            descriptor = os.open(path, _PATH)
        except (FileNotFoundError, NotADirectoryError):
            raise not_found(name) from None
        except OSError as error:
            raise HostError(f"volume {name} cannot be read: {error.strerror}", error.errno) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _opts_json(directory: int) -> bytes | None:
    try:
        return read_text(Path(f"/proc/self/fd/{directory}/opts.json"))
    except NotFound:
        return None
