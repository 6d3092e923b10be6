"""A volume plugin as its client sees it: Docker's protocol, one connection a call.

    Plugin.Activate   once, before the first call: does it keep volumes at all?
    VolumeDriver.     Create Remove Mount Unmount List Get Capabilities

Law: a call ends. It is answered, or it raises Unavailable at its deadline, which is Docker's: two minutes for Create
and Mount, one for the rest. For these two a plugin that is starting gets 15 seconds to listen; nothing of a request was
sent before that, so trying again is safe. What the plugin says is not trusted: its size is bounded, and field names are
read as Go reads them, in any case.
Source: docker/cli, docs/extend/plugins_volume.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import trio

from volfs.driver import wire
from volfs.driver.address import Address
from volfs.errors import HostError, NotFound, Unavailable

SHORT, LONG = 60.0, 120.0  # seconds
_LARGE = 256 << 10  # bytes of an answer that takes the event loop some milliseconds to read
_MANY = 1_000  # volumes that take as long to go over
_LONGEST_ERROR = 1_000  # characters of a plugin's error that are passed on
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between tries to connect


class NotReached(Unavailable):
    """The plugin is not there to be asked: nothing of the call was sent to it."""


@dataclass(frozen=True)
class PluginVolume:
    """A volume as its plugin tells it; `created` in seconds since the epoch, 0 where it does not say."""

    name: str
    mountpoint: str = ""
    created: int = 0
    status: Mapping[str, Any] = field(default_factory=dict)


class _Volume(msgspec.Struct):
    name: str | None = ""
    mountpoint: str | None = ""
    createdat: str | None = ""
    status: dict[str, Any] | None = None


class _Answer(msgspec.Struct):
    err: str | None = ""
    implements: list[str] | None = None
    mountpoint: str | None = ""
    volume: _Volume | None = None
    volumes: list[_Volume | None] | None = None
    capabilities: dict[str, Any] | None = None


class Plugin:
    """The plugin called `name`. `find` says where it listens now; it blocks and raises as `Registry.find` does."""

    def __init__(self, name: str, find: Callable[[], Address]) -> None:
        self.name = name
        self._find = find
        self._active = False
        self._looking = trio.CapacityLimiter(4)

    async def activate(self, *, patient: bool = False) -> None:
        """Makes sure that it keeps volumes; raises NotFound where it is a plugin for something else."""
        if self._active:
            return
        answer = await self._exchange("Plugin.Activate", None, SHORT, patient)
        if "VolumeDriver" not in (answer.implements or ()):
            raise NotFound(f'plugin "{self.name}" does not implement "VolumeDriver"')
        self._active = True

    async def create(self, name: str, options: Mapping[str, str]) -> None:
        """Makes a volume."""
        await self._call("Create", {"Name": name, "Opts": dict(options)}, LONG, patient=True)

    async def remove(self, name: str) -> None:
        """Removes a volume and its data."""
        await self._call("Remove", {"Name": name})

    async def mount(self, name: str, user: str) -> str:
        """Where the volume's data is, for the user of this id."""
        answer = await self._call("Mount", {"Name": name, "ID": user}, LONG, patient=True)
        mountpoint = answer.mountpoint or ""
        if not mountpoint.startswith("/") or "\0" in mountpoint:  # it has mounted, nobody knows where
            raise Unavailable(f"plugin {self.name} answered Mount without an absolute Mountpoint")
        return mountpoint

    async def unmount(self, name: str, user: str) -> None:
        """The user of this id needs the data no more."""
        await self._call("Unmount", {"Name": name, "ID": user})

    async def get(self, name: str) -> PluginVolume | None:
        """The volume; None where the plugin answers that there is none. An error of its may mean the same."""
        volume = (await self._call("Get", {"Name": name})).volume
        return _volume(volume) if volume is not None and volume.name else None

    async def list(self) -> list[PluginVolume]:
        """All its volumes."""
        told = (await self._call("List", {})).volumes or []
        if len(told) > _MANY:
            return await trio.to_thread.run_sync(_volumes, told, limiter=self._looking)
        return _volumes(told)

    async def scope(self) -> str:
        """`global` where the plugin's volumes are the same on every host, else `local`, also where it does not say."""
        try:
            said = (await self._call("Capabilities", {})).capabilities or {}
        except HostError:
            return "local"
        scope = next((value for key, value in said.items() if key.lower() == "scope"), "")
        return "global" if isinstance(scope, str) and scope.lower() == "global" else "local"

    async def _call(
        self, method: str, body: Mapping[str, Any], deadline: float = SHORT, patient: bool = False
    ) -> _Answer:
        try:
            await self.activate(patient=patient)
        except Unavailable as error:
            raise NotReached(str(error)) from error
        return await self._exchange(f"VolumeDriver.{method}", body, deadline, patient)

    async def _exchange(self, path: str, body: Mapping[str, Any] | None, deadline: float, patient: bool) -> _Answer:
        """One call. Raises HostError with the plugin's own words, Unavailable where it gives no answer that is one."""
        text = b"" if body is None else msgspec.json.encode(body) + b"\n"
        try:
            with trio.fail_after(deadline):
                status, answer = await self._posted(path, text, PAUSES if patient else ())
        except trio.TooSlowError:
            raise Unavailable(f"plugin {self.name} did not answer {path} within {deadline:.0f} seconds") from None
        except wire.WireError as error:
            kind = NotReached if isinstance(error, wire.NoConnection) else Unavailable
            raise kind(f"plugin {self.name} did not answer {path}: {error}") from error
        if len(answer) > _LARGE:
            return await trio.to_thread.run_sync(self._read, path, status, answer, limiter=self._looking)
        return self._read(path, status, answer)

    async def _posted(self, path: str, text: bytes, pauses: tuple[float, ...]) -> tuple[int, bytes]:
        for pause in (*pauses, None):
            address = await trio.to_thread.run_sync(self._find, limiter=self._looking)
            try:
                stream = await wire.connect(address)
            except wire.WireError:
                if pause is None:
                    raise
                await trio.sleep(pause)
                continue
            return await wire.post(stream, path, text)
        raise AssertionError

    def _read(self, path: str, status: int, text: bytes) -> _Answer:
        try:
            answer = msgspec.convert(_folded(msgspec.json.decode(text)) if text.strip() else {}, _Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            answer = None
        if answer is not None and answer.err:
            raise HostError(f"{path}: {answer.err[:_LONGEST_ERROR]}")
        if answer is None or status != 200:
            raise Unavailable(f"plugin {self.name} answered {path} with HTTP {status} and nothing that makes sense")
        return answer


def _folded(answer: object) -> object:
    """Field names in lower case, as Go finds them in any; the contents of `Status` and of maps stay."""
    if not isinstance(answer, dict):
        return answer
    fields = {key.lower(): value for key, value in answer.items()}
    for key in ("volume", "volumes"):
        fields[key] = _folded_volumes(fields.get(key))
    return fields


def _folded_volumes(value: object) -> object:
    if isinstance(value, list):
        return [_folded_volumes(one) for one in value]
    return {key.lower(): content for key, content in value.items()} if isinstance(value, dict) else value


def _volumes(told: Sequence[_Volume | None]) -> list[PluginVolume]:
    return [_volume(one) for one in told if one is not None and one.name]


def _volume(told: _Volume) -> PluginVolume:
    return PluginVolume(told.name or "", told.mountpoint or "", _seconds(told.createdat or ""), told.status or {})


def _seconds(rfc3339: str) -> int:
    try:
        return int(datetime.fromisoformat(rfc3339).timestamp())
    except (ValueError, OverflowError):
        return 0
