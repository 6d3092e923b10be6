"""What a volume's directory says of it, against what the store has noted."""

from contextlib import suppress

import msgspec

from volfs.driver.local import Description, LocalDriver
from volfs.driver.metas import Wanted, write_metas
from volfs.driver.names import VolumeName
from volfs.errors import NotFound
from volfs.volume.volume import State, Volume


def described(name: VolumeName, description: Description) -> Volume:
    """The record of a directory that describes itself; its serial is given by the store."""
    return Volume(
        name=name,
        serial=0,
        created=description.created,
        options=description.options,
        labels=description.labels,
        state=State.DAMAGED if description.damage else State.OK,
    )


def recalled(name: VolumeName, note: Description) -> Volume:
    """The record of a plugin's volume by its note, until the plugin says more."""
    return Volume(
        name=name,
        serial=0,
        created=note.created,
        driver=note.driver,
        options=note.options,
        labels=note.labels,
        state=State.UNKNOWN,
    )


def observe(driver: LocalDriver, volume: Volume) -> tuple[State, dict[str, str] | None]:
    """The state and options of a volume by what its directory says now.

    An opts.json that went away is damage, not a volume without options: a container would write to the disk below
    instead of to the mount that was asked for.
    """
    try:
        description = driver.describe(volume.name)
    except NotFound:
        return State.MISSING, volume.options
    gone = volume.source is not None and not description.options
    if description.damage or gone:
        return State.DAMAGED, volume.options
    options = description.options or volume.options
    return State.OK if driver.can_show(volume.name, options) else State.UNMOUNTED, options


def returned(driver: LocalDriver, volume: Volume) -> Volume:
    """The record of a missing volume whose directory is there again, which describes itself from now on.

    One that came from Docker has no meta.json, and nobody knew when it was made.
    """
    write_metas(driver.volumes, [Wanted(volume.name, volume.labels, volume.options)])
    if volume.created:
        return volume
    with suppress(NotFound):
        return msgspec.structs.replace(volume, created=driver.describe(volume.name).created)
    return volume


def doubtful(volume: Volume) -> bool:
    """Whether a look at the directory may find the volume in another state than the one that is noted."""
    return volume.state is not State.OK or volume.source is not None


def noted(volume: Volume) -> tuple[State, dict[str, str] | None]:
    """What the store says, in the form of `observe`."""
    return volume.state, volume.options


def trouble(volume: Volume, mountpoint: str) -> str:
    """Why a volume cannot be used, and what to do."""
    directory = mountpoint.rpartition("/")[0]
    if volume.state is State.MISSING:
        return f"the volume is missing: put its directory {directory} back, or remove the volume"
    if volume.state is State.UNMOUNTED:
        return "the volume is not mounted now: Docker mounts it while a container that uses it runs"
    return f"the volume is {volume.state.value}: its {directory}/opts.json cannot be read; mend the file"
