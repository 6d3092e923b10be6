"""What is known of plugins' volumes, on disk beside the catalogue, which could be lost.

    ROOT/plugin-volumes/FILE_NAME   {"Driver", "CreatedAt", "Labels", "Options"}   for each that volfs had made

Law: a note is whole or not there, and durable when `write` returns. What a crash left half written is swept at the next
start. Everything here blocks.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from volfs.driver.names import file_name, name_of_file
from volfs.driver.record import Description, read_note, write_note
from volfs.errors import HostError
from volfs.mount.syscalls import sync_directory

_NEW = ".new-"


class Notes:
    """The notes of a root."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "plugin-volumes"

    def write(self, name: str, description: Description) -> None:
        """Notes a volume, over an older note of it."""
        with self._open(make=True) as directory:
            new = _NEW + secrets.token_hex(8)
            try:
                write_note(new, directory, description)
                os.rename(new, file_name(name), src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(new, dir_fd=directory)
                raise
            os.fsync(directory)

    def remove(self, name: str) -> None:
        """Takes a note away; fine when there is none."""
        with suppress(FileNotFoundError), self._open() as directory:
            os.unlink(file_name(name), dir_fd=directory)
            os.fsync(directory)

    def sweep(self) -> None:
        """Deletes the notes that were being written when the last daemon died."""
        with suppress(FileNotFoundError), self._open() as directory:
            for one in os.listdir(directory):  # noqa: PTH208 (a descriptor)
                if one.startswith(_NEW):
                    os.unlink(one, dir_fd=directory)

    def names(self) -> list[str]:
        """The volumes that there are notes of, in order."""
        try:
            files = os.listdir(self._directory)  # noqa: PTH208 (names are all that is wanted)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise HostError(f"{self._directory} cannot be listed: {error.strerror}", error.errno) from error
        return sorted(name for one in files if not one.startswith(".") and (name := name_of_file(one)))

    def read(self, name: str) -> Description | None:
        """A note; None where there is none that can be read."""
        with suppress(FileNotFoundError), self._open() as directory:
            return read_note(file_name(name), directory)
        return None

    @contextmanager
    def _open(self, *, make: bool = False) -> Iterator[int]:
        try:
            if make and not self._directory.is_dir():
                with suppress(FileExistsError):  # another first volume of a plugin is being made just now
                    self._directory.mkdir(mode=0o700)
                sync_directory(self._directory.parent)
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                yield directory
            finally:
                os.close(directory)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise HostError(f"{self._directory} cannot be used: {error.strerror}", error.errno) from error
