"""The Engine API's words: request bodies parsed as Go parses them, answers in Docker's shapes. Pure.

Field names of requests are case-insensitive, the last of several wins, unknown ones are ignored; `null` stands for the
zero value. Source: Docker's behaviour, observed on Engine 28 and 20.10.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from volfs.errors import Conflict, InUse, Invalid, NotFound, Unavailable, VolfsError

API_VERSION = "1.44"
OLDEST_API_VERSION = "1.24"
_VERSIONED = re.compile(r"/v([0-9.]+)(/.*)", re.DOTALL)
_STATUS: list[tuple[type[VolfsError], int]] = [
    (NotFound, 404),
    (Invalid, 400),
    (Conflict, 409),
    (InUse, 409),
    (Unavailable, 503),
]
_EXPECTED = [
    ("Expecting value", "looking for beginning of value"),
    ("Expecting property name", "looking for beginning of object key string"),
    ("Expecting ':'", "after object key"),
    ("Expecting ','", "after object key:value pair"),
    ("Invalid control character", "in string literal"),
]
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_FALSE = {"", "0", "no", "false", "none"}


@dataclass(frozen=True)
class CreateRequest:
    """The body of `POST /volumes/create`."""

    name: str = ""
    driver: str = ""
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


def status_of(error: VolfsError) -> int:
    """The HTTP status of a kind of failure; the face's one table."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def truth(text: str) -> bool:
    """A boolean query parameter; Docker takes anything it does not know for true."""
    return text.lower() not in _FALSE


def split_version(path: str) -> tuple[str, str]:
    """("1.43", "/volumes") of `/v1.43/volumes`; without a prefix, this API's version. Raises Invalid as Docker does."""
    match = _VERSIONED.fullmatch(path)
    if match is None:
        return API_VERSION, path
    version = match[1]
    if _ordered(version) > _ordered(API_VERSION):
        raise Invalid(f"client version {version} is too new. Maximum supported API version is {API_VERSION}")
    if _ordered(version) < _ordered(OLDEST_API_VERSION):
        raise Invalid(
            f"client version {version} is too old. Minimum supported API version is {OLDEST_API_VERSION}, "
            "please upgrade your client to a newer version"
        )
    return version, match[2]


def _ordered(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part][:4] if len(version) < 32 else [1 << 30]


def at_least(version: str, wanted: str) -> bool:
    """Whether API version `version` is `wanted` or later."""
    return _ordered(version) >= _ordered(wanted)


def check_content_type(content_type: str) -> None:
    """Docker's rule for a request with a body; raises Invalid."""
    if not content_type:
        raise Invalid("malformed Content-Type header (): mime: no media type")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Invalid(f"unsupported Content-Type header ({content_type}): must be 'application/json'")


def parse_create(body: bytes) -> CreateRequest:
    """Reads the body of a create; an empty one asks for an anonymous volume. Raises Invalid."""
    fields = _object(body)
    read = _Reader("CreateRequest", fields)
    if fields.get("clustervolumespec") is not None:
        raise Unavailable("This node is not a swarm manager. Cluster volumes are not for volfs.")
    return CreateRequest(
        name=read.text("Name"),
        driver=read.text("Driver"),
        options=read.texts("DriverOpts"),
        labels=read.texts("Labels"),
    )


def _object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        value, end = json.JSONDecoder(object_pairs_hook=_lowered).raw_decode(text := body.decode().lstrip())
    except json.JSONDecodeError as error:
        raise Invalid(f"invalid JSON: {_go_syntax(error)}") from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid JSON: {error}") from error
    if text[end:].strip():
        raise Invalid("unexpected content after JSON")
    if value is None:
        return {}
    if not isinstance(value, _Pairs):
        raise Invalid(f"invalid JSON: json: cannot unmarshal {_go(value)} into Go value of type volume.CreateRequest")
    return {name.lower(): content for name, content in value.pairs}


def _go_syntax(error: json.JSONDecodeError) -> str:
    """What Go's decoder says where Python's found the error."""
    character = error.doc[error.pos : error.pos + 1]
    where = next((text for begin, text in _EXPECTED if error.msg.startswith(begin)), "")
    if not character or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    return f"invalid character {character!r} {where}" if where else str(error)


@dataclass
class _Pairs:
    """A JSON object with its names as written: field names are folded, the keys of labels are not."""

    pairs: list[tuple[str, Any]]


def _lowered(pairs: list[tuple[str, Any]]) -> _Pairs:
    return _Pairs(pairs)


@dataclass(frozen=True)
class _Reader:
    struct: str
    fields: dict[str, Any]

    def text(self, name: str) -> str:
        return self._string(self.fields.get(name.lower()), name)

    def texts(self, name: str) -> dict[str, str] | None:
        value = self.fields.get(name.lower())
        if value is None:
            return None
        if not isinstance(value, _Pairs):
            raise self._wrong(value, name, "map[string]string")
        return {_storable(key): self._string(content, name) for key, content in value.pairs}

    def _string(self, value: object, name: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(value, name, "string")
        return _storable(value)

    def _wrong(self, value: object, name: str, wanted: str) -> Invalid:
        return Invalid(
            f"invalid JSON: json: cannot unmarshal {_go(value)} into Go struct field {self.struct}.{name} "
            f"of type {wanted}"
        )


def _storable(text: str) -> str:
    """A lone surrogate cannot be encoded; Go reads one as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def _go(value: object) -> str:
    names: list[tuple[type, str]] = [
        (bool, "bool"),
        (str, "string"),
        (int, "number"),
        (float, "number"),
        (list, "array"),
    ]
    return next((name for kind, name in names if isinstance(value, kind)), "object")


def listed(parts: Iterable[bytes], warnings: bytes) -> bytes:
    """The answer of `GET /volumes`: JSON arrays of volumes as one, and one of warnings, or null."""
    volumes = b",".join(part[1:-1] for part in parts if part != b"[]")
    return b'{"Volumes":[%b],"Warnings":%b}\n' % (volumes, warnings)


def inspected(volume: dict[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of `GET /volumes/NAME`: with what a plugin says of its volume's status, under its own names."""
    return {**volume, "Status": {**status, **volume["Status"]}}


def kinds_of_usage(asked: Sequence[str]) -> Collection[str]:
    """What `GET /system/df` is about; without a `type`, everything. Raises Invalid for a kind that Docker has not."""
    known = ("container", "image", "volume", "build-cache")
    for kind in asked:
        if kind not in known:
            raise Invalid(f"unknown object type: {kind}")
    return asked or known


def usage_of(volumes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The answer of `GET /system/df`: of all that Docker counts there, volumes are what there is."""
    return {"LayersSize": 0, "Images": [], "Containers": [], "Volumes": volumes, "BuildCache": [], "BuilderSize": 0}
