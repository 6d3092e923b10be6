"""What `volfs serve` was asked to do: one frozen value that the command line makes, the keeper hands to every daemon
it starts, and nobody changes.

Law: plain JSON in, the same value out. Whether a path can be used is for the keeper and the daemon to say.
"""

import json
from dataclasses import asdict, dataclass

PLUGIN_PATH = ("/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins")  # as dockerd's
DEFAULT_SOCKET = "/run/volfs/volfs.sock"
GIVE_UP = 78  # EX_CONFIG: a daemon's exit code that tells the keeper that starting it again will not help


@dataclass(frozen=True)
class Settings:
    """Paths are absolute; `mode` and `gid` are those of the view's root; `idle` is in seconds.

    `observe` is a Docker root that a dockerd owns, "" for none; `root` is then where its mirror is kept, and data is
    read only unless `writable`.
    """

    root: str
    view: str
    run_dir: str
    plugin_sockets: tuple[str, ...]
    plugin_path: tuple[str, ...]
    mode: int
    gid: int
    data_plane: str
    idle: float
    log_format: str
    observe: str = ""
    writable: bool = False

    @property
    def read_only(self) -> bool:
        """Whether nobody may write through the view."""
        return bool(self.observe) and not self.writable

    def to_json(self) -> str:
        """One line of JSON. A path that is not UTF-8 survives it, because everything else is escaped."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """The value that `to_json` wrote; raises ValueError, KeyError or TypeError for anything else."""
        fields = json.loads(text)
        several = {key: tuple(fields[key]) for key in ("plugin_sockets", "plugin_path")}
        return cls(**{**fields, **several})
