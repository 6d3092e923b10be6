"""One lock for each volume's name, there while somebody has it or waits for it."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio


class NameLocks:
    """Locks by name."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.Lock] = {}

    def __len__(self) -> int:
        """How many names are held or waited for."""
        return len(self._locks)

    def busy(self, name: str) -> bool:
        """Whether somebody has the lock of `name`."""
        return name in self._locks and self._locks[name].locked()

    @contextmanager
    def free(self, names: Iterable[str]) -> Iterator[list[str]]:
        """The locks of those of the names that nobody has: which these are. Never waits."""
        taken = [name for name in dict.fromkeys(names) if name not in self._locks]
        for name in taken:
            self._locks[name] = trio.Lock()
            self._locks[name].acquire_nowait()
        try:
            yield taken
        finally:
            for name in taken:
                lock = self._locks[name]
                lock.release()
                if not lock.locked():
                    del self._locks[name]

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """The lock of `name`, for as long as the block takes."""
        lock = self._locks.setdefault(name, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and self._locks.get(name) is lock:
                del self._locks[name]
