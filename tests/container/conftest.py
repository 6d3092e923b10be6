"""Containers out of samples: files that a real dockerd wrote."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from volfs.container.config import Container, parse

SAMPLES = Path(__file__).parent / "samples"
ID = "c" * 64


@pytest.fixture
def sample() -> Callable[[str], Container]:
    """A container that dockerd kept."""

    def load(name: str) -> Container:
        return parse(
            (SAMPLES / f"{name}.config.v2.json").read_bytes(), (SAMPLES / f"{name}.hostconfig.json").read_bytes()
        )

    return load


@pytest.fixture
def container() -> Callable[..., Container]:
    """A container with mount points as in config.v2.json; other fields of its files by their names."""

    def make(*mount_points: dict[str, object], host: dict[str, object] | None = None, **config: object) -> Container:
        points = {str(mount["Destination"]): mount for mount in mount_points}
        return parse(json.dumps({"ID": ID, "MountPoints": points, **config}).encode(), json.dumps(host or {}).encode())

    return make


def write_container(directory: Path, *mount_points: dict[str, object], host: object = None, **config: object) -> Path:
    """The directory of a container called `web`, as Docker keeps one; the fields of its files by their names."""
    directory.mkdir(parents=True, exist_ok=True)
    points = {str(mount["Destination"]): mount for mount in mount_points}
    found = {"ID": ID, "Name": "/web", "MountPoints": points, **config}
    (directory / "config.v2.json").write_text(json.dumps(found))
    (directory / "hostconfig.json").write_text(json.dumps(host or {}))
    return directory


def volume(
    destination: str, name: str = "db", *, subpath: str = "", rw: bool = True, driver: str = "local"
) -> dict[str, object]:
    """A mount point of a volume."""
    spec = {"Type": "volume", "VolumeOptions": {"Subpath": subpath}} if subpath else {}
    return {"Type": "volume", "Name": name, "Driver": driver, "Destination": destination, "RW": rw, "Spec": spec}


def bind(destination: str, source: object, *, rw: bool = True, **fields: object) -> dict[str, object]:
    """A mount point of a directory of the host."""
    return {
        "Type": "bind",
        "Source": str(source),
        "Destination": destination,
        "RW": rw,
        "Propagation": "rprivate",
        **fields,
    }
