"""The mount tables of every mount namespace that a process lives in: where on this host something is mounted.

Law: only looks. Blocks for as long as /proc takes, which is some milliseconds for hundreds of processes.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from volfs.errors import Invalid
from volfs.mount.mountinfo import MountEntry, parse


def mount_tables() -> Iterator[list[MountEntry]]:
    """One table a namespace, as its first process sees it; processes that end meanwhile are passed over."""
    seen: set[str] = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with suppress(OSError, Invalid):
            namespace = str((process / "ns" / "mnt").readlink())
            if namespace not in seen:
                table = parse((process / "mountinfo").read_bytes())
                seen.add(namespace)
                yield table
