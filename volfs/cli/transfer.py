"""What `volfs export` and `volfs import` share: a volume held while its data is used, and how they may end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn
from urllib.parse import quote

from volfs.cli.client import ApiError, BadAnswer, Client, Stream
from volfs.cli.output import complain
from volfs.errors import Conflict, NotFound, VolfsError

FAILED, MISSING, TAKEN = 125, 1, 2
_CODES = {404: MISSING, 409: TAKEN}


class Held(NamedTuple):
    """A volume in use by us: where its data is, and the connection that keeps it so."""

    mountpoint: str
    stream: Stream


@contextmanager
def held(client: Client, name: str, use: str) -> Iterator[Held]:
    """The volume is mounted and in use for the block. Raises what the daemon says."""
    with client.stream("/volfs/hold", {"name": name, "for": use}) as stream:
        mountpoint = stream.first.get("Mountpoint") if isinstance(stream.first, dict) else None
        if not isinstance(mountpoint, str) or not mountpoint.startswith("/"):
            raise BadAnswer("the daemon does not say where the data is; is it an older volfs?")
        yield Held(mountpoint, stream)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a lost connection, end the block as Ctrl-C does: with everything taken back."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def path_of(name: str) -> str:
    """A volume in the Engine API."""
    return "/volumes/" + quote(name, safe="", errors="surrogateescape")


def code_of(error: VolfsError) -> int:
    """Says what went wrong and returns the exit code for it."""
    complain(str(error))
    match error:
        case ApiError():
            return _CODES.get(error.status, FAILED)
        case NotFound():
            return MISSING
        case Conflict():
            return TAKEN
        case _:
            return FAILED
