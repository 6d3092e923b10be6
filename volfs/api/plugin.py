"""Docker's volume plugin protocol, version 1, over HTTP on a Unix socket: what dockerd and Podman talk to.

Every call is a POST with a JSON body (no Content-Type is sent) and may be repeated: dockerd retries. Mount answers the
real directory, so FUSE is never in a container's data path; its `ID` is the reference, one of a set.
Source: docker/cli, docs/extend/plugins_volume.md.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from volfs.api.http import Answer, Request, json
from volfs.errors import Invalid, VolfsError
from volfs.volume.describe import rfc3339
from volfs.volume.evidence import Evidence
from volfs.volume.filters import Filters
from volfs.volume.service import VolumeService
from volfs.volume.volume import Kind, Volume

MEDIA_TYPE = "application/vnd.docker.plugins.v1.1+json"
# Podman repeats these words of `o` in capitals, as notes to itself. Source: podman, pkg/domain/infra/abi/parse.
PODMANS_NOTES = frozenset({"SIZE", "INODES", "UID", "GID", "NOQUOTA"})
NAMELESS = frozenset({"/Plugin.Activate", "/VolumeDriver.List", "/VolumeDriver.Capabilities"})
# dockerd sends a call again whose answer was lost, and then with an empty body: its client has read the first one up.
NO_NAME = "the call names no volume; where volfs was restarted just now, repeat the command"

log = logging.getLogger(__name__)


class Call(msgspec.Struct):
    """The body of every call; what a call does not need is empty."""

    Name: str = ""
    ID: str = ""
    Opts: dict[str, str] | None = None


class PluginApi:
    """The face of the plugin sockets."""

    def __init__(self, service: VolumeService, evidence: Evidence) -> None:
        self._service = service
        self._evidence = evidence
        self._calls: dict[str, Callable[[Call], Awaitable[dict[str, Any]]]] = {
            "/Plugin.Activate": self._activate,
            "/VolumeDriver.Create": self._create,
            "/VolumeDriver.Remove": self._remove,
            "/VolumeDriver.Mount": self._mount,
            "/VolumeDriver.Unmount": self._unmount,
            "/VolumeDriver.Path": self._path,
            "/VolumeDriver.Get": self._get,
            "/VolumeDriver.List": self._list,
            "/VolumeDriver.Capabilities": self._capabilities,
        }

    async def __call__(self, request: Request) -> Answer:
        """Answers every request, whatever comes of it."""
        call = self._calls.get(request.path) if request.method == "POST" else None
        if call is None:
            return _json({"Err": "page not found"}, 404)
        try:
            asked = _parse(request.body)
            if not asked.Name and request.path not in NAMELESS:
                self._evidence.doubt()
                raise Invalid(f"{request.path.rpartition('.')[2].lower()}: {NO_NAME}")
            return _json(await call(asked))
        except VolfsError as error:
            return _json({"Err": str(error)}, 500)
        except Exception:
            log.exception("a request failed", extra={"path": request.path})
            return _json({"Err": "volfs failed on this request; its log says why"}, 500)

    async def _activate(self, _: Call) -> dict[str, Any]:
        return {"Implements": ["VolumeDriver"]}

    async def _capabilities(self, _: Call) -> dict[str, Any]:
        return {"Capabilities": {"Scope": "local"}}

    async def _create(self, call: Call) -> dict[str, Any]:
        options = {key: value for key, value in (call.Opts or {}).items() if key not in PODMANS_NOTES}
        await self._service.create(call.Name, options=options or None)
        return {}

    async def _remove(self, call: Call) -> dict[str, Any]:
        await self._service.remove(call.Name)
        return {}

    async def _mount(self, call: Call) -> dict[str, Any]:
        if not call.ID:
            raise Invalid(f"mount {call.Name}: the call names no ID to give the volume to")
        return {"Mountpoint": await self._service.uses.mount(call.Name, call.ID, Kind.PLUGIN)}

    async def _unmount(self, call: Call) -> dict[str, Any]:
        await self._service.uses.unmount(call.Name, call.ID)
        return {}

    async def _path(self, call: Call) -> dict[str, Any]:
        return {"Mountpoint": self._service.mountpoint(await self._known(call.Name))}

    async def _get(self, call: Call) -> dict[str, Any]:
        return {"Volume": self._shown(await self._known(call.Name))}

    async def _list(self, _: Call) -> dict[str, Any]:
        volumes = await self._service.listed(Filters())
        return {"Volumes": [self._shown(volume) for volume in volumes if not volume.found]}

    async def _known(self, name: str) -> Volume:
        """A volume, without asking the plugin that has it: that may be one that asks us in turn."""
        volume = self._service.store.get(name)
        return volume if volume is not None and not volume.local else await self._service.get(name)

    def _shown(self, volume: Volume) -> dict[str, Any]:
        return {
            "Name": volume.name,
            "Mountpoint": self._service.mountpoint(volume),
            "CreatedAt": rfc3339(volume.created),
            "Status": {"State": volume.state.value},
        }


def _parse(body: bytes) -> Call:
    try:
        return msgspec.json.decode(body or b"{}", type=Call)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the body of the call cannot be read: {error}") from error


def _json(value: dict[str, Any], status: int = 200) -> Answer:
    return json(value, status, MEDIA_TYPE)
