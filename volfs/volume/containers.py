"""Which containers there are: those whose files lie in ROOT/containers, as in a Docker data root.

Law: a container that is there needs its volumes, whether it runs or not; one whose files are gone needs nothing.
"""

import re
from pathlib import Path

_ID = re.compile("[0-9a-f]{64}")
_FILE = "config.v2.json"


def containers_in(root: Path) -> set[str]:
    """The ids of all of them."""
    return {path.parent.name for path in root.glob(f"containers/*/{_FILE}")}


def is_container(root: Path, id_: str) -> bool:
    """Whether `id_` is the id of one of them."""
    return _ID.fullmatch(id_) is not None and (root / "containers" / id_ / _FILE).is_file()
