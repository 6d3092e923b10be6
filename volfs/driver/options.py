"""The options of a local volume (`type`, `o`, `device`, `size`), and opts.json, the text that keeps them.

Law: Docker's. `check` asks Docker's questions in Docker's order and refuses in Docker's words; `to_text` writes the
bytes that Docker writes; `from_text` reads what Go's json.Unmarshal reads. Any bytes give a value or Invalid. No
message holds a secret, and none holds a value out of an opts.json.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from volfs.driver.names import quoted
from volfs.errors import Invalid
from volfs.masking import MASK, is_secret
from volfs.mount import options as mount_options

_KNOWN = ("type", "o", "device", "size")
_REQUIRED = (("device", ("type",)), ("type", ("device",)), ("o", ("device", "type")))  # Docker's order is random
_FIELDS = {"mounttype": "type", "mountopts": "o", "mountdevice": "device"}
_LARGEST_SIZE = (1 << 64) - 1  # Go's uint64

_DIGITS = "[0-9](?:_?[0-9])*"
_HEX = "[0-9a-fA-F](?:_?[0-9a-fA-F])*"
_DECIMAL = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?")
_HEXADECIMAL = re.compile(rf"[+-]?0[xX]_?(?:{_HEX}(?:\.(?:{_HEX})?)?|\.{_HEX})[pP][+-]?{_DIGITS}")
_UNITS = {unit: 1 << 10 * power for power, unit in enumerate("kmgtp", 1)}

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_AUTHORITY = re.compile(
    r"(?P<before>(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//(?P<user>[^/?#]*@)?)(?P<host>[^/?#]*)(?P<after>.*)", re.DOTALL
)
_USER = re.compile(r"[a-zA-Z0-9._:~!$&'()*+,;=%@-]*")
_PORT = re.compile(r":([0-9]*)$")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
# `//user:password@host`, where a password may hold a slash but `host:8080/a@b` is none, and `user:password@host`
_URL_PASSWORD = re.compile(r"^((?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/@:]*:(?![0-9]+/)|[^/@:]*:(?!/)).*@", re.DOTALL)
_URL_PARAMETER = re.compile(r"([?&;])([^=&;?#]*)=([^&;#]*)")


@dataclass(frozen=True, slots=True)
class MountSource:
    """What to mount on a volume's data: Docker's three texts, any of them may be empty."""

    type: str
    device: str
    o: str


def check(options: Mapping[str, str]) -> None:
    """Raises Invalid unless Docker's local driver, without quotas, would make a volume of `options`."""
    for key in options:
        if key not in _KNOWN:
            raise Invalid(f"invalid option: {quoted(key)}")
    if options.get("type") == "cifs" and options.get("device"):
        _check_cifs_device(options["device"])
    if "size" in options and ram_in_bytes(options["size"]) > 0:
        raise Invalid("quota size requested but no quota support")
    for key, required in _REQUIRED:
        for other in required:
            if key in options and other not in options:
                raise Invalid(f'missing required option: "{other}"')


def mount_source(options: Mapping[str, str] | None) -> MountSource | None:
    """What is to be mounted; None where the volume is a plain directory."""
    if not options or not (options.get("device") or options.get("type")):
        return None
    return MountSource(options.get("type", ""), options.get("device", ""), options.get("o", ""))


def ram_in_bytes(text: str) -> int:
    """The bytes that `text` stands for (`1.5g`, `1 KiB`, `1e3`), as go-units RAMInBytes reads it; else Invalid."""
    last = max(text.rfind(c) for c in "0123456789. ")
    if last == -1:
        raise Invalid(f"invalid size: '{text}'")
    number, suffix = text[: last + (text[last] != " ")], text[last + 1 :]
    size = _float(number)
    if size < 0:
        raise Invalid(f"invalid size: '{text}'")
    bytes_ = size * _multiple(suffix)
    if bytes_ == float("inf"):
        raise Invalid(f"invalid size: '{text}': value out of range")
    return int(bytes_)


def to_text(options: Mapping[str, str]) -> bytes:
    """The opts.json that Docker would write for `options`, which `check` has passed."""
    quota = {"Size": ram_in_bytes(options["size"]) if "size" in options else 0}
    fields = {
        "MountType": options.get("type", ""),
        "MountOpts": options.get("o", ""),
        "MountDevice": options.get("device", ""),
        "Quota": quota,
    }
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return re.sub(r"[<>&\u2028\u2029\ud800-\udfff]", _go_escape, text).encode()


def from_text(text: bytes) -> dict[str, str] | None:
    """The options in an opts.json, those that are empty left out; None where nothing is set."""
    try:
        value = json.loads(
            text.decode("utf-8", "replace"),
            object_pairs_hook=_Object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise Invalid(f"not valid JSON: {error}") from None
    except RecursionError:
        raise Invalid("not valid JSON: nested too deeply") from None
    if value is None:
        return None
    return _read_options(_object(value, "the whole")) or None


def masked(options: Mapping[str, str]) -> dict[str, str]:
    """`options` fit to be shown: no password in `o`, and none in the URL of `device`."""
    shown: dict[str, Callable[[str], str]] = {"o": mount_options.masked, "device": masked_device}
    return {key: shown[key](value) if key in shown else value for key, value in options.items()}


def masked_device(device: str) -> str:
    """`device` with the password of `user:password@` and secret query parameters masked."""
    without = _URL_PASSWORD.sub(rf"\1{MASK}@", device)
    return _URL_PARAMETER.sub(_masked_parameter, without)


def device_secrets(device: str) -> list[str]:
    """The values that `masked_device` hides."""
    password = _URL_PASSWORD.search(device)
    values = [value for _, key, value in _URL_PARAMETER.findall(device) if is_secret(key)]
    return values + ([device[password.end(1) : password.end() - 1]] if password else [])


def cifs_host(device: str) -> str | None:
    """The host in a cifs device URL (`//host/share`); None where there is none."""
    found = _AUTHORITY.fullmatch(device)
    return found["host"] or None if found else None


def with_cifs_host(device: str, ip: str) -> str:
    """`device` with `ip` for its host and its path unescaped, as Docker hands it to mount(2)."""
    found = _AUTHORITY.fullmatch(device)
    return unquote(found["before"] + ip + found["after"]) if found else device


def _check_cifs_device(device: str) -> None:
    """The faults that Go's url.Parse finds in what people write as a share, in its words."""
    fault = _url_fault(device)
    if fault:
        raise Invalid(f"error parsing mount device url: parse {quoted(masked_device(device))}: {fault}")
    port = _PORT.search(cifs_host(device) or "")
    if port and port[1]:
        raise Invalid("port not allowed in CIFS device URL, include 'port' in 'o='")


def _url_fault(url: str) -> str | None:
    if any(c < " " or c == "\x7f" for c in url):
        return "net/url: invalid control character in URL"
    if url.startswith(":"):
        return "missing protocol scheme"
    if not url.startswith("/") and not _SCHEME.match(url) and ":" in url.split("?")[0].split("/")[0]:
        return "first path segment in URL cannot contain colon"
    host = cifs_host(url) or ""
    if " " in host:
        return 'invalid character " " in host name'
    colon = -1 if host.endswith("]") else host.rfind(":")
    secret = "@" in url  # what looks like a port may then be half a password
    if colon != -1 and not _PORT.fullmatch(host[colon:]):
        return "invalid port after host" if secret else f"invalid port {quoted(host[colon:])} after host"
    authority = _AUTHORITY.fullmatch(url)
    if authority and not _USER.fullmatch(authority["user"] or ""):
        return "net/url: invalid userinfo"
    escape = _BAD_ESCAPE.search(url.split("?")[0])
    if not escape:
        return None
    return "invalid URL escape" if secret else f"invalid URL escape {quoted(escape[0])}"


def _float(number: str) -> float:
    """Go's strconv.ParseFloat, but for its names of infinity and of no number: a size is neither."""
    try:
        if _DECIMAL.fullmatch(number):
            size = float(number.replace("_", ""))
        elif _HEXADECIMAL.fullmatch(number):
            size = float.fromhex(number.replace("_", ""))
        else:
            raise ValueError
        if size in (float("inf"), float("-inf")):
            raise OverflowError
    except ValueError:
        raise Invalid(f"strconv.ParseFloat: parsing {quoted(number)}: invalid syntax") from None
    except OverflowError:
        raise Invalid(f"strconv.ParseFloat: parsing {quoted(number)}: value out of range") from None
    return size


def _multiple(suffix: str) -> int:
    if not suffix:
        return 1
    if len(suffix.encode("utf-8", "surrogatepass")) > 3:
        raise Invalid(f"invalid suffix: '{suffix}'")
    unit = suffix.lower()
    if unit == "b":
        return 1
    if unit[0] not in _UNITS or unit[1:] not in ("", "b", "ib"):
        raise Invalid(f"invalid suffix: '{unit}'")
    return _UNITS[unit[0]]


def _masked_parameter(match: re.Match[str]) -> str:
    before, key, value = match.groups()
    return f"{before}{key}={MASK if is_secret(key) else value}"


def _go_escape(match: re.Match[str]) -> str:
    character = match[0]
    return r"\ufffd" if "\ud800" <= character <= "\udfff" else f"\\u{ord(character):04x}"


class _Object(list[tuple[str, object]]):
    """A JSON object as its pairs, twins included: Go reads the last one."""


class _Number(str):
    """A JSON number as it is written, because Go tells `1` from `1.0`."""

    __slots__ = ()


def _refuse_constant(name: str) -> None:
    raise Invalid(f"not valid JSON: {name}")


def _object(value: object, name: str) -> _Object:
    if not isinstance(value, _Object):
        raise Invalid(f"{name} is {_kind(value)}, not an object")
    return value


def _read_options(fields: _Object) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in fields:
        folded = name.casefold()
        if value is None:
            continue  # Go leaves a field as it is
        if folded in _FIELDS:
            if isinstance(value, _Number) or not isinstance(value, str):
                raise Invalid(f"{name} is {_kind(value)}, not a string")
            found[_FIELDS[folded]] = re.sub(r"[\ud800-\udfff]", "\ufffd", value)
        elif folded == "quota":
            found.update(_read_quota(_object(value, name)))
    return {key: found[key] for key in _KNOWN if found.get(key)}


def _read_quota(fields: _Object) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in fields:
        if name.casefold() != "size" or value is None:
            continue
        if not isinstance(value, _Number):
            raise Invalid(f"Quota.Size is {_kind(value)}, not a number")
        if not value.isdigit() or len(value) > 20 or int(value) > _LARGEST_SIZE:
            raise Invalid("Quota.Size is not a whole number of 64 bits")
        found["size"] = "" if value == "0" else str(value)
    return found


def _kind(value: object) -> str:
    kinds = {_Object: "an object", list: "an array", _Number: "a number", str: "a string", bool: "true or false"}
    return kinds.get(type(value), "null")
