"""What is wrong with a mount of a container, in words: which volume, of which container, where, what to do. Pure.

Law: what a person reads first is what is missing; `volume db of container web (at /data) is missing: …`.
"""

import errno
from collections.abc import Iterable

from volfs.container.config import Container, MountPoint
from volfs.driver.names import quoted
from volfs.errors import Conflict, HostError, Invalid, NotFound, VolfsError

_OUTSIDE = (errno.EXDEV, errno.ELOOP)


def called(container: Container) -> str:
    """The container's name, or the beginning of its ID as Docker shows it."""
    return container.name or container.id[:12]


def subject(mount: MountPoint, container: str) -> str:
    """The volume of a mount, for the beginning of a sentence."""
    return f"volume {mount.name} of container {container} (at {mount.destination})"


def about_volume(error: VolfsError | OSError, mount: MountPoint, container: str) -> VolfsError:
    """`error`, which mounting the volume raised, as one about the container; an OSError is about the subpath."""
    what = subject(mount, container)
    if isinstance(error, OSError):
        return _about_subpath(error, mount, what)
    why = str(error).removeprefix(f"mount {mount.name}: ")
    state = why.removeprefix("the volume ")
    text = f"{what} {state}" if state.startswith("is ") else f"{what}: {why}"
    return HostError(text, error.errno) if isinstance(error, HostError) else type(error)(text)


def _about_subpath(error: OSError, mount: MountPoint, what: str) -> VolfsError:
    path = quoted(mount.subpath)
    if error.errno in _OUTSIDE:
        return Invalid(f"{what}: its subpath {path} leads out of the volume, or nowhere")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(f"{what} has no {path} in it, which is the part that is mounted: make it in the volume")
    return HostError(f"{what}: its subpath {path} cannot be bound: {error.strerror}", error.errno)


def unknown(mount: MountPoint, container: str, directory: str) -> VolfsError:
    """There is no such volume; `directory` is where a local one would be, "" for a plugin's."""
    what = subject(mount, container)
    if directory:
        return NotFound(
            f"{what} is missing: put its directory {directory} back, or make it anew: volfs create {mount.name}"
        )
    return NotFound(f"{what} is missing: the driver {mount.driver} does not have it, or does not run on this host")


def of_other_driver(driver: str, mount: MountPoint, container: str) -> VolfsError:
    """There is a volume of that name, and it is another driver's."""
    return Conflict(
        f"{subject(mount, container)} was one of the driver {mount.driver}, "
        f"and the one of this name here is of the driver {driver}"
    )


def refuse_nameless(volumes: Iterable[MountPoint], container: str) -> None:
    """Some Dockers forgot the name of an anonymous volume that was asked for as `-v /path`. Raises Invalid."""
    for mount in volumes:
        if not mount.name:
            raise Invalid(
                f"the volume of container {container} (at {mount.destination}) has no name in config.v2.json: "
                "write the one that it had into it"
            )
