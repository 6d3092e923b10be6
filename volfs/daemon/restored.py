"""Restore, whichever root it is: what the daemon begins with.

Law: what is not restored is not served. Nothing here waits for a network or a plugin.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from volfs.adopt.adopt import restore
from volfs.container.recovery import recover as recover_containers
from volfs.dockerroot import owner
from volfs.driver.local import LocalDriver
from volfs.errors import VolfsError
from volfs.observe.driver import ObservedDriver
from volfs.observe.look import DockerRoot
from volfs.observe.restore import recover as mirror
from volfs.settings import Settings
from volfs.volume.recovery import boot_id
from volfs.volume.restore import Plan
from volfs.volume.store import Store


class Restored(NamedTuple):
    """What restore has brought together; `docker` where a Docker root is observed."""

    driver: LocalDriver
    store: Store
    plan: Plan
    docker: DockerRoot | None = None


def restored(settings: Settings) -> Restored | None:
    """None where it cannot be restored; why has been said, on standard error."""
    try:
        return _restored(settings)
    except VolfsError as error:
        print(f"volfs: {error}", file=sys.stderr)
        return None


def _restored(settings: Settings) -> Restored:
    if settings.observe:
        observed = ObservedDriver(Path(settings.observe))
        docker = DockerRoot(observed, boot_id())
        return Restored(observed, mirror(docker, Path(settings.root), settings.view), Plan(), docker)
    driver = LocalDriver(Path(settings.root))
    owner.claim(driver.root)  # held until this process ends
    driver.prepare()
    store, plan = restore(driver, settings.view, adopting=settings.adopt)
    recover_containers(driver.volumes.parent, store)
    return Restored(driver, store, plan)
