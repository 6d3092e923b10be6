"""The mark of a suspicion that a daemon died, or will die, of its catalogue: `probe` looks into it at the next start.

    metadata.mdb-opening   empty while a daemon restores; and with a word in it from a death that may have been LMDB's
                           to the next start

Law: a mark costs a healthy catalogue one reading of it in a process of its own; after a death it is copied as well.
"""

import signal
from contextlib import suppress
from pathlib import Path

CATALOGUE = "metadata.mdb"
DEATHS = (-signal.SIGABRT, -signal.SIGBUS, -signal.SIGSEGV)  # exit codes that damage in LMDB's pages leads to


def mark_of(catalogue: Path) -> Path:
    """Where the mark is."""
    return catalogue.with_name(f"{catalogue.name}-opening")


def suspect(catalogue: Path) -> None:
    """Has the next start look. On a full disk it does not."""
    with suppress(OSError):
        mark_of(catalogue).touch(0o600)
        mark_of(catalogue).write_bytes(b"died\n")


def is_of_a_death(mark: Path) -> bool:
    """Whether more is suspected than that a daemon was ended while it restored."""
    return mark.stat().st_size > 0
