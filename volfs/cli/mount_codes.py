"""How mount.volfs and umount.fuse.volfs end: the exit codes of mount(8), "EXIT STATUS", which become mount's own.

    0   done                     8   Ctrl-C
    1   bad usage, or not root  32   it cannot be mounted or unmounted
    2   the system refuses       4   a bug; VOLFS_DEBUG=1 shows where

Law: a person sees one line, never a traceback.
"""

import os
from collections.abc import Callable
from typing import TypeVar

from volfs.cli.output import complain_as_is, printable
from volfs.errors import VolfsError

USAGE, SYSTEM, BUG, INTERRUPTED, FAILED = 1, 2, 4, 8, 32

Wanted = TypeVar("Wanted")


def run(program: str, read: Callable[[], Wanted], act: Callable[[Wanted], None]) -> int:
    """Reads the command line, then acts on it; returns the exit code."""
    refused = USAGE
    try:
        wanted = read()
        refused = FAILED
        act(wanted)
    except VolfsError as error:
        for line in str(error).splitlines():
            complain(program, line)
        return refused
    except OSError as error:
        complain(program, str(error))
        return SYSTEM
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # a bug: the one place where it becomes a line for people
        if os.environ.get("VOLFS_DEBUG"):
            raise
        complain(program, f"this is a bug in volfs (VOLFS_DEBUG=1 shows where): {type(error).__name__}: {error}")
        return BUG
    return 0


def complain(program: str, text: str) -> None:
    """Writes one line to standard error."""
    complain_as_is(f"{program}: {printable(text)}")
