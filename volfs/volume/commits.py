"""From a change to everybody seeing it: written, then told to whoever caches, then settled."""

from collections.abc import Awaitable, Callable, Sequence

from volfs.volume.changes import Change, Effect, Owed
from volfs.volume.store import Store
from volfs.volume.writer import Hand, Writer


async def _nobody_looks(_: Sequence[Owed]) -> None:
    """Stands for the view until there is one."""


class Commits:
    """`on_change` returns when the kernel's caches know of some changes."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self.on_change: Callable[[Sequence[Owed]], Awaitable[None]] = _nobody_looks
        self._store = store
        self._writer = writer

    async def commit(self, *changes: Change) -> list[Effect]:
        """Durable and visible when it returns; one effect for each change. Raises HostError where the disk refuses."""
        return await self.commit_done(lambda: changes)

    async def commit_done(self, hand: Hand) -> list[Effect]:
        """The same for what a hand does; raises what it raises, too."""
        effects = await self._writer.commit_done(hand)
        owed = [effect.owed for effect in effects if effect.owed is not None]
        if owed:
            await self.on_change(owed)
        self._store.settle(owed)
        return effects

    async def commit_unseen(self, *changes: Change) -> None:
        """For when nobody looks any more: durable, and told to no cache."""
        await self._writer.commit(*changes)
