"""The mount tables of every mount namespace that a process lives in: where on this host something is mounted.

Law: only looks, and who could be shown less than there is says so. Blocks for as long as /proc takes, which is some
milliseconds for hundreds of processes.
"""

import os
from pathlib import Path

from volfs.errors import Invalid
from volfs.mount.mountinfo import MountEntry, parse

_HOSTS = "pid:[4026531836]"  # PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h


def mount_tables() -> list[list[MountEntry]] | None:
    """One table a namespace, as its first process sees it; processes that end meanwhile are passed over.

    None where not all can be seen: without the privilege, and in a pid namespace that is not the host's.
    """
    if os.geteuid() != 0 or Path("/proc/self/ns/pid").readlink().name != _HOSTS:
        return None
    seen: set[str] = set()
    tables = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            namespace = str((process / "ns" / "mnt").readlink())
            if namespace not in seen:
                tables.append(parse((process / "mountinfo").read_bytes()))
                seen.add(namespace)
        except (OSError, Invalid):
            continue
    return tables
