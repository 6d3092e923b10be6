"""The data of volumes in the view: bound on first touch, taken away when idle.

    touched   somebody asks for the attributes of _data
    binding   the volume is mounted where it has options, with the view as its user, and bound over the view
    bound     the kernel serves it; nothing comes here any more, except from who sees a private copy of the view, and
              once from who was on the way meanwhile and is sent back, to walk into the bind
    idle      taken away again, see `expiry`

Law: nobody waits here longer than `DEADLINE`; a bind that is not there in time is finished behind the back of the
caller, who is served through FUSE. The volume's lock is held while a bind is placed or taken away, so that it is never
placed on another volume of the same name.
"""

import errno
import logging
import os
import time
from collections.abc import Sequence
from functools import partial

import trio

from volfs.driver.names import file_name, name_of_file
from volfs.errors import VolfsError
from volfs.mount.syscalls import bind, detach, is_mount_root, mounts_under, read_only_copy
from volfs.view.expiry import Binding, Expiry
from volfs.view.inodes import split
from volfs.volume.service import VolumeService
from volfs.volume.volume import VIEW_REFERENCE, Kind, Volume

DEADLINE = 2.0  # seconds that a getattr waits for a bind
SETTLING = 5.0  # seconds after a bind was placed, or found, in which a request may be from who was on the way
AGAIN = 5.0  # seconds until that is tried once more where the disk refused it
SEEN_LATER = 0.2  # seconds until the view is on record as a user of what was touched
RECHECK = 1.0  # seconds until a bind is doubted again, when a request comes that a bound volume should not send

log = logging.getLogger(__name__)


class DataPlane:
    """Binds for a view. With `binds` False everything is served through FUSE, and nothing is bound.

    Unused ones go after `idle` seconds, or earlier where there are more than `most`. `stale` are volumes whose bind is
    of something else than what is mounted now; the path to it leads through the view.
    """

    def __init__(
        self,
        service: VolumeService,
        view: str,
        *,
        binds: bool,
        idle: float,
        most: int,
        read_only: bool = False,
        stale: Sequence[str] = (),
    ) -> None:
        self._service = service
        self._view = view
        self._binds = binds
        self._read_only = read_only
        self._stale = stale
        self._bindings: dict[int, Binding] = {}
        self._expiry = Expiry(service, self._bindings, self._target, idle, most)
        self._unseen: dict[int, Binding] = {}
        self._some_unseen = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Finds what a daemon before this one has bound, then expires what is idle, until it is cancelled."""
        self._find_bound()
        async with trio.open_nursery() as self._nursery:
            for name in self._stale:
                self._nursery.start_soon(self._take_away, name)
            if self._binds:
                self._nursery.start_soon(self._expiry.run)
            await self._put_on_record()

    async def touch(self, serial: int) -> os.stat_result | None:
        """Returns when the data of the volume is bound, or when it is not to be had in time.

        For who waited for the bind, the attributes of the data.
        """
        if self._nursery is None:
            return None
        with trio.move_on_after(DEADLINE):
            binding = self._bindings.get(serial)
            if binding is not None and binding.done.is_set() and await self._lost(binding):
                self._bindings.pop(serial, None)
                binding = None
            if binding is None:
                volume = self._service.store.by_serial(serial)
                if volume is None or not self._wanted(volume):
                    return None
                binding = self._bindings[serial] = Binding(volume.name)
                self._nursery.start_soon(self._bind, serial, volume, binding)
            if not binding.done.is_set():
                await binding.done.wait()
                return binding.status
        return None

    def overtakes(self, data_inode: int, thread: int) -> bool:
        """Whether a bind was placed, just now, where this thread walked to what it opens; said once for each bind.

        A daemon that has just begun finds binds of which it cannot know who was on the way when they were placed. Who
        is sent back twice is told of an error: so nobody is of whom it is known that they do not see the bind.
        """
        node = split(data_inode) if self._binds else None
        binding = self._bindings.get(node[0]) if node else None
        if binding is None or time.monotonic() >= binding.placed + SETTLING or thread in binding.walkers:
            return False
        binding.walkers.add(thread)
        return True

    def looked_up(self, serial: int, thread: int) -> None:
        """Somebody looked `_data` up. Who opens data here after that, and after the bind was there, does not see it."""
        binding = self._bindings.get(serial)
        if binding is not None and time.monotonic() < binding.placed + SETTLING:
            binding.walkers.add(thread)

    def _wanted(self, volume: Volume) -> bool:
        """Without binds, only a volume that has to be mounted has something to be done before it is served."""
        return volume.state.has_data and (self._binds or volume.needs_mount)

    def forget(self, serial: int) -> None:
        """The volume is gone, and with its entry in the view the kernel took the bind."""
        self._bindings.pop(serial, None)

    async def displace(self, volume: Volume) -> None:
        """Takes the bind of a volume away, whose lock the caller holds; who is inside may finish."""
        self.forget(volume.serial)
        if self._binds:
            await self._service.drivers.local.run(detach, self._target(volume.name), of=volume.name)

    def open_data(self, data_inode: int) -> int:
        """A new O_PATH descriptor of a volume's data, for `passthrough`, whose threads call this. Raises OSError."""
        node = split(data_inode)
        volume = trio.from_thread.run_sync(self._service.store.by_serial, node[0]) if node else None
        if volume is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        mountpoint = self._service.mountpoint(volume)
        if volume.source is not None and not is_mount_root(mountpoint):
            raise OSError(errno.EIO, os.strerror(errno.EIO))  # never the directory below a mount that is not there
        if not volume.local and not trio.from_thread.run_sync(self._service.uses.has, volume.name, VIEW_REFERENCE):
            raise OSError(errno.EIO, os.strerror(errno.EIO))  # its plugin was not asked, or did not answer
        descriptor = _open(mountpoint, volume)
        return _untouching(descriptor) if self._read_only else descriptor

    def _target(self, name: str) -> str:
        return f"{self._view}/{file_name(name)}/_data"

    def _find_bound(self) -> None:
        for mount in mounts_under(self._view):
            name = name_of_file(mount.mountpoint[len(self._view) + 1 :].removesuffix("/_data")) or ""
            volume = self._service.store.get(name) if self._target(name) == mount.mountpoint else None
            if volume is not None and name not in self._stale:
                self._bindings[volume.serial] = binding = Binding(name, placed=time.monotonic())
                binding.done.set()

    async def _take_away(self, name: str) -> None:
        try:
            await self._service.uses.unmount(name, VIEW_REFERENCE, lambda: detach(self._target(name)))
        except (VolfsError, OSError) as error:
            log.warning("the view shows old data", extra={"volume": name, "why": str(error)})

    async def _lost(self, binding: Binding) -> bool:
        """Whether a bind that was there is not: somebody has unmounted it by hand, or it is just being taken away."""
        if not self._binds:
            return False
        now = time.monotonic()
        if binding.settled and now < binding.checked + RECHECK:
            return False
        binding.checked = now
        threads, target = self._service.drivers.local.threads, self._target(binding.name)
        return not await threads.run(is_mount_root, target, of=binding.name, abandon=True)

    async def _bind(self, serial: int, volume: Volume, binding: Binding) -> None:
        try:
            if not (
                self._binds
                and await self._service.looks.show(volume.name, serial, partial(self._place, volume, binding))
            ):
                place = partial(self._place, volume, binding) if self._binds else None
                await self._service.uses.mount(volume.name, VIEW_REFERENCE, Kind.VIEW, place)
            else:
                self._unseen[serial] = binding
                self._some_unseen.set()
            binding.placed = time.monotonic()
            self._expiry.count()
        except (VolfsError, OSError) as error:
            self._bindings.pop(serial, None)
            log.warning("data is not bound", extra={"volume": volume.name, "why": str(error)})
        except Exception:  # a bug about one volume must not take the others with it
            self._bindings.pop(serial, None)
            log.exception("data is not bound", extra={"volume": volume.name})
        finally:
            binding.done.set()

    async def _put_on_record(self) -> None:
        """That the view uses what is bound: behind the back of who touches, and not of what was taken away at once."""
        while True:
            await self._some_unseen.wait()
            await trio.sleep(SEEN_LATER)
            self._some_unseen, unseen = trio.Event(), self._unseen
            self._unseen = {}
            there = {serial: one for serial, one in unseen.items() if self._bindings.get(serial) is one}
            try:
                seen = await self._service.looks.see([one.name for one in there.values()])
            except VolfsError as error:  # a restore would find the binds
                log.warning("the view is not on record as a user", extra={"volumes": len(there), "why": str(error)})
                await trio.sleep(AGAIN)
                seen = False
            if not seen:
                self._unseen |= there
                self._some_unseen.set()

    def _place(self, volume: Volume, binding: Binding, source: str) -> None:
        descriptor = _open(source, volume)
        try:
            if volume.source is not None and not is_mount_root("", dir_fd=descriptor):
                raise OSError(errno.EIO, "what its options say has just been unmounted")
            if not is_mount_root(self._target(volume.name)):
                bind(descriptor, self._target(volume.name), read_only=self._read_only)
            binding.status = os.fstat(descriptor)
        finally:
            os.close(descriptor)


def _open(mountpoint: str, volume: Volume) -> int:
    """An O_PATH descriptor of the data. Where a plugin has it is the plugin's word, and may be a symlink of its."""
    follow = os.O_NOFOLLOW if volume.local else 0
    return os.open(mountpoint, os.O_PATH | os.O_DIRECTORY | follow | os.O_CLOEXEC)


def _untouching(descriptor: int) -> int:
    """A descriptor of the same that changes nothing, not even an access time, where we may make one."""
    try:
        copy = read_only_copy(descriptor)
    except PermissionError:  # the view itself is read only all the same
        return descriptor
    os.close(descriptor)
    return copy
