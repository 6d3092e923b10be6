"""Whether what volumes are on answers. Pure."""

from collections.abc import Iterator

from volfs.check.observation import Observation, Silence
from volfs.check.problem import Problem, Severity
from volfs.check.records import Known
from volfs.volume.volume import Kind

_FUSE = "fuse"


def problems(seen: Observation, known: Known) -> Iterator[Problem]:
    """All of this kind."""
    for one in seen.silent:
        meaning = f"{_what(one)} does not answer: whoever touches it waits{_users(one.volume, seen, known)}"
        yield Problem("volume-hangs", Severity.ERROR, one.volume, meaning, _remedy(one), one.path)


def _what(one: Silence) -> str:
    if one.plugin:
        return f"its plugin {one.plugin}"
    if one.mount is None:
        return f"its device {one.path}"
    return f"what is mounted at {one.path} ({one.mount.fstype} of {one.mount.source})"


def _remedy(one: Silence) -> str:
    if one.plugin:
        return f"see to the plugin {one.plugin}, or start it again"
    if one.mount is None:
        return f"bring back what serves {one.path}; no other volume waits for it"
    back = f"bring back what serves {one.mount.source}"
    if one.mount.fstype.startswith(_FUSE):
        number = one.mount.device.partition(":")[2]
        return f"{back}, or have everybody get an error: `echo 1 > /sys/fs/fuse/connections/{number}/abort`"
    return f"{back}, or give it up: stop who uses it, then `umount -f -l {one.path}`"


def _users(volume: str, seen: Observation, known: Known) -> str:
    users = list(known.needs.get(volume, ()))
    named = {one.id for one in seen.containers}
    for name, one in seen.catalogue.references if seen.catalogue is not None else ():
        if name == volume and one.id not in named and one.kind is not Kind.LEAVING:
            users.append("the view" if one.kind is Kind.VIEW else f"{one.kind.value} {one.id[:12]}")
    return f"; in use by {', '.join(users)}" if users else "; nobody is known to use it"
