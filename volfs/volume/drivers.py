"""Who keeps the data of volumes: the local driver, and every volume plugin of this host."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from volfs.driver.local import LocalDriver
from volfs.driver.notes import Notes
from volfs.driver.plugin import Plugin
from volfs.driver.registry import Registry
from volfs.volume.local import LocalVolumes
from volfs.volume.plugins import PluginVolumes
from volfs.volume.volume import LOCAL, Volume

REMEMBERED = 64  # plugins of which is known that they answered; more than a host has
VolumeDriver = LocalVolumes | PluginVolumes


class Drivers:
    """Drivers by name. A plugin is made at the first question for it and asked nothing until it is used."""

    def __init__(self, hands: LocalDriver, registry: Registry) -> None:
        self.local = LocalVolumes(hands)
        self.registry = registry
        self._root = hashlib.sha256(str(hands.volumes).encode(errors="surrogateescape")).hexdigest()[:12]
        self._notes = Notes(hands.volumes.parent)
        self._plugins: dict[str, PluginVolumes] = {}

    def of(self, driver: str) -> VolumeDriver:
        """The driver of this name, whether there is such a plugin now or not."""
        return self.local if driver == LOCAL else self.plugin(driver)

    def told(self, volume: Volume) -> Mapping[str, Any]:
        """The `Status` that a plugin gave its volume, if it was asked since this daemon started."""
        return {} if volume.local else self.plugin(volume.driver).told(volume)

    def plugin(self, name: str) -> PluginVolumes:
        """The plugin of this name, whether there is one now or not."""
        if name not in self._plugins:
            if len(self._plugins) >= REMEMBERED:  # names are anybody's to ask for
                del self._plugins[next(iter(self._plugins))]
            plugin = Plugin(name, partial(self.registry.find, name))
            self._plugins[name] = PluginVolumes(plugin, self._root, self._notes)
        return self._plugins[name]
