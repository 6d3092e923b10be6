"""What the kernel is told to forget when a volume has changed, so that everybody sees the change at once.

    volume gone       its entry in the view (the kernel detaches what is bound below it), everything of its inodes
    volume unusable   its _data
    any change        `meta`, the volume's directory, the view's own attributes
    a new figure      `meta`

Law: an entry that is still right is never invalidated, because that would take the bind on it away. A notification may
wait for the parent directory's lock, which a lookup that waits for us may hold: it is sent from a thread.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pyfuse3
import trio

from volfs.driver.names import file_name
from volfs.view.inodes import ROOT, NodeKind, inode
from volfs.volume.changes import Owed
from volfs.volume.volume import Volume


@dataclass(frozen=True, slots=True)
class ForgetInode:
    """Attributes and content of an inode."""

    inode: int


@dataclass(frozen=True, slots=True)
class ForgetEntry:
    """A name in a directory, and what is below it."""

    parent: int
    name: bytes


Notice = ForgetInode | ForgetEntry


def notices(owed: Owed, current: Volume | None) -> list[Notice]:
    """What to send for a change, given what has the volume's name now. Pure; sent twice it does no harm."""
    if current is None or current.serial != owed.serial:
        return [ForgetEntry(ROOT, os.fsencode(file_name(owed.name))), ForgetInode(ROOT)]
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
        await trio.to_thread.run_sync(_send, forget, limiter=self._limiter)


def _send(forget: Sequence[Notice]) -> None:
    for one in forget:
        try:
            match one:
                case ForgetInode(number):
                    pyfuse3.invalidate_inode(pyfuse3.InodeT(number))
                case ForgetEntry(parent, name):
                    pyfuse3.invalidate_entry(pyfuse3.InodeT(parent), pyfuse3.FileNameT(name))
        except OSError:
            pass  # the kernel did not know it, or the view is being taken away
