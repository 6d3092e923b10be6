"""What is left on the host: mounts, dead views, work that was cut off. Pure."""

from collections.abc import Iterator

from volfs.check.observation import Observation
from volfs.check.problem import Detach, DetachView, Problem, Restore, Severity, Sweep
from volfs.check.records import Known
from volfs.container.config import MountType
from volfs.volume.restore import Kernel, mounted_in

_WORK = ((".removing-", "a removal"), (".creating-", "a create"), (".importing-", "an import"))


def problems(seen: Observation, known: Known) -> Iterator[Problem]:
    """All of this kind."""
    for path in known.plan.unmount if not seen.docker else _leaked_of_docker(seen, known):
        meaning = f"something is mounted at {path}, and nobody is known to use it"
        volume = path[len(seen.volumes) + 1 :].partition("/")[0]
        yield Problem("mount-leaked", Severity.WARNING, volume, meaning, f"`umount {path}`", path, Detach(path))
    for path in seen.views:
        if path != seen.view:
            meaning = f"{path} is a view of this root without a daemon: whoever touches it gets an error"
            remedy = f"`umount -l {path}`, or serve it again: the next start takes it away"
            yield Problem("view-dead", Severity.ERROR, "", meaning, remedy, path, DetachView(path))
    if not seen.owner:
        for work in seen.work:
            what = next((what for beginning, what in _WORK if work.startswith(beginning)), "work")
            meaning = f"{seen.volumes}/{work} is left of {what} that was cut off"
            remedy = "it goes at the next start of `volfs serve`"
            yield Problem("work-left", Severity.NOTE, "", meaning, remedy, work, Sweep(work))
        for name in known.plan.finished:
            meaning = "its removal was cut off before it was taken out of the catalogue"
            yield Problem(
                "work-left", Severity.NOTE, name, meaning, "the next start of `volfs serve` ends it", repair=Restore()
            )


def _leaked_of_docker(seen: Observation, known: Known) -> Iterator[str]:
    """Docker has mounted what the options of a volume say while a container with it runs."""
    used = {
        mount.name
        for container in seen.containers
        if container.running
        for mount in container.mount_points
        if mount.type is MountType.VOLUME
    }
    volumes = known.volumes or {}
    mounting = {one.name for one in seen.directories if one.mounts or one.opts_damage}
    mounting |= {name for name, one in volumes.items() if one.source is not None}
    leaked = mounted_in(Kernel(seen.mounts, seen.boot, seen.volumes, seen.view)) & mounting - used
    for mount in reversed(seen.mounts):
        place, _, rest = mount.mountpoint.removeprefix(seen.volumes + "/").partition("/")
        if mount.mountpoint.startswith(seen.volumes + "/") and place in leaked and rest:
            yield mount.mountpoint
