"""What a daemon before this one left bound for containers: kept for those that still have a volume, else taken away."""

import logging
from pathlib import Path

from volfs.container.subpaths import Subpaths
from volfs.errors import HostError
from volfs.volume.store import Store
from volfs.volume.volume import Kind

log = logging.getLogger(__name__)


def recover(root: Path, store: Store) -> None:
    """To be called when restore has dropped the references that are nobody's any more."""
    subpaths = Subpaths(root)
    there = subpaths.containers()
    live = {one.id for _, one in store.all_references() if one.kind is Kind.CONTAINER and one.boot} if there else set()
    for container in there:
        if container not in live:
            try:
                subpaths.keep_only(container, ())
            except HostError as error:
                log.warning("what was bound for a container stays", extra={"container": container, "why": str(error)})
