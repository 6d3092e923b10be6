"""One record a volume, replaced whole; and one a reference.

Volume      what the store keeps of a volume under its name
Reference   one user of a volume: a set, never a counter
Figure      what a volume held when it was last measured
"""

from enum import Enum

import msgspec

from volfs.driver.names import VolumeName


class State(Enum):
    """Whether a volume can be used. Everything but OK is shown, listed, and refused by mount."""

    OK = "ok"
    MISSING = "missing"  # the entry is there, its directory is not
    DAMAGED = "damaged"  # the directory is there, its opts.json cannot be read
    UNKNOWN = "unknown"  # its driver does not answer


class Kind(Enum):
    """Who a reference stands for."""

    VIEW = "view"
    PLUGIN = "plugin"  # a Mount ID of Docker's volume plugin protocol
    CONTAINER = "container"


class Volume(msgspec.Struct, frozen=True, omit_defaults=True):
    """A volume as the store keeps it.

    `serial` is never used again, also not after the volume is removed; 0 stands for not given yet.
    `created` is in seconds since the epoch. `options` and `labels` are Docker's DriverOpts and Labels:
    None where none were given, which Docker tells apart from an empty object.
    """

    name: VolumeName
    serial: int
    created: int
    driver: str = "local"
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    state: State = State.OK


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One user of a volume: a Docker Mount ID, a container, the view.

    `boot` is the kernel's boot id at the time: a reboot ends every container. `since` is in seconds since the epoch.
    """

    id: str
    kind: Kind
    boot: str
    since: int


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a volume held at a `time` in seconds since 1970: bytes as files say, bytes on the disk, and files."""

    apparent: int
    allocated: int
    files: int
    time: int


VIEW_REFERENCE = "view"
