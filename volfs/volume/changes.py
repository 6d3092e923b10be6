"""Changes to the store, and what became of them, as values. Pure."""

from dataclasses import dataclass

from volfs.volume.volume import Figure, Reference, Volume


@dataclass(frozen=True)
class Touch:
    """A directory that was made or taken away in this `boot`, and not synced; `identity` tells it from others."""

    identity: str
    boot: str


@dataclass(frozen=True)
class Put:
    """Writes a volume; a serial of 0 is replaced by the next one. `made`: the record vouches for its directory."""

    volume: Volume
    made: Touch | None = None


@dataclass(frozen=True)
class Delete:
    """Takes a volume and its references out. `gone`: the record vouches for it that its directory is taken away."""

    name: str
    gone: Touch | None = None


@dataclass(frozen=True)
class Sealed:
    """Everything unsynced up to this number is durable by itself."""

    number: int


@dataclass(frozen=True)
class AddReference:
    """Adds a user to a volume; the same id twice is one user."""

    name: str
    reference: Reference


@dataclass(frozen=True)
class DropReference:
    """Takes a user from a volume; an unknown one is no error."""

    name: str
    id: str


@dataclass(frozen=True)
class Measured:
    """Notes what a volume held; nothing where it is gone meanwhile."""

    serial: int
    figure: Figure


@dataclass(frozen=True)
class Edition:
    """Notes how the view's texts are written; what the kernel has cached of them is in that edition."""

    text: str


@dataclass(frozen=True)
class Doubt:
    """Notes whether users are in doubt, for the next daemon; see `evidence`."""

    there: bool


Change = Put | Delete | Sealed | AddReference | DropReference | Measured | Edition | Doubt


@dataclass(frozen=True, slots=True)
class Owed:
    """An invalidation: the volume of this serial and name is not what it was."""

    number: int
    serial: int
    name: str


@dataclass(frozen=True, slots=True)
class Unsynced:
    """A directory that a power cut may have changed back: of the volume of this serial, made or (`gone`) taken away."""

    number: int
    serial: int
    name: str
    identity: str
    boot: str
    gone: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """What became of a change: the volume as it is now (None: gone) and what is owed (None: nothing changed)."""

    volume: Volume | None
    owed: Owed | None
