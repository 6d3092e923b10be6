"""What the kernel is told to forget when a volume has changed, so that everybody sees the change at once.

    volume gone       its entry in the view (the kernel detaches what is bound below it), everything of its inodes
    volume unusable   its _data
    any change        `meta`, the volume's directory, the view's own attributes
    a new figure      `meta`

Law: an entry that is still right is never invalidated, because that would take the bind on it away. A notification of
an entry may wait for the parent directory's lock, which a lookup that waits for us may hold: it is sent from a thread.
One of attributes waits for nobody, and of a control file the kernel caches nothing else.
"""

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import pyfuse3
import trio

from volfs.driver.names import file_name
from volfs.view.inodes import ROOT, NodeKind, inode
from volfs.volume.changes import Owed
from volfs.volume.volume import Volume

AT_ONCE = 200  # notices between two turns of the event loop: a millisecond


@dataclass(frozen=True, slots=True)
class ForgetInode:
    """Attributes of an inode."""

    inode: int


@dataclass(frozen=True, slots=True)
class ForgetEntry:
    """A name in a directory, and what is below it."""

    parent: int
    name: bytes


Notice = ForgetInode | ForgetEntry


def notices(owed: Owed, current: Volume | None, *, shown: bool = True) -> list[Notice]:
    """What to send for a change, given what has the volume's name now. Pure; sent twice it does no harm.

    shown: whether the kernel may have an entry of the volume.
    """
    if current is None or current.serial != owed.serial:
        entries = [ForgetEntry(ROOT, os.fsencode(file_name(owed.name)))] if shown else []
        return [*entries, ForgetInode(ROOT)]
    forget: list[Notice] = [ForgetInode(ROOT), ForgetInode(inode(owed.serial))]
    forget += [ForgetInode(inode(owed.serial, kind)) for kind in (NodeKind.META, NodeKind.OPTS)]
    if not current.state.has_data:
        forget.append(ForgetEntry(inode(owed.serial), b"_data"))
    return forget


def notices_of_figures(owed: Sequence[Owed]) -> list[Notice]:
    """What to send when these volumes were measured: nothing else of them has changed. Pure."""
    return [ForgetInode(inode(one.serial, NodeKind.META)) for one in owed]


def notices_of_texts(serials: Sequence[int]) -> list[Notice]:
    """What to send when this volfs writes the texts of these volumes otherwise than the one before it. Pure."""
    return [ForgetInode(inode(one, kind)) for one in serials for kind in (NodeKind.META, NodeKind.OPTS)]


class Invalidator:
    """Sends notices to the kernel; until the view is `served`, they wait."""

    def __init__(self) -> None:
        self.served = trio.Event()
        self._limiter = trio.CapacityLimiter(math.inf)

    async def send(self, forget: Sequence[Notice]) -> None:
        """Returns when the kernel has forgotten."""
        await self.served.wait()
        entries = [one for one in forget if isinstance(one, ForgetEntry)]
        for number, one in enumerate(forget, 1):
            if isinstance(one, ForgetInode):
                _forget_attributes(one.inode)
            if number % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        if entries:
            await trio.to_thread.run_sync(_forget_entries, entries, limiter=self._limiter)


def _forget_attributes(number: int) -> None:
    with suppress(OSError):  # the kernel did not know it, or the view is being taken away
        pyfuse3.invalidate_inode(pyfuse3.InodeT(number), attr_only=True)


def _forget_entries(entries: Sequence[ForgetEntry]) -> None:
    for one in entries:
        with suppress(OSError):
            pyfuse3.invalidate_entry(pyfuse3.InodeT(one.parent), pyfuse3.FileNameT(one.name))
