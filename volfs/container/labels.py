"""SELinux labels of what is mounted into a container, where `z` or `Z` asked for them and this host has SELinux.

    z   containers share it   the container's label with the level s0, which has no categories
    Z   this container's own  its label as it is

Law: a symlink is labelled, not followed; directories that the host needs are refused; a file system without labels is
no error. What was asked for and is not done is told. Blocks. Source: moby's MountPoint.Setup, opencontainers/selinux.
"""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from volfs.container.config import MountPoint
from volfs.errors import HostError, Invalid
from volfs.findings import Finding

SELINUX = Path("/sys/fs/selinux/enforce")  # there while the kernel's SELinux is on
_ATTRIBUTE = "security.selinux"
_OF_THE_HOST = {"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin"}
_OF_THE_HOST |= {"/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/tmp"}


def relabel(
    sources: Iterable[tuple[MountPoint, str]], label: str, container: str, *, selinux: Path = SELINUX
) -> list[Finding]:
    """Labels the sources that ask for it; "" is a container without a label, for which nothing is done.

    Returns what was not done. Raises Invalid for a directory of the host, HostError.
    """
    findings = []
    for mount, source in sources:
        if not mount.relabel or not label:
            continue
        what = f"the mount at {mount.destination} of container {container}"
        if not selinux.exists():
            text = f"{what} was to be labelled for SELinux ({mount.relabel}): this host has none, nothing was done"
            findings.append(Finding("container-not-relabelled", text, container))
            continue
        if os.path.realpath(source) in _OF_THE_HOST:
            raise Invalid(f"{what}: {source} is needed by the host, its SELinux labels are not changed")
        try:
            _label(source, (_shared(label) if mount.relabel == "z" else label).encode())
        except RecursionError:
            raise HostError(f"{what}: {source} is nested too deeply to be labelled for SELinux") from None
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                text = f"{what}: {source} cannot be labelled for SELinux: {error.strerror}"
                raise HostError(text, error.errno) from error
            text = f"{what} was to be labelled for SELinux ({mount.relabel}): its file system has no labels"
            findings.append(Finding("container-not-relabelled", text, container))
    return findings


def _shared(label: str) -> str:
    """`user:role:type:level` with a level that every container has."""
    fields = label.split(":", 3)
    return ":".join([*fields[:3], "s0"]) if len(fields) == 4 else label


def _label(source: str, label: bytes) -> None:
    os.setxattr(source, _ATTRIBUTE, label)
    for _, directories, files, here in os.fwalk(source):
        for name in (*directories, *files):
            try:
                os.setxattr(f"/proc/self/fd/{here}/{name}", _ATTRIBUTE, label, follow_symlinks=False)
            except FileNotFoundError:
                continue  # it went meanwhile
