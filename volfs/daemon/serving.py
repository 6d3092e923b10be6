"""A running daemon: the faces and all that works behind them, in one nursery tree.

    serve
      Writer.run        commits                     DataPlane.run   binds, expires
      Threads.watch     excuses who hangs
      Trash.run         deletes removed trees       view            FUSE
      Lists.run         asks the plugins            http            the Engine API and the plugin protocol
      Evidence.run      users who left unheard      signals         SIGTERM: stop. SIGHUP: make room for the next
      Usage.run         measures when asked         Mending.run     volumes in trouble, looked at again
      Sealing.run       syncs what only the catalogue vouches for
      settle            owed invalidations, checks  lifeline        ends with the keeper
      Follower.run      where a Docker root is observed: what Docker has changed

Law: stopping is crashing, starting is recovering. SIGTERM only adds that the view gives its volumes back; what must be
true after a crash is seen to by restore, never on the way out.
"""

import importlib
import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from volfs.daemon.parting import Parting
from volfs.daemon.restored import Restored
from volfs.driver.registry import Registry
from volfs.errors import NotFound, VolfsError
from volfs.keeper.child import READY, Held, announce
from volfs.keeper.fuse import detach_view
from volfs.mount.syscalls import can_mount
from volfs.observe.follow import Follower
from volfs.settings import DEFAULT_SOCKET, Settings
from volfs.view import serving, tree
from volfs.view.dataplane import DataPlane
from volfs.view.inodes import NodeKind, inode
from volfs.view.invalidation import Invalidator, Notice, notices, notices_of_figures, notices_of_texts
from volfs.view.operations import Operations
from volfs.view.passthrough import Passthrough
from volfs.view.shown import ALL, Shown
from volfs.view.texts import Texts
from volfs.view.tree import Door
from volfs.volume import probe
from volfs.volume.changes import Edition, Owed
from volfs.volume.evidence import Evidence
from volfs.volume.lists import Lists
from volfs.volume.mending import Mending
from volfs.volume.recovery import boot_id
from volfs.volume.restore import in_background
from volfs.volume.service import VolumeService
from volfs.volume.suspicion import suspect
from volfs.volume.trash import Trash
from volfs.volume.volume import State, Volume
from volfs.volume.writer import Writer

RENEWED_AT_ONCE = 1_000  # volumes whose texts are forgotten together
SETTLED = 3.0  # seconds after a start in which nobody is to be kept waiting by what can be done later
GRACE = 4.0  # seconds that requests under way get when the daemon is asked to end

HTTP = "volfs.api.serving"

log = logging.getLogger(__name__)


class Daemon:
    """A running daemon: the parts, made from the settings and what restore found."""

    def __init__(self, settings: Settings, control: socket.socket, held: Held, restored: Restored) -> None:
        driver, self._store, self._plan, docker = restored
        self._settings = settings
        self._control = control
        self._held = held
        store, plan = self._store, self._plan
        self._ending = trio.Event()
        self._replaced = False
        self._writer = Writer(store)
        self._trash = Trash(driver, [work for work in plan.sweep if in_background(work)])
        registry = Registry(settings.plugin_path, settings.plugin_sockets)
        self._service = VolumeService(store, self._writer, driver, self._trash, boot_id(), registry)
        self._lists = Lists(self._service)
        self._evidence = Evidence(self._service, settings.view)
        self._mending = Mending(self._service)
        self._follower = Follower(docker, self._service) if docker is not None else None
        binds = settings.data_plane == "bind" or (settings.data_plane == "auto" and can_mount())
        self._binds = binds
        self._plane = DataPlane(
            self._service,
            settings.view,
            binds=binds,
            idle=settings.idle,
            most=settings.max_binds,
            read_only=settings.read_only,
            stale=plan.stale,
        )
        # Where a bind takes its place, every stat of a _data must come here: its attributes are never cached.
        self._passthrough = Passthrough(
            self._plane.open_data, home=Path(settings.root).stat().st_dev, root_timeout=0.0 if binds else 1.0
        )
        self._texts = Texts(self._service)
        self._shown = Shown(ALL if store.is_new() and not held.fresh else store.next_serial())
        self._invalidator = Invalidator()
        self._service.commits.on_change = self._changed
        self._service.drivers.local.on_release = self._let_go
        self._service.uses.on_dismissal = self._displace
        self._service.usage.on_figures = self._figures_changed

    async def run(self, began: float) -> None:
        """Serves until it is asked to end, or the view is gone. `began`: when the process did, monotonic."""
        self._attach_view()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._writer.run)
            nursery.start_soon(self._service.drivers.local.threads.watch)
            nursery.start_soon(self._plane.run)
            nursery.start_soon(self._trash.run)
            nursery.start_soon(self._lists.run)
            nursery.start_soon(self._evidence.run)
            if self._follower is None:
                nursery.start_soon(self._mending.run)
            nursery.start_soon(self._service.usage.run)
            nursery.start_soon(self._service.sealing.run)
            nursery.start_soon(self._hear_signals)
            nursery.start_soon(self._hear_keeper)
            nursery.start_soon(self._serve_view)
            http = trio.Event()
            await self._settle()  # first: who asks again for what was carried out must see it done
            await nursery.start(self._serve_http, http)
            if self._follower is not None:
                nursery.start_soon(self._follower.run)
            if self._store.edition() != tree.edition():
                await self._renew_texts()
            self._report_ready(began)
            nursery.start_soon(self._verify)
            nursery.start_soon(self._check_catalogue)
            await self._ending.wait()
            self._service.events.close()
            self._service.usage.close()
            with trio.move_on_after(GRACE) as grace:
                if not self._replaced:
                    await self._leave()
                await http.wait()
            parting = Parting(self._held.fuse, self._held.init, *self._held.listeners)
            if grace.cancelled_caught:  # somebody waits for a store, or reads nothing
                parting.now("requests under way are cut off")
            parting.at_last("what waits for a store that does not answer is left behind")
            nursery.cancel_scope.cancel()
        self._passthrough.close()

    # The view

    def _attach_view(self) -> None:
        door = Door(os.geteuid(), self._settings.gid, self._settings.mode)
        operations = Operations(self._service, self._plane, self._passthrough, self._texts, door, self._shown)
        serving.attach(operations, self._held.init, self._held.fuse, self._invalidator.served, acls=not self._binds)

    async def _serve_view(self) -> None:
        try:
            await serving.serve()
        finally:
            self._invalidator.served.set()  # nobody is to be told any more
        self._ending.set()

    async def _changed(self, owed: Sequence[Owed]) -> None:
        """Makes committed changes visible."""
        forget = [notice for one in owed for notice in self._notices(one)]
        await self._invalidator.send(list(dict.fromkeys(forget)))

    def _notices(self, owed: Owed) -> list[Notice]:
        self._texts.forget(owed.serial)
        current = self._store.get(owed.name)
        there = current if current is not None and current.serial == owed.serial else None
        shown = there is not None or self._shown.forget(owed.serial)
        if there is None or self._is_taken_away(there):
            self._plane.forget(owed.serial)
            self._passthrough.forget_tree(inode(owed.serial, NodeKind.DATA))
        if current is not None:
            self._mending.note(current)
        return notices(owed, current, shown=shown)

    def _is_taken_away(self, volume: Volume) -> bool:
        """Whether the data went while the volume stays: Docker has unmounted it."""
        return self._follower is not None and not volume.state.has_data

    async def _figures_changed(self, owed: Sequence[Owed]) -> None:
        for one in owed:
            self._texts.forget(one.serial)
        await self._invalidator.send(notices_of_figures(owed))

    def _let_go(self, volume: Volume) -> None:
        """The volume is about to be unmounted: descriptors of its data that are cached would keep it busy."""
        self._passthrough.forget_tree(inode(volume.serial, NodeKind.DATA))

    async def _displace(self, volume: Volume) -> None:
        """A plugin is about to remove the volume: what is bound of it would keep its device busy."""
        self._let_go(volume)
        await self._plane.displace(volume)

    async def _settle(self) -> None:
        """Sends the invalidations that a daemon before this one may have owed; a fresh view has nothing cached."""
        if self._held.fresh:
            self._store.settle_all()
        else:
            owed = self._store.owed()
            await self._changed(owed)
            self._store.settle(owed)

    async def _renew_texts(self) -> None:
        """After an upgrade the lengths that the kernel has cached are those of the old texts."""
        rows = self._store.numbers(0, RENEWED_AT_ONCE)
        while rows and not self._held.fresh:
            await self._invalidator.send(notices_of_texts([serial for serial, _, _ in rows]))
            rows = self._store.numbers(rows[-1][0], RENEWED_AT_ONCE)
        try:
            await self._service.commits.commit_unseen(Edition(tree.edition()))
        except VolfsError as error:  # then the next daemon has them forgotten once more
            log.warning("the edition of the texts is not noted", extra={"why": str(error)})

    # HTTP

    async def _serve_http(self, done: trio.Event, task_status: trio.TaskStatus[None]) -> None:
        """The faces for programs. Importing them takes longer than all of restore: the view answers meanwhile."""
        http = await trio.to_thread.run_sync(importlib.import_module, HTTP)
        async with trio.open_nursery() as nursery:
            faces = self._service, self._lists, self._evidence
            await nursery.start(http.serve_http, *faces, self._held.listeners, self._ending.wait)
            task_status.started()
        done.set()

    # Beginning and ending

    def _report_ready(self, began: float) -> None:
        log.info(
            "ready",
            extra={
                "volumes": self._store.count(),
                "adopted": len(self._plan.adopt),
                "missing": len(self._plan.missing),
                "unmounted": len(self._plan.unmount),
                "seconds": round(time.monotonic() - began, 3),
                "view": self._settings.view,
                "root": self._settings.observe or self._settings.root,
            },
        )
        if self._store.count() == 0 and self._follower is None:
            path = f"{self._settings.run_dir}/volfs.sock"
            host = "" if path == DEFAULT_SOCKET else f"--host {path} "
            log.info("no volume yet", extra={"make_one_with": f"volfs {host}create NAME"})
        announce(self._control, READY)

    async def _verify(self) -> None:
        """Reads the opts.json of volumes with options: one that cannot be read makes its volume unusable, no other."""
        for name in self._plan.verify:
            try:
                volume = await self._service.get(name)
            except NotFound:
                continue  # removed meanwhile
            except VolfsError as error:
                log.warning("volume cannot be looked at", extra={"volume": name, "why": str(error)})
                continue
            if volume.state is State.DAMAGED:
                log.error("volume damaged", extra={"volume": name})

    async def _check_catalogue(self) -> None:
        """Damage that restore did not come by would be met one day: rather now, and the next daemon is rid of it."""
        await trio.sleep(SETTLED)
        if await trio.to_thread.run_sync(probe.is_surely_damaged, self._store.path, abandon_on_cancel=True):
            log.error("the catalogue is damaged, the next daemon rebuilds it", extra={"catalogue": self._store.path})
            suspect(self._store.path)
            self._replaced = True
            self._ending.set()

    async def _hear_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
            async for number in signals:
                self._replaced = number == signal.SIGHUP
                self._ending.set()

    async def _hear_keeper(self) -> None:
        """The keeper never says anything; when its end closes, nobody would take the view away after this daemon."""
        await trio.lowlevel.wait_readable(self._control)
        if not self._ending.is_set():
            log.error("the keeper is gone, the view is detached")
            await trio.to_thread.run_sync(detach_view, self._settings.view)
            self._ending.set()

    async def _leave(self) -> None:
        """Not where a signal is heard: the keeper detaches the view meanwhile, which ends the daemon as well."""
        try:
            await self._service.uses.leave_view()
        except VolfsError as error:  # the next restore sees to what is left
            log.warning("the view's volumes are left mounted", extra={"why": str(error)})
