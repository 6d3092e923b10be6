"""Who uses Docker's volumes: the containers under ROOT/containers, running or not.

Law: reads only. One config.v2.json is read when it was heard of, and kept until then. One that cannot be read keeps
what was known of its container, and is told once.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from volfs.container.config import Container, MountType, parse
from volfs.dockerroot.source import read_text
from volfs.errors import NotFound, VolfsError
from volfs.observe.watches import CONFIG, Watches
from volfs.volume.volume import LOCAL, Kind, Reference

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Use:
    """A container as a user, and the names of the local volumes that it has, whether it runs or not."""

    reference: Reference
    volumes: frozenset[str]


class Containers:
    """The containers of one Docker root. `boot` is the kernel's boot id."""

    def __init__(self, directory: Path, watches: Watches, boot: str) -> None:
        self._directory = directory
        self._watches = watches
        self._boot = boot
        self._uses: dict[str, Use] = {}
        self._doubted: set[str] = set()
        self._complaints: dict[str, str] = {}

    def doubt(self, containers: set[str] | None) -> None:
        """These are to be read again; None stands for all."""
        self._doubted.update(self._uses if containers is None else containers)

    def look(self, there: list[str]) -> list[Use]:
        """The users now; `there` are the names of the directories that there are."""
        before, self._uses = self._uses, {}
        doubted, self._doubted = self._doubted, set()
        for container in there:
            use = before.get(container)
            if use is None or container in doubted:
                self._watches.watch_container(container)
                use = self._read(container, use)
            if use is not None:
                self._uses[container] = use
        return list(self._uses.values())

    def _read(self, container: str, before: Use | None) -> Use | None:
        try:
            found = parse(read_text(self._directory / container / CONFIG), None)
        except NotFound:  # not made yet, or being removed
            return None
        except VolfsError as error:
            if self._complaints.get(container) != str(error):
                self._complaints[container] = str(error)
                log.warning("what a container uses is not known", extra={"container": container, "why": str(error)})
            return before
        self._complaints.pop(container, None)
        return use_of(found, self._boot)


def use_of(container: Container, boot: str) -> Use:
    """A container as a user; of one that does not run, the reference has no boot. Pure."""
    boot = boot if container.running else ""
    since = _seconds(container.created)
    reference = Reference(container.id, Kind.CONTAINER, boot, since, container.name, container.state)
    volumes = (one.name for one in container.mount_points if one.type is MountType.VOLUME and one.driver == LOCAL)
    return Use(reference, frozenset(name for name in volumes if name))


def _seconds(rfc3339: str) -> int:
    try:
        moment = datetime.fromisoformat(rfc3339)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return 0
