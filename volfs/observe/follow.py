"""The task that keeps the catalogue the mirror of a Docker root, until it is cancelled.

    wake    inotify, the kernel's mount table, or a pause: SETTLING after something half done, RETRY while the root is
            not there or cannot be watched, else POLL
    calm    what comes together is looked at together: CALM, or as long as the last look took, but at most MOST_CALM
    look    in a thread
    commit  what differs, and so to the view, its caches, and the events

Law: while nothing happens on the host, nothing here wakes but the poll. A change in Docker's files is shown within two
seconds, also where dockerd makes and removes volumes all the time.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from volfs.errors import VolfsError
from volfs.observe.compare import Sight, differing, reference_changes, volume_changes
from volfs.observe.look import SETTLING, DockerRoot
from volfs.observe.restore import TROUBLE, tell_trouble
from volfs.volume.changes import Change
from volfs.volume.service import LISTED_AT_ONCE, VolumeService
from volfs.volume.volume import LOCAL, Reference, Volume

POLL = 60.0  # seconds between two looks that nothing has asked for
RETRY = 1.0
CALM = 0.1
MOST_CALM = 0.3
AT_ONCE = 64  # volumes followed at the same time, which share transactions

log = logging.getLogger(__name__)


class Follower:
    """Follows `docker` for a service on the same driver. The first look was restore's."""

    def __init__(self, docker: DockerRoot, service: VolumeService) -> None:
        self._docker = docker
        self._service = service
        self._shown: Sight | None = None
        self._waiting = False

    async def run(self) -> None:
        """Looks whenever there may be something new."""
        mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        afresh = False
        try:
            while True:
                began = trio.current_time()
                sight = await trio.to_thread.run_sync(partial(self._docker.look, afresh=afresh))
                if afresh:
                    self._shown = None  # the catalogue itself is compared
                if sight != self._shown:
                    await self._show(sight)
                await trio.sleep(min(max(CALM, trio.current_time() - began), MOST_CALM))
                pause = self._pause(sight)
                afresh = not await self._something(mounts, pause) and pause == POLL
        finally:
            os.close(mounts)
            self._docker.watches.close()

    def _pause(self, sight: Sight) -> float:
        if sight is not self._shown and sight != self._shown:
            return RETRY  # what could not be shown
        if not sight.there or not self._docker.watches.whole:
            return RETRY
        return POLL if sight.settled else SETTLING

    async def _something(self, mounts: int, seconds: float) -> bool:
        """Returns whether something has happened, within so many seconds."""
        with trio.move_on_after(seconds) as pause:
            async with trio.open_nursery() as nursery:

                async def first(wait: Callable[[int], Awaitable[None]], descriptor: int) -> None:
                    await wait(descriptor)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(first, trio.lowlevel.wait_readable, self._docker.watches.descriptor)
                # proc(5): poll(2) says EPOLLERR after a change of the mount table, which wakes who waits to write. It
                # is always readable.
                nursery.start_soon(first, trio.lowlevel.wait_writable, mounts)
        return not pause.cancelled_caught

    async def _show(self, sight: Sight) -> None:
        if sight.why:
            self._tell_of_the_root(sight.why)
        try:
            names = await self._differing(sight)
            used_by = sight.used_by()
            for at in range(0, len(names), AT_ONCE):
                async with trio.open_nursery() as nursery:
                    for name in names[at : at + AT_ONCE]:
                        nursery.start_soon(self._follow, name, sight.volumes.get(name), used_by.get(name, []))
            users = reference_changes(list(self._service.store.all_references()), sight)
            for at in range(0, len(users), AT_ONCE):
                await self._service.commits.commit(*users[at : at + AT_ONCE])
        except* VolfsError as errors:
            self._shown = None
            log.warning("what Docker has changed cannot be shown yet", extra={"why": _first(errors)})
        else:
            self._shown = sight
            self._tell_of_the_root(sight.why)

    async def _differing(self, sight: Sight) -> list[str]:
        """The names whose records are not as they were seen: since the last time, or, after trouble, at all."""
        if (shown := self._shown) is not None:
            names = {*shown.volumes, *sight.volumes}
            return [name for name in names if shown.volumes.get(name) != sight.volumes.get(name)]
        unknown = set(sight.volumes)
        differ: list[str] = []
        batch = self._service.store.volumes(limit=LISTED_AT_ONCE)
        while batch:
            unknown.difference_update(volume.name for volume in batch)
            differ.extend(differing(batch, sight.volumes))
            await trio.lowlevel.checkpoint()
            batch = self._service.store.volumes(after=batch[-1].name, limit=LISTED_AT_ONCE)
        return sorted(unknown) + differ

    async def _follow(self, name: str, seen: Volume | None, used_by: Sequence[Reference]) -> None:
        was: Volume | None = None

        def decide(before: Volume | None) -> Sequence[Change]:
            nonlocal was
            was = before
            return volume_changes(before, seen, used_by)

        await self._service.follow(name, decide)
        if was is not None and self._shown is not None:
            was = self._shown.volumes.get(name)  # somebody who touched it may have noted its state already
        self._tell(name, was, seen)

    def _tell(self, name: str, was: Volume | None, now: Volume | None) -> None:
        if now is None or was is None:
            self._service.events.tell("destroy" if now is None else "create", name, driver=LOCAL)
        elif self._waiting or was.state is now.state:
            return  # that all of them have gone, and are back, is said once
        elif now.state in TROUBLE:
            tell_trouble(now, self._service.references(name))
        elif was.state in TROUBLE:
            log.info("volume is there again", extra={"volume": name})

    def _tell_of_the_root(self, why: str) -> None:
        place = str(self._docker.driver.volumes)
        if why and not self._waiting:
            log.warning("Docker's volumes are waited for", extra={"directory": place, "why": why})
        elif self._waiting and not why:
            log.info("Docker's volumes are there", extra={"directory": place})
        self._waiting = bool(why)


def _first(errors: BaseExceptionGroup[VolfsError]) -> str:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
