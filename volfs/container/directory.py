"""A container's own directory as Docker left it: found, read, and its network files given to the container's root.

    PLACE/ID/{config.v2.json,hostconfig.json,resolv.conf,hostname,hosts}

Law: nothing is written, and only owners of files in that directory are changed, never through a symlink. Blocks.
"""

import errno
import os
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from volfs.container.config import Container, parse
from volfs.container.mounts import NetworkFile
from volfs.dockerroot.source import read_text
from volfs.driver.names import quoted
from volfs.errors import HostError, Invalid, NotFound

CONFIG = "config.v2.json"
HOSTCONFIG = "hostconfig.json"
_LARGEST = 64 << 20  # bytes of a file
_PREFIX = re.compile("[0-9a-f]{1,64}")


def parse_id(text: str) -> str:
    """Returns `text`, which is an ID or its beginning; raises Invalid where it is none."""
    if not _PREFIX.fullmatch(text):
        raise Invalid(f"{quoted(text)} is neither a container's ID nor the path of its directory")
    return text


def find(wanted: str, places: Sequence[Path]) -> Path:
    """The directory of the container whose ID begins with `wanted`, in the first place that has one.

    Raises NotFound; Invalid where it is no ID, or where several begin so.
    """
    parse_id(wanted)
    for place in places:
        found = [one for one in _names_in(place) if one.startswith(wanted)]
        if len(found) > 1:
            raise Invalid(f"{wanted} is the beginning of {len(found)} containers' IDs in {place}, give more of it")
        if found:
            return place / found[0]
    looked = " or ".join(str(place) for place in places)
    raise NotFound(f"there is no container {wanted} in {looked}: give the path of its directory")


def read(directory: Path) -> Container:
    """The container whose files are in `directory`; raises NotFound, Invalid, HostError."""
    config = _text(directory / CONFIG)
    if config is None:
        raise NotFound(f"{directory} is not the directory of a container: there is no {CONFIG} in it")
    try:
        return parse(config, _text(directory / HOSTCONFIG))
    except Invalid as error:
        raise Invalid(f"{directory}/{error}") from None


def present(files: Iterable[NetworkFile]) -> set[str]:
    """The sources that are there; one of the container's own has to be a file, not a symlink to one."""
    return {file.source for file in files if _is_there(file)}


def give(directory: Path, paths: Collection[str], owner: tuple[int, int]) -> None:
    """Makes `owner` the owner of files in `directory`. Raises HostError."""
    try:
        here = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            for path in paths:
                os.chown(os.path.basename(path), *owner, dir_fd=here, follow_symlinks=False)  # noqa: PTH119
        finally:
            os.close(here)
    except OSError as error:
        whose = f"{owner[0]}:{owner[1]}"
        text = f"the network files in {directory} cannot be given to {whose}, the container's root: {error.strerror}"
        raise HostError(text, error.errno) from error


def _names_in(place: Path) -> list[str]:
    try:
        return os.listdir(place)  # noqa: PTH208 (names are all that is wanted)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise HostError(f"{place} cannot be read: {error.strerror}", error.errno) from error


def _text(path: Path) -> bytes | None:
    """A file's text; None where there is none. No symlink is followed and no fifo waited for."""
    try:
        text = read_text(path)
    except NotFound:
        return None
    except HostError as error:
        if error.errno != errno.ENOTDIR:
            raise
        return None
    if len(text) > _LARGEST:
        raise Invalid(f"{path} is longer than {_LARGEST >> 20} MiB")
    return text


def _is_there(file: NetworkFile) -> bool:
    try:
        status = Path(file.source).stat(follow_symlinks=not file.own)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) or not file.own
