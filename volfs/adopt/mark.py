"""Whether a root has been adopted: the last thing that adopting writes.

ROOT/volumes/metadata.adopted   the transaction of the metadata.db that was adopted, `unreadable` or `none`

neither metadata.db nor containers/   NONE     nothing of Docker's here
the mark names its transaction        DONE
there is a mark, of another one       CHANGED  a dockerd ran here since
no mark, no catalogue                 NEW
no mark, a catalogue                  OWN      volfs has run here without adopting, or adopting did not come to its end
"""

import os
from enum import Enum
from pathlib import Path

from volfs.dockerroot import bolt
from volfs.dockerroot.owner import METADATA
from volfs.errors import HostError, Invalid

MARK = "volumes/metadata.adopted"
CATALOGUE = "volumes/metadata.mdb"
_NEW = "volumes/metadata.adopted.new"


class Standing(Enum):
    """What a root is to volfs."""

    NONE = "none"
    DONE = "done"
    CHANGED = "changed"
    NEW = "new"
    OWN = "own"

    @property
    def due(self) -> bool:
        """Whether there is something to adopt."""
        return self in (Standing.CHANGED, Standing.NEW, Standing.OWN)


def standing(root: Path) -> Standing:
    """What the files of a root say; nothing is written."""
    now = _transaction(root)
    if now is None:
        return Standing.NONE
    try:
        marked = (root / MARK).read_text(errors="replace").strip()
    except OSError:
        return Standing.OWN if (root / CATALOGUE).exists() else Standing.NEW
    return Standing.DONE if marked == now else Standing.CHANGED


def refuse_unadopted(root: Path) -> None:
    """Raises Invalid for a Docker root of which volfs knows nothing yet: its labels and drivers would go unseen."""
    if standing(root) is Standing.NEW:
        raise Invalid(
            f"{root} is a Docker data root that was never adopted: add --adopt, and volfs takes its volumes over with "
            "their labels, drivers and users"
        )


def mark(root: Path) -> None:
    """Notes, for good, that the metadata.db which is there now was adopted."""
    now = _transaction(root)
    if now is None:
        return
    try:
        with (root / _NEW).open("w") as file:
            file.write(now + "\n")
            file.flush()
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        (root / _NEW).rename(root / MARK)
        directory = os.open(root / "volumes", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise HostError(f"{root / MARK} cannot be written: {error.strerror}", error.errno) from error


def _transaction(root: Path) -> str | None:
    """The number of metadata.db's newest state as text; None where there is nothing of Docker's."""
    try:
        descriptor = os.open(root / METADATA, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return "none" if (root / "containers").is_dir() else None
    try:
        number = bolt.newest_transaction(os.pread(descriptor, bolt.BEGINNING, 0))
    except OSError:
        number = None
    finally:
        os.close(descriptor)
    return "unreadable" if number is None else str(number)
