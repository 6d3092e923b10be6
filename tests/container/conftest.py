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
