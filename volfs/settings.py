"""What `volfs serve` was asked to do: one frozen value that the command line makes, the keeper hands to every daemon
it starts, and nobody changes.

Law: plain JSON in, the same value out. Whether a path can be used is for the keeper and the daemon to say.
"""

import json
from dataclasses import asdict, dataclass, fields

PLUGIN_PATH = ("/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins")  # as dockerd's
DEFAULT_SOCKET = "/run/volfs/volfs.sock"
MAX_BINDS = 200  # a start of a container copies the mount table: each mount costs it microseconds
GIVE_UP = 78  # EX_CONFIG: a daemon's exit code that tells the keeper that starting it again will not help
_SEVERAL = ("plugin_sockets", "plugin_path")


@dataclass(frozen=True)
class Settings:
    """Paths are absolute; `mode` and `gid` are those of the view's root; `idle` is in seconds.

    `observe` is a Docker root that a dockerd owns, "" for none; `root` is then where its mirror is kept, and data is
    read only unless `writable`.
    `max_binds` is how many binds there may be on the view, about, before idle ones go early.
    `until_unmounted`: whoever unmounts the view wants it to end. `adopt`: a Docker root may be taken over. What is new
    has a default: an upgrade replaces the daemon under a keeper that has never heard of it.
    """

    root: str
    view: str
    run_dir: str
    plugin_sockets: tuple[str, ...]
    mode: int
    gid: int
    data_plane: str
    idle: float
    log_format: str
    until_unmounted: bool = False
    plugin_path: tuple[str, ...] = PLUGIN_PATH
    adopt: bool = False
    observe: str = ""
    writable: bool = False
    max_binds: int = MAX_BINDS

    @property
    def read_only(self) -> bool:
        """Whether nobody may write through the view."""
        return bool(self.observe) and not self.writable

    def to_json(self) -> str:
        """One line of JSON. A path that is not UTF-8 survives it, because everything else is escaped."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """The value that `to_json` wrote, also that of a newer volfs; raises ValueError or TypeError."""
        try:
            given = json.loads(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(given, dict):
            raise TypeError("settings are an object")
        known = {field.name: given[field.name] for field in fields(cls) if field.name in given}
        known.update({key: tuple(known[key]) for key in _SEVERAL if key in known})
        return cls(**known)
