"""One record a volume, replaced whole; and one a reference.

Volume      what the store keeps of a volume under its name
Reference   one user of a volume: a set, never a counter
Figure      what a volume held when it was last measured
"""

from collections.abc import Sequence
from enum import Enum

import msgspec

from volfs.driver.names import VolumeName
from volfs.driver.options import MountSource, mount_source

LOCAL = "local"


class State(Enum):
    """Whether a volume can be used. Everything but OK is shown, listed, and refused by mount."""

    OK = "ok"
    MISSING = "missing"  # the entry is there, its directory is not
    DAMAGED = "damaged"  # the directory is there, its opts.json cannot be read
    UNKNOWN = "unknown"  # its plugin does not answer
    UNMOUNTED = "unmounted"  # of an observed Docker, which has not mounted now what the options say

    @property
    def has_data(self) -> bool:
        """Whether there is data to be shown: what a plugin has mounted stays in use while the plugin is silent."""
        return self in (State.OK, State.UNKNOWN)


class Kind(Enum):
    """Who a reference stands for."""

    VIEW = "view"
    PLUGIN = "plugin"  # a Mount ID of Docker's volume plugin protocol
    CONTAINER = "container"
    TOOL = "tool"  # a connection to this daemon, an export for one: no user once the daemon has ended
    LEAVING = "leaving"  # of no use to anybody, but the volume's plugin may still have it mounted for this id


class Volume(msgspec.Struct, frozen=True, omit_defaults=True):
    """A volume as the store keeps it.

    `serial` is never used again, also not after the volume is removed; 0 stands for not given yet.
    `created` is in seconds since the epoch. `options` and `labels` are Docker's DriverOpts and Labels:
    None where none were given, which Docker tells apart from an empty object.

    Of a plugin's volume the store keeps what the plugin said last: `mountpoint` and `scope`. `found`: it was there
    before anybody asked volfs to make it, and goes when its plugin says that it has gone.

    Of an observed Docker's volume, `identity` tells its directory from another one that gets the same name later.
    """

    name: VolumeName
    serial: int
    created: int
    driver: str = "local"
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    state: State = State.OK
    mountpoint: str = ""
    scope: str = "local"
    found: bool = False
    identity: str = ""

    @property
    def local(self) -> bool:
        """Whether its data is a directory of ours."""
        return self.driver == LOCAL

    @property
    def source(self) -> MountSource | None:
        """What its options have mounted on its directory; the options of a plugin's volume are the plugin's."""
        return mount_source(self.options) if self.local else None

    @property
    def needs_mount(self) -> bool:
        """Whether something has to be mounted, or its plugin asked, before the data is there."""
        return self.source is not None or not self.local


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One user of a volume: a Docker Mount ID, a container, the view.

    `boot` is the kernel's boot id at the time: a reboot ends every container. It is empty for a container that is only
    there, in ROOT/containers, and not known to run. `since` is in seconds since the epoch.
    `name` and `state` are a container's, in Docker's words, where they are known.
    """

    id: str
    kind: Kind
    boot: str
    since: int
    name: str = ""
    state: str = ""

    @property
    def running(self) -> bool:
        """Whether the volume must be mounted for it: who is only there needs the volume, and has nothing open in it."""
        return bool(self.boot)


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a volume held at a `time` in seconds since 1970: bytes as files say, bytes on the disk, and files."""

    apparent: int
    allocated: int
    files: int
    time: int


VIEW_REFERENCE = "view"


def users(references: Sequence[Reference]) -> list[Reference]:
    """Those who use a volume: looking at it through the view is no use, and who is leaving has gone."""
    return [one for one in references if one.kind not in (Kind.VIEW, Kind.LEAVING)]
