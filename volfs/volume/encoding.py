"""How names, numbers and records are written in the catalogue. Pure.

Numbers are big-endian, so that their order is that of the keys. A record is MessagePack; a field with its default value
is not written.
"""

import hashlib
from typing import TypeVar

import msgspec

from volfs.errors import VolfsError
from volfs.volume.volume import Volume

LONGEST_KEY = 511  # LMDB's limit for a key, in bytes
T = TypeVar("T")


class DamagedStore(VolfsError):
    """The file cannot be read as a store; it can be rebuilt from the directories."""


def text(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def number(number: int) -> bytes:
    return number.to_bytes(8)


def key(name: str) -> bytes:
    """A name as a key. Names of other drivers' volumes may be longer than a key: those are kept under a digest."""
    key = text(name)
    return key if len(key) <= LONGEST_KEY // 2 else b"\xff" + hashlib.sha256(key).hexdigest().encode()


def reference_key(name: str, id: str) -> bytes:  # noqa: A002
    return key(name) + b"\0" + key(id)


def driver_key(driver: str, name: str) -> bytes:
    """A volume of a plugin, whose name is that of a file `NAME.sock`: with a volume's it fits into a key."""
    return text(driver) + b"\0" + key(name)


def volume(value: bytes | memoryview) -> Volume:
    return decode(value, Volume)


def decode(value: bytes | memoryview, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedStore(f"a record of the catalogue cannot be read: {error}") from error
