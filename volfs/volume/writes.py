"""Changes carried out in a transaction of the catalogue; the databases and records are those of `store`.

Law: whoever commits the transaction makes all of it durable, or nothing; nothing here commits, and nothing is told.
"""

from typing import Any

import msgspec

from volfs.volume import encoding
from volfs.volume.changes import (
    AddReference,
    Change,
    Delete,
    Doubt,
    DropReference,
    Edition,
    Effect,
    Measured,
    Owed,
    Put,
    Sealed,
    Touch,
)
from volfs.volume.reads import DOUBT, EDITION, NEXT_SERIAL, Databases
from volfs.volume.volume import Figure, Volume

NEXT_OWED, NEXT_UNSYNCED = b"next owed", b"next unsynced"


class Writes:
    """The changes of one write transaction."""

    def __init__(self, write: Any, databases: Databases) -> None:  # noqa: ANN401 lmdb's transaction: one door
        self._write = write
        self._databases = databases

    def effect(self, change: Change) -> Effect:
        """Carries a change out."""
        volume = self._apply(change)
        owed = self._owe(volume) if volume is not None else None
        return Effect(None if isinstance(change, Delete) else volume, owed)

    def _apply(self, change: Change) -> Volume | None:
        """Returns the volume that the change touched."""
        match change:
            case Put(volume, made):
                volume = self._put(volume)
                self._vouch(volume, made, gone=False)
                return volume
            case Delete(name, touch):
                deleted = self._delete(name)
                self._vouch(deleted, touch, gone=True)
                return deleted
            case Sealed(number):
                with self._write.cursor(self._databases.unsynced) as cursor:
                    while cursor.first() and int.from_bytes(cursor.key()) <= number:
                        cursor.delete()
                return None
            case AddReference(name, reference):
                self._write.put(
                    encoding.reference_key(name, reference.id),
                    msgspec.msgpack.encode((name, reference)),
                    db=self._databases.references,
                )
                return self._touched(name)
            case DropReference(name, id):
                gone = self._write.delete(encoding.reference_key(name, id), db=self._databases.references)
                return self._touched(name) if gone else None
            case Measured(serial, figure):
                return self._measured(serial, figure)
            case Edition(text):
                self._write.put(EDITION, text.encode(), db=self._databases.system)
                return None
            case Doubt(there):
                self._write.put(DOUBT, b"1" if there else b"0", db=self._databases.system)
                return None

    def _vouch(self, volume: Volume | None, touch: Touch | None, *, gone: bool) -> None:
        if volume is None or touch is None:
            return
        number = int.from_bytes(self._write.get(NEXT_UNSYNCED, b"\0", db=self._databases.system))
        self._write.put(NEXT_UNSYNCED, encoding.number(number + 1), db=self._databases.system)
        value = msgspec.msgpack.encode((volume.serial, volume.name, touch.identity, touch.boot, gone))
        self._write.put(encoding.number(number), value, db=self._databases.unsynced)

    def _measured(self, serial: int, figure: Figure) -> Volume | None:
        row = self._write.get(encoding.number(serial), db=self._databases.serials)
        if row is None:
            return None
        self._write.put(encoding.number(serial), msgspec.msgpack.encode(figure), db=self._databases.usage)
        return self._touched(bytes(row)[8:].decode(errors="surrogateescape"))

    def _put(self, volume: Volume) -> Volume:
        if volume.serial == 0:
            serial = int.from_bytes(self._write.get(NEXT_SERIAL, b"\1", db=self._databases.system))
            self._write.put(NEXT_SERIAL, encoding.number(serial + 1), db=self._databases.system)
            volume = msgspec.structs.replace(volume, serial=serial)
        key = encoding.key(volume.name)
        self._write.put(key, msgspec.msgpack.encode(volume), db=self._databases.volumes)
        self._write.put(
            encoding.number(volume.serial),
            volume.created.to_bytes(8, signed=True) + encoding.text(volume.name),
            db=self._databases.serials,
        )
        if not volume.local:
            self._write.put(
                encoding.driver_key(volume.driver, volume.name), encoding.text(volume.name), db=self._databases.drivers
            )
        return volume

    def _delete(self, name: str) -> Volume | None:
        volume = self._touched(name)
        if volume is not None:
            self._write.delete(encoding.key(name), db=self._databases.volumes)
            self._write.delete(encoding.number(volume.serial), db=self._databases.serials)
            self._write.delete(encoding.number(volume.serial), db=self._databases.usage)
            self._write.delete(encoding.driver_key(volume.driver, volume.name), db=self._databases.drivers)
        prefix = encoding.key(name) + b"\0"
        with self._write.cursor(self._databases.references) as cursor:
            while cursor.set_range(prefix) and bytes(cursor.key()).startswith(prefix):
                cursor.delete()
        return volume

    def _touched(self, name: str) -> Volume | None:
        value = self._write.get(encoding.key(name), db=self._databases.volumes)
        return encoding.volume(value) if value is not None else None

    def _owe(self, volume: Volume) -> Owed:
        number = int.from_bytes(self._write.get(NEXT_OWED, b"\0", db=self._databases.system))
        self._write.put(NEXT_OWED, encoding.number(number + 1), db=self._databases.system)
        value = msgspec.msgpack.encode((volume.serial, volume.name))
        self._write.put(encoding.number(number), value, db=self._databases.owed)
        return Owed(number, volume.serial, volume.name)
