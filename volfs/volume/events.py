"""What happened to volumes, told to whoever listens; the last ones are kept for who comes later.

Law: telling never waits. Who does not keep up with BACKLOG events is let go, so that a list with gaps is never taken
for a whole one. Events are of this daemon's life only: the next one begins with none.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

KEPT = 256  # as Docker keeps
BACKLOG = 10_000  # events that one listener may be behind


@dataclass(frozen=True)
class Event:
    """`action` is Docker's word; `volume` is empty for what is about all of them; `time` in nanoseconds since 1970."""

    action: str
    volume: str
    time: int
    attributes: Mapping[str, str] = field(default_factory=dict)


class Events:
    """The events of one daemon. `now` gives the time in nanoseconds."""

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._listeners: set[trio.MemorySendChannel[Event]] = set()
        self._closed = False

    def tell(self, action: str, volume: str, **attributes: str) -> None:
        """Something happened; returns at once."""
        event = Event(action, volume, self._now(), attributes)
        self._kept.append(event)
        for listener in list(self._listeners):
            try:
                listener.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError):
                self._let_go(listener)

    def kept(self, since: int, until: float = math.inf) -> list[Event]:
        """The events from `since` to `until`, in nanoseconds, of those that are still kept; oldest first."""
        return [event for event in self._kept if since <= event.time <= until]

    @contextmanager
    def listen(self) -> Iterator[trio.MemoryReceiveChannel[Event]]:
        """Everything that is told from now on; it ends when the daemon does, or when the listener is too slow."""
        send, receive = trio.open_memory_channel[Event](BACKLOG)
        self._listeners.add(send)
        if self._closed:
            self._let_go(send)
        try:
            with receive:
                yield receive
        finally:
            self._let_go(send)

    def close(self) -> None:
        """Lets everybody go: the daemon ends."""
        self._closed = True
        for listener in list(self._listeners):
            self._let_go(listener)

    def _let_go(self, listener: trio.MemorySendChannel[Event]) -> None:
        self._listeners.discard(listener)
        listener.close()
