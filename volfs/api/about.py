"""What volfs says of itself and of its host, in Docker's shapes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from volfs import __version__
from volfs.api import messages


@dataclass(frozen=True)
class Host:
    """What the kernel says of the machine; `memory` in bytes, the rest as uname(2) has it."""

    name: str
    kernel: str
    machine: str
    processors: int
    memory: int


def version_of(kernel: str, machine: str) -> dict[str, Any]:
    """The answer of `GET /version`; `kernel` and `machine` as uname(2) has them."""
    details = {
        "ApiVersion": messages.API_VERSION,
        "MinAPIVersion": messages.OLDEST_API_VERSION,
        "Os": "linux",
        "KernelVersion": kernel,
    }
    arch = _architecture(machine)
    return {
        "Platform": {"Name": "volfs"},
        "Components": [{"Name": "Engine", "Version": __version__, "Details": {**details, "Arch": arch}}],
        "Version": __version__,
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
        "Arch": arch,
        **details,
    }


def info_of(host: Host, root: str, drivers: Sequence[str]) -> dict[str, Any]:
    """The answer of `GET /info`: what is true of a daemon that has volumes, of these drivers, and nothing else."""
    return {
        "ID": "",
        "Name": host.name,
        "ServerVersion": __version__,
        "OSType": "linux",
        "OperatingSystem": "volfs",
        "Architecture": host.machine,
        "KernelVersion": host.kernel,
        "NCPU": host.processors,
        "MemTotal": host.memory,
        "DockerRootDir": root,
        "Plugins": {"Volume": list(drivers), "Network": [], "Authorization": None, "Log": []},
        "Containers": 0,
        "ContainersRunning": 0,
        "ContainersPaused": 0,
        "ContainersStopped": 0,
        "Images": 0,
        "Driver": "volfs",
        "DriverStatus": [],
        "Labels": [],
        "SecurityOptions": [],
        "Warnings": None,
        "Swarm": {"LocalNodeState": "inactive"},
    }


def _architecture(machine: str) -> str:
    """Go's name of what uname(2) says."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
