"""Where a volume plugin listens, and the files that say so. Pure.

    NAME.sock   a Unix socket                          NAME.spec   one URL: unix:///path, tcp://host:port, https://…
    NAME.json   {"Name": …, "Addr": URL, "TLSConfig": {"InsecureSkipVerify", "CAFile", "CertFile", "KeyFile"}}

Law: Docker's rules, but for one: a server's certificate is checked unless InsecureSkipVerify is true, where Docker
checks none that has no CAFile. `tcp` and `http` are plain, `https` is TLS, a path in the URL is ignored.
Source: docker/cli, docs/extend/plugin_api.md.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from volfs.errors import Invalid

_SCHEMES = ("unix", "tcp", "http", "https")
_PORTS = {"https": 443}


class Tls(msgspec.Struct, frozen=True):
    """Docker's TLSConfig: paths of PEM files, empty where there is none."""

    InsecureSkipVerify: bool = False
    CAFile: str = ""
    CertFile: str = ""
    KeyFile: str = ""


@dataclass(frozen=True)
class Address:
    """A Unix socket's `path`, or a `host` with a `port`; `tls` where the connection is encrypted."""

    path: str = ""
    host: str = ""
    port: int = 0
    tls: Tls | None = None

    def __str__(self) -> str:
        return self.path or f"{'https' if self.tls else 'tcp'}://{self.host}:{self.port}"


class _Json(msgspec.Struct):
    Addr: str = ""
    TLSConfig: Tls | None = None


def parse_spec(text: str) -> Address:
    """Reads a `.spec` file. Raises Invalid."""
    return _parse_url(text.strip(), Tls())


def parse_json(text: bytes) -> Address:
    """Reads a `.json` file. Raises Invalid."""
    try:
        found = msgspec.json.decode(text, type=_Json)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"it is no description of a plugin: {error}") from None
    return _parse_url(found.Addr, found.TLSConfig or Tls())


def _parse_url(url: str, tls: Tls) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"its address cannot be read: {error}") from None
    if parts.scheme not in _SCHEMES:
        raise Invalid(f"its address must begin with one of {', '.join(f'{one}://' for one in _SCHEMES)}")
    if parts.scheme == "unix":
        path = parts.netloc + parts.path
        if not path.startswith("/") or "\0" in path:
            raise Invalid("its socket must be an absolute path: unix:///run/plugin.sock")
        return Address(path=path)
    if not parts.hostname:
        raise Invalid("its address names no host")
    return Address(
        host=parts.hostname,
        port=port or _PORTS.get(parts.scheme, 80),
        tls=tls if parts.scheme == "https" else None,
    )
