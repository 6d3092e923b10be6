"""The kernel's word on changes in directories; see inotify(7).

Law: nothing is read but names, and nothing here blocks. What the kernel could not keep is an event of its own: LOST.
"""

import ctypes
import os
import struct
from dataclasses import dataclass

MODIFY = 0x2
ATTRIB = 0x4
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
LOST = 0x4000  # IN_Q_OVERFLOW: events were dropped
GONE = 0x8000  # IN_IGNORED: the watch has ended, because its directory has
_ONLYDIR = 0x1000000
_DONT_FOLLOW = 0x2000000
_HEADER = struct.Struct("=iIII")  # watch, mask, cookie, length of the name
_ROOM = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to `name` in the directory of a watch, or to the directory itself ("")."""

    watch: int
    mask: int
    name: str


class Inotify:
    """A queue of events. Raises OSError where the host gives no more of them."""

    def __init__(self) -> None:
        self.descriptor = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")

    def watch(self, directory: str, mask: int) -> int:
        """The number of a watch for `directory`, the same one for the same directory. Raises OSError."""
        flags = mask | _ONLYDIR | _DONT_FOLLOW
        return _check(_libc.inotify_add_watch(self.descriptor, os.fsencode(directory), flags), directory)

    def forget(self, watch: int) -> None:
        """Ends a watch; fine where it has ended."""
        _libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> list[Event]:
        """What has happened since the last call."""
        events: list[Event] = []
        while True:
            try:
                text = os.read(self.descriptor, _ROOM)
            except BlockingIOError:
                return events
            position = 0
            while position < len(text):
                watch, mask, _, length = _HEADER.unpack_from(text, position)
                position += _HEADER.size
                name = text[position : position + length].rstrip(b"\0")
                events.append(Event(watch, mask, os.fsdecode(name)))
                position += length

    def close(self) -> None:
        """Ends all watches."""
        os.close(self.descriptor)


def _check(result: int, path: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result
