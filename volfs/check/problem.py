"""One thing that is wrong with a root: a stable code, how bad it is, what it means, what to do, and what would mend it.

    error     data or a mount that somebody needs is not there, or cannot be trusted
    warning   nothing is lost yet; the next crash, start or copy may cost something
    note      harmless, and tidier without

Law: a code never changes its meaning. A repair loses nothing; where one would have to choose, there is none.
"""

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How bad it is, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Restore:
    """What a daemon does at its start: catalogue, directories and references are brought together."""


@dataclass(frozen=True)
class DetachView:
    """A view without a daemon goes, with all that is bound on it."""

    path: str


@dataclass(frozen=True)
class Detach:
    """A mount that nobody uses goes."""

    path: str


@dataclass(frozen=True)
class Sweep:
    """A work directory is deleted."""

    work: str


@dataclass(frozen=True)
class WriteMeta:
    """meta.json is written anew from the catalogue; a damaged one is kept beside it."""

    volume: str


@dataclass(frozen=True)
class SetMode:
    """The mode of one file or directory."""

    path: str
    mode: int


@dataclass(frozen=True)
class SetOwner:
    """The owner of one file or directory."""

    path: str
    uid: int


Repair = Restore | DetachView | Detach | Sweep | WriteMeta | SetMode | SetOwner


@dataclass(frozen=True)
class Problem:
    """`volume` is a name, or "" where it is about the root. `path` tells two problems of a volume apart."""

    code: str
    severity: Severity
    volume: str
    meaning: str
    remedy: str
    path: str = ""
    repair: Repair | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """What stays the same from one look to the next while it is there."""
        return self.code, self.volume, self.path
