"""What the catalogue can be asked: the databases and records are those of `store`.

Law: a question is a short transaction of its own, of microseconds, for the event loop; what is long is asked in pieces.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from volfs.volume import encoding
from volfs.volume.changes import Owed, Unsynced
from volfs.volume.encoding import DamagedStore
from volfs.volume.restore import Entries, Entry
from volfs.volume.volume import Figure, Reference, Volume

EDITION, DOUBT, NEXT_SERIAL = b"edition", b"doubt", b"next serial"
_PASSED_OVER = 500  # records


class Databases(NamedTuple):
    """The named databases, whose type lmdb does not name. `unsynced` is None where it is not there to be read."""

    volumes: Any
    serials: Any
    references: Any
    drivers: Any
    owed: Any
    usage: Any
    system: Any
    unsynced: Any


class Reads:
    """The questions to a Store, which opens the databases."""

    path: Path
    _databases: Databases

    def _read(self) -> AbstractContextManager[Any]:
        """A read transaction."""
        raise NotImplementedError

    def get(self, name: str) -> Volume | None:
        """The volume called `name`."""
        with self._read() as read:
            value = read.get(encoding.key(name), db=self._databases.volumes)
        return encoding.volume(value) if value is not None else None

    def by_serial(self, serial: int) -> Volume | None:
        """The volume with this number."""
        with self._read() as read:
            value = read.get(encoding.number(serial), db=self._databases.serials)
        return self.get(value[8:].decode(errors="surrogateescape")) if value is not None else None

    def count(self) -> int:
        """How many volumes there are."""
        with self._read() as read:
            return int(read.stat(self._databases.volumes)["entries"])

    def volumes(self, after: str = "", limit: int = 1 << 62) -> list[Volume]:
        """Volumes in the order of their names, those behind `after`, at most `limit`."""
        with self._read() as read:
            cursor = read.cursor(self._databases.volumes)
            found = cursor.set_range(encoding.key(after) + b"\0") if after else cursor.first()
            return (
                [encoding.volume(value) for value, _ in zip(cursor.iternext(keys=False), range(limit), strict=False)]
                if found
                else []
            )

    def numbers(self, after: int, limit: int) -> list[tuple[int, int, str]]:
        """(serial, created, name) in the order of the serials, those greater than `after`: a stable order to list."""
        with self._read() as read:
            cursor = read.cursor(self._databases.serials)
            if not cursor.set_range(encoding.number(after + 1)):
                return []
            return [
                (
                    int.from_bytes(key),
                    int.from_bytes(value[:8], signed=True),
                    value[8:].decode(errors="surrogateescape"),
                )
                for (key, value), _ in zip(cursor.iternext(), range(limit), strict=False)
            ]

    def drivers(self) -> list[str]:
        """The plugins that have volumes here, in order."""
        found = []
        with self._read() as read:
            cursor = read.cursor(self._databases.drivers)
            more = cursor.first()
            while more:
                driver, _, _ = cursor.key().partition(b"\0")
                found.append(driver.decode(errors="surrogateescape"))
                more = cursor.set_range(driver + b"\1")
        return found

    def of_driver(self, driver: str, after: str = "", limit: int = 1 << 62) -> list[Volume]:
        """The volumes of a plugin, those behind `after` in the order of their keys, at most `limit`."""
        prefix = encoding.text(driver) + b"\0"
        begin = encoding.driver_key(driver, after) + b"\0" if after else prefix
        with self._read() as read:
            cursor = read.cursor(self._databases.drivers)
            names = []
            if cursor.set_range(begin):
                for key, name in islice(cursor, limit):
                    if not key.startswith(prefix):
                        break
                    names.append(name)
            values = [
                read.get(encoding.key(name.decode(errors="surrogateescape")), db=self._databases.volumes)
                for name in names
            ]
        return [encoding.volume(value) for value in values if value is not None]

    def references(self, name: str, after: str = "", limit: int = 1 << 62) -> list[Reference]:
        """The users of a volume in the order of their keys, those behind `after`, at most `limit`."""
        prefix = encoding.key(name) + b"\0"
        begin = encoding.reference_key(name, after) + b"\0" if after else prefix
        with self._read() as read:
            cursor = read.cursor(self._databases.references)
            found = []
            if cursor.set_range(begin):
                for key, value in islice(cursor, limit):
                    if not key.startswith(prefix):
                        break
                    found.append(encoding.decode(value, tuple[str, Reference])[1])
            return found

    def used(self, first: str, last: str) -> set[str]:
        """Those volumes from one name to another, in the order of the names, that have users; most have none."""
        end = encoding.key(last) + b"\1"
        found = set()
        with self._read() as read:
            cursor = read.cursor(self._databases.references)
            more = cursor.set_range(encoding.key(first) + b"\0")
            while more and cursor.key() < end:
                name, _ = encoding.decode(cursor.value(), tuple[str, Reference])
                found.add(name)
                more = cursor.set_range(encoding.key(name) + b"\1")
        return found

    def uses_of(self, user: str) -> list[tuple[str, Reference]]:
        """(name of a volume, reference) of the users whose id begins so; looks at every key, some millions a second."""
        wanted = b"\0" + encoding.text(user)
        with self._read() as read:
            return [
                encoding.decode(value, tuple[str, Reference])
                for key, value in read.cursor(self._databases.references)
                if wanted in key
            ]

    def reference(self, name: str, id: str) -> Reference | None:  # noqa: A002
        """One user of a volume, found among however many."""
        with self._read() as read:
            value = read.get(encoding.reference_key(name, id), db=self._databases.references)
        return encoding.decode(value, tuple[str, Reference])[1] if value is not None else None

    def is_used(self, name: str) -> bool:
        """Whether the volume is mounted for anybody: not for a container that is only there."""
        prefix = encoding.key(name) + b"\0"
        with self._read() as read:
            cursor = read.cursor(self._databases.references)
            if cursor.set_range(prefix):
                for key, value in cursor:
                    if not key.startswith(prefix):
                        return False
                    if encoding.decode(value, tuple[str, Reference])[1].running:
                        return True
        return False

    def figure(self, serial: int) -> Figure | None:
        """What the volume with this number held when it was last measured."""
        with self._read() as read:
            value = read.get(encoding.number(serial), db=self._databases.usage)
        return encoding.decode(value, Figure) if value is not None else None

    def all_references(self) -> Iterator[tuple[str, Reference]]:
        """Every (name of a volume, reference): for restore."""
        with self._read() as read:
            for _, value in read.cursor(self._databases.references):
                yield encoding.decode(value, tuple[str, Reference])

    def entries(self) -> Entries:
        """Every volume in the order of the names, as restore wants it: decoded only where there is something to see.

        A field with its default value is not encoded, so the name of a field in the bytes tells. Of a million records
        nearly all are passed over in whole batches, whose bytes are searched at once.
        """
        names, notable = list[str](), dict[str, Entry]()
        with self._read() as read:
            keys = list(read.cursor(self._databases.volumes).iternext(values=False))
            if not all(keys):  # LMDB writes no such key, and cannot look one up
                raise DamagedStore(f"the catalogue {self.path} has an entry without a name")
            records = read.cursor(self._databases.volumes).iternext(keys=False)
            for at in range(0, len(keys), _PASSED_OVER):
                batch, values = keys[at : at + _PASSED_OVER], list(islice(records, _PASSED_OVER))
                if not _tells(b"".join(values)):
                    names.extend(map(bytes.decode, batch))
                    continue
                for key, value in zip(batch, values, strict=True):
                    one = _entry(encoding.volume(value)) if _tells(value) else None
                    names.append(one.name if one else key.decode())
                    if one:
                        notable[one.name] = one
        return Entries(names, notable)

    def next_serial(self) -> int:
        """The number that the next volume will get; all before it had theirs already."""
        with self._read() as read:
            return int.from_bytes(read.get(NEXT_SERIAL, b"\1", db=self._databases.system))

    def edition(self) -> str:
        """How the daemon before this one wrote the view's texts."""
        with self._read() as read:
            return bytes(read.get(EDITION, b"", db=self._databases.system)).decode()

    def doubted(self) -> bool:
        """Whether users were in doubt, of this daemon or of one before it."""
        with self._read() as read:
            return bool(read.get(DOUBT, b"0", db=self._databases.system) == b"1")

    def owed(self) -> list[Owed]:
        """The invalidations that a daemon before this one may not have sent."""
        with self._read() as read:
            rows = list(read.cursor(self._databases.owed))
        decoded = [(int.from_bytes(key), *encoding.decode(value, tuple[int, str])) for key, value in rows]
        return [Owed(*row) for row in decoded]

    def unsynced(self) -> list[Unsynced]:
        """The directories that a record vouches for, in the order in which they were made and taken away."""
        if self._databases.unsynced is None:
            return []
        with self._read() as read:
            rows = list(read.cursor(self._databases.unsynced))
        return [
            Unsynced(int.from_bytes(key), *encoding.decode(value, tuple[int, str, str, str, bool]))
            for key, value in rows
        ]


def _tells(records: bytes) -> bool:
    """Whether one of these is not as most are."""
    return b"state" in records or b"options" in records or b"driver" in records


def _entry(volume: Volume) -> Entry:
    return Entry(volume.name, volume.driver, volume.state, bool(volume.options))
