"""Containers' mounts over HTTP: `POST /volfs/containers/mounts` and `DELETE /volfs/containers/ID`, routes of our own.

    {"Directory": "/…/containers/ID"} or {"Id": "3f2a"}, and "Owner": [uid, gid] of the container's root
    → {"Id", "Name", "Mounts": [OCI mount], "RootfsPropagation", "Warnings": [{"Code", "Text"}]}

Law: as everywhere in `api`, nothing is decided here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from volfs.api.http import Answer, Request, json
from volfs.container.setup import Containers
from volfs.errors import Invalid
from volfs.findings import Finding

PREFIX = "/volfs/containers/"


class _Wanted(msgspec.Struct, rename="pascal"):
    directory: str = ""
    id: str = ""
    owner: tuple[int, int] = (0, 0)


class ContainerRoutes:
    """The handlers, as the Engine API wants them."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    async def mounts(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        """Sets a container up."""
        wanted = _parse(request.body)
        found = await self._containers.set_up(Path(wanted.directory) if wanted.directory else wanted.id, wanted.owner)
        return json(
            {
                "Id": found.container.id,
                "Name": found.container.name,
                "Mounts": found.result.mounts,
                "RootfsPropagation": found.result.rootfs_propagation,
                "Warnings": _shown(found.warnings),
            }
        )

    async def release(self, request: Request, version: str) -> Answer:  # noqa: ARG002
        """Gives back what a container has."""
        released = await self._containers.release(request.path.rpartition("/")[2])
        return json({"Id": released.container, "Volumes": released.volumes, "Warnings": _shown(released.warnings)})


def _parse(body: bytes) -> _Wanted:
    try:
        wanted = msgspec.json.decode(body, type=_Wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the body cannot be read: {error}") from error
    if bool(wanted.directory) == bool(wanted.id):
        raise Invalid("the body names either a Directory or an Id")
    if wanted.directory and (not wanted.directory.startswith("/") or "\0" in wanted.directory):
        raise Invalid("Directory is an absolute path")
    if not all(0 <= one < 1 << 32 for one in wanted.owner):
        raise Invalid("Owner is a user and a group")
    return wanted


def _shown(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [{"Code": one.code, "Text": one.text} for one in findings]
