"""What people type as values: a socket, `K=V`, filters, a length of time.

Law: pure text to values; what cannot be read is a usage error that quotes it.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import click

from volfs.settings import DEFAULT_SOCKET as DEFAULT_SOCKET

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def host_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--host` after a command: it wins over the one before it and over VOLFS_HOST."""

    def remember(context: click.Context, _option: click.Parameter, host: str | None) -> None:
        if host is not None:
            context.obj = host

    return click.option("--host", metavar="SOCKET", expose_value=False, callback=remember, help="The daemon's socket.")(
        command
    )


def socket_path(host: str) -> str:
    """The path in `unix:///path` or `/path`."""
    path = host.removeprefix("unix://")
    if not path or "://" in path:
        raise click.UsageError(f'--host "{host}": only Unix sockets, as unix:///path or as a path')
    return path


def pairs(name: str, words: Iterable[str], bare: bool = False) -> dict[str, str]:
    """`K=V` words as a dict, the last of a key wins; with `bare`, `K` alone means `K=`, as Docker takes labels."""
    values = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not (equals or bare):
            raise click.UsageError(f'{name} "{word}": expected {"KEY or " if bare else ""}KEY=VALUE')
        values[key] = value
    return values


def filters(words: Iterable[str]) -> dict[str, list[str]]:
    """`label=a=b` words as Docker's map `{"label": ["a=b"]}`; which keys there are is for the daemon to say."""
    values: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise click.UsageError(f'filter "{word}": expected KEY=VALUE, for example label=env=prod or dangling=true')
        values.setdefault(key.strip().lower(), []).append(value)
    return values


def query(values: dict[str, list[str]]) -> dict[str, str]:
    """The query of a request with these filters; none at all where there are none."""
    return {"filters": json.dumps(values)} if values else {}


def seconds(text: str) -> float:
    """`90`, `30s`, `5m`, `1.5h` as seconds, more than none."""
    found = _DURATION.fullmatch(text.strip())
    value = float(found[1]) * _SECONDS[found[2]] if found else math.nan
    if not 0 < value < math.inf:
        raise click.UsageError(f'"{text}" is not a length of time: expected seconds, or 30s, 5m, 1h')
    return value
