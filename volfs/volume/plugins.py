"""A plugin as a driver for the service: the data is the plugin's, the record is ours and stays.

    OK        the plugin has it            MISSING   the plugin answered, and has it not
    UNKNOWN   the plugin did not answer, or answered nonsense

Law: the caller holds the volume's lock, which a plugin that hangs keeps: of this volume, of no other. No answer and no
error of a plugin takes a record away; only a removal does.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import trio

from volfs.driver.discretion import secrets_of, without, without_inside
from volfs.driver.names import parse_plugin_name
from volfs.driver.notes import Notes
from volfs.driver.plugin import Plugin, PluginVolume
from volfs.driver.record import Description
from volfs.errors import HostError, Unavailable, VolfsError
from volfs.volume.volume import VIEW_REFERENCE, State, Volume

REMEMBERED = 1_000  # volumes of which the last word of the plugin is kept
PATIENCE = 10.0  # seconds that somebody who only asks about a volume waits for its plugin

log = logging.getLogger(__name__)


class PluginVolumes:
    """The volumes of one plugin. `root` tells this daemon's users from another's: a plugin sees ids only."""

    def __init__(self, plugin: Plugin, root: str, notes: Notes) -> None:
        self.plugin = plugin
        self._notes = notes
        self._files = trio.CapacityLimiter(4)
        self._view = f"volfs-view-{root}"
        self._places = trio.CapacityLimiter(math.inf)  # one for each volume at most: the lock sees to it
        self._told: dict[str, Mapping[str, Any]] = {}

    async def create(self, name: str, options: dict[str, str] | None, labels: dict[str, str] | None) -> Volume:
        """Has the plugin make the volume, unless it has it already, as Docker does. Returns a record to store."""
        wanted = parse_plugin_name(name)
        await self.plugin.activate(patient=True)
        there = await self._there(wanted)
        if there is None:
            await self.plugin.create(wanted, options or {})
        created = (there.created if there else 0) or int(time.time())
        note = Description(created, self.plugin.name, labels, options)
        await trio.to_thread.run_sync(self._notes.write, wanted, note, limiter=self._files)
        return Volume(
            name=wanted,
            serial=0,
            created=created,
            driver=self.plugin.name,
            options=options,
            labels=labels,
            mountpoint=there.mountpoint if there else "",
            scope=await self._scope(),
        )

    async def _there(self, name: str) -> PluginVolume | None:
        try:
            return await self.plugin.get(name)
        except HostError:
            return None  # most plugins say so that there is none

    async def _scope(self) -> str:
        try:
            return await self.plugin.scope()
        except VolfsError:
            return "local"

    def doubtful(self, volume: Volume) -> bool:  # noqa: ARG002
        """The plugin may always say something else than what is noted."""
        return True

    async def look(self, volume: Volume) -> Volume:
        """The record as the plugin says now that it should be."""
        with trio.move_on_after(PATIENCE):
            try:
                told = await self._asked(volume)
            except VolfsError as error:
                log.warning(
                    "a plugin is in trouble", extra={"driver": volume.driver, "why": _discreetly(error, volume)}
                )
            else:
                return as_told(volume, told)
        return msgspec.structs.replace(volume, state=State.UNKNOWN)

    async def _asked(self, volume: Volume) -> PluginVolume | None:
        """The volume; an error about one volume may mean that there is none, which only the list tells."""
        name = volume.name
        try:
            told = await self.plugin.get(name)
        except HostError:
            told = next((one for one in await self.plugin.list() if one.name == name), None)
            if told is not None:
                raise
        if told is not None:
            self._told.pop(name, None)
            self._told[name] = without_inside(told.status, secrets_of(volume.options))
            if len(self._told) > REMEMBERED:
                del self._told[next(iter(self._told))]
        return told

    def told(self, volume: Volume) -> Mapping[str, Any]:
        """The `Status` that the plugin gave the volume when it was last asked about it."""
        return self._told.get(volume.name, {})

    def mountpoint(self, volume: Volume) -> str:
        """Where the plugin said that the data is; "" where it is not mounted."""
        return volume.mountpoint

    async def mount(self, volume: Volume, user: str, place: Callable[[str], None] | None) -> str:
        """Has the plugin mount the data for this user; tried whatever state is noted."""
        mountpoint = await self.plugin.mount(volume.name, self._id(user))
        if place is not None:
            await trio.to_thread.run_sync(place, mountpoint, limiter=self._places, abandon_on_cancel=True)
        return mountpoint

    async def unmount(self, volume: Volume, user: str) -> None:
        """Tells the plugin that this user has gone."""
        await self.plugin.unmount(volume.name, self._id(user))

    def _id(self, user: str) -> str:
        return self._view if user == VIEW_REFERENCE else user

    async def remove(self, volume: Volume, *, force: bool) -> None:
        """Has the plugin remove the volume. With `force` the record goes also where the plugin does not do it."""
        try:
            with trio.fail_after(PATIENCE if force else math.inf):
                await self.plugin.remove(volume.name)
        except (VolfsError, trio.TooSlowError) as error:
            if not force and not await self._gone(volume, error):
                raise _with_way_out(volume, error) from error
            log.warning(
                "a volume is forgotten, its plugin did not remove it",
                extra={"volume": volume.name, "driver": volume.driver, "why": _discreetly(error, volume)},
            )
        self._told.pop(volume.name, None)
        await trio.to_thread.run_sync(self._notes.remove, volume.name, limiter=self._files)

    async def _gone(self, volume: Volume, error: Exception) -> bool:
        """Whether the plugin refuses because it has no such volume."""
        if not isinstance(error, HostError):
            return False
        try:
            return all(one.name != volume.name for one in await self.plugin.list())
        except VolfsError:
            return False


def as_told(volume: Volume, told: PluginVolume | None) -> Volume:
    """The record of a volume of which its plugin says this; None: that there is none."""
    if told is None:
        return msgspec.structs.replace(volume, state=State.MISSING)
    return msgspec.structs.replace(volume, state=State.OK, mountpoint=told.mountpoint)


def _discreetly(error: Exception, volume: Volume) -> str:
    """What a plugin said, without the secrets of the volume, which it was told when it made it."""
    return without(str(error), secrets_of(volume.options))


def _with_way_out(volume: Volume, error: Exception) -> VolfsError:
    if isinstance(error, HostError):
        return error
    return Unavailable(
        f"{error}; start the plugin {volume.driver} and try again, or have the volume forgotten with force, "
        "which leaves its data where it is"
    )
