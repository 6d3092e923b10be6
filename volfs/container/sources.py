"""The sources of a container's binds on this host: looked for, and made where Docker makes them.

Law: a bind that was asked for with `-v` gets an empty directory where there is nothing, one of `--mount` does not. What
is there stays as it is, file or directory. Blocks. Source: moby's MountPoint.Setup.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from volfs.container.config import MountPoint
from volfs.errors import HostError, NotFound
from volfs.findings import Finding

_ENTER = os.O_PATH | os.O_DIRECTORY


def refuse_missing(binds: Iterable[MountPoint], container: str) -> None:
    """Raises NotFound for a source that is not there and that nobody may make."""
    for mount in binds:
        if mount.skip_creation and not Path(mount.source).exists():
            raise NotFound(
                f"the source {mount.source} of the bind of container {container} (at {mount.destination}) does not "
                "exist on this host: copy it here"
            )


def make_missing(binds: Iterable[MountPoint], owner: tuple[int, int], container: str) -> list[Finding]:
    """Makes the sources that are not there, 0755 and owned by `owner`, and says so. Raises HostError."""
    made = []
    for mount in binds:
        if not mount.skip_creation and mount.source.startswith("/") and not os.path.lexists(mount.source):
            try:
                _make(Path(mount.source), owner)
            except OSError as error:
                text = f"the source {mount.source} of the bind of container {container} (at {mount.destination})"
                raise HostError(f"{text} cannot be made: {error.strerror}", error.errno) from error
            text = f"{mount.source}, bound at {mount.destination}, did not exist on this host: it was made, empty"
            made.append(Finding("container-bind-source-made", text, container))
    return made


def _make(path: Path, owner: tuple[int, int]) -> None:
    """Goes down from the last directory that exists; whoever can write there cannot lead what is made astray."""
    there = next(one for one in path.parents if one.exists())
    here = os.open(there, _ENTER)
    try:
        for name in path.relative_to(there).parts:
            here = _step(here, name, owner)
    finally:
        os.close(here)


def _step(here: int, name: str, owner: tuple[int, int]) -> int:
    try:
        os.mkdir(name, 0o755, dir_fd=here)
        new = True
    except FileExistsError:
        new = False
    below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
    try:
        if new:
            os.fchmod(below, 0o755)
            os.fchown(below, *owner)
    except BaseException:
        os.close(below)
        raise
    os.close(here)
    return below
