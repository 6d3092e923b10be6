"""The catalogue on LMDB: the one door to lmdb, and the only copy of what volfs knows about its volumes.

    volumes      name -> Volume (MessagePack)          serials   serial -> created, name
    references   name NUL id -> name, Reference             owed      number -> serial, name
    drivers      driver NUL name -> name, of plugins        usage     serial -> Figure
    unsynced     number -> serial, name, identity, boot, gone
    system       "format", "next serial", "next owed", "next unsynced", "edition"

Law: a read is a short transaction of its own and never waits for a write; a write is one transaction made by `commit`,
durable when it returns. A transaction never crosses a thread (py-lmdb forbids it and does not notice).

`owed` are the invalidations that a committed change still owes to the kernel's caches: written with the change, taken
out by the next commit after they were sent, sent again by the next daemon when this one died between.

`unsynced` are the directories of `Put.made` and `Delete.gone`: done before the commit, durable by it, until `Sealed`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from volfs.errors import HostError, Invalid, VolfsError
from volfs.volume import encoding, room
from volfs.volume.changes import (
    AddReference,
    Change,
    Delete,
    DropReference,
    Edition,
    Effect,
    Measured,
    Owed,
    Put,
    Sealed,
    Touch,
    Unsynced,
)
from volfs.volume.encoding import DamagedStore
from volfs.volume.restore import Entries, Entry
from volfs.volume.volume import Figure, Reference, Volume

MapFull = lmdb.MapFullError

FORMAT = 1
FIRST_MAP = 64 << 20
REHEARSED_AT_ONCE = 10_000  # records in a transaction, whose pages are held in memory
_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
    lmdb.PanicError,
    lmdb.IncompatibleError,
    lmdb.BadDbiError,
    lmdb.BadTxnError,
    UnicodeDecodeError,
)
_DATABASES = (b"volumes", b"serials", b"references", b"drivers", b"owed", b"usage", b"system", b"unsynced")
_FORMAT, _NEXT_SERIAL, _NEXT_OWED, _EDITION = b"format", b"next serial", b"next owed", b"edition"
_NEXT_UNSYNCED = b"next unsynced"


class _Reading:
    """A read transaction; what cannot be read in it is a damaged store."""

    __slots__ = ("_path", "_pinned", "_transaction")

    def __init__(self, env: lmdb.Environment, path: Path, pinned: lmdb.Transaction | None) -> None:
        self._transaction = pinned or env.begin()
        self._pinned = pinned is not None
        self._path = path

    def __enter__(self) -> Any:  # noqa: ANN401 the stubs allow for memoryviews, which nobody asks for here
        return self._transaction if self._pinned else self._transaction.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not self._pinned:
            self._transaction.__exit__(kind, error, trace)
        if isinstance(error, _DAMAGE):
            raise DamagedStore(f"the catalogue {self._path} cannot be read: {error}") from error


class Store:
    """An open catalogue. Raises DamagedStore where the file cannot be read, Invalid where a newer volfs wrote it.

    `reading`: not a byte is written, whoever has it open besides; for a look from another process.
    """

    def __init__(self, path: Path, *, first_serial: int = 1, map_size: int = FIRST_MAP, reading: bool = False) -> None:
        self.path = path
        self._reading = reading
        self._settled: list[int] = []
        self._all_settled = False
        self._pinned: lmdb.Transaction | None = None
        try:
            self._open(path, map_size)
            self._check_format(first_serial)
            self._check_whole()
        except _DAMAGE as error:
            self.close()
            raise DamagedStore(f"the catalogue {path} cannot be read: {error}") from error
        except lmdb.Error as error:
            self.close()
            raise HostError(f"the catalogue {path} cannot be opened: {error}") from error
        except VolfsError:
            self.close()
            raise

    def _open(self, path: Path, map_size: int) -> None:
        options: dict[str, Any] = {"subdir": False, "max_dbs": len(_DATABASES), "max_readers": 64, "readahead": False}
        if self._reading:
            self._env = lmdb.open(str(path), readonly=True, create=False, **options)
        else:
            room.reserve_lock(path.with_name(f"{path.name}-lock"))
            size = max(map_size, path.stat().st_size * 2 if path.exists() else 0)
            self._env = lmdb.open(str(path), mode=0o600, map_size=size, **options)
            self._env.reader_check()  # a daemon that was killed in the middle of a read left its slot
        self._page, self._reserved = int(self._env.stat()["psize"]), 0
        info = self._env.info()
        if path.stat().st_size < (info["last_pgno"] + 1) * self._page:
            raise DamagedStore(f"the catalogue {path} is cut short")  # reading on would be a SIGBUS
        databases = [self._database(name) for name in _DATABASES]
        self._volumes, self._serials, self._references, self._drivers, self._owed, self._usage, *rest = databases
        self._system, self._unsynced = rest

    def _database(self, name: bytes) -> Any:  # noqa: ANN401 of a type that lmdb does not name
        try:
            return self._env.open_db(name, create=not self._reading)
        except lmdb.NotFoundError:
            if name != b"unsynced":
                raise
            return None  # only read, and written by a volfs that synced every directory

    def _check_format(self, first_serial: int) -> None:
        with self._read() as read:
            text = read.get(_FORMAT, db=self._system)
        if text is None and self._reading:
            raise DamagedStore(f"the catalogue {self.path} is empty")
        if text is None:
            with self._env.begin(write=True) as write:
                write.put(_FORMAT, str(FORMAT).encode(), db=self._system)
                write.put(_NEXT_SERIAL, encoding.number(first_serial), db=self._system)
        elif not text.isdigit():
            raise DamagedStore(f"the catalogue {self.path} names no format version")
        elif int(text) > FORMAT:
            raise Invalid(
                f"{self.path} has format version {int(text)}, this volfs knows {FORMAT} at most: "
                "start the newer volfs that wrote it"
            )

    def _check_whole(self) -> None:
        with self._read() as read:
            if read.stat(self._volumes)["entries"] != read.stat(self._serials)["entries"]:
                raise DamagedStore(f"the catalogue {self.path} contradicts itself")
        if self._reading:
            return
        with self._env.begin(write=True) as write:  # looks at the list of free pages, which no read does
            write.put(b"probe", b"", db=self._system)
            write.abort()

    def close(self) -> None:
        """Lets the file go; nothing that was committed is lost without it."""
        if hasattr(self, "_env"):
            self._env.close()

    # Reads: microseconds each, for the event loop.

    def _read(self) -> _Reading:
        return _Reading(self._env, self.path, self._pinned)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads within it see the same moment, whatever another process writes; for one thread that only reads."""
        with self._env.begin() as self._pinned:
            try:
                yield
            finally:
                self._pinned = None

    def get(self, name: str) -> Volume | None:
        """The volume called `name`."""
        with self._read() as read:
            value = read.get(encoding.key(name), db=self._volumes)
        return encoding.volume(value) if value is not None else None

    def by_serial(self, serial: int) -> Volume | None:
        """The volume with this number."""
        with self._read() as read:
            value = read.get(encoding.number(serial), db=self._serials)
        return self.get(value[8:].decode(errors="surrogateescape")) if value is not None else None

    def version(self) -> int:
        """Another number after each commit."""
        return int(self._env.info()["last_txnid"])

    def count(self) -> int:
        """How many volumes there are."""
        with self._read() as read:
            return int(read.stat(self._volumes)["entries"])

    def volumes(self, after: str = "", limit: int = 1 << 62) -> list[Volume]:
        """Volumes in the order of their names, those behind `after`, at most `limit`."""
        with self._read() as read:
            cursor = read.cursor(self._volumes)
            found = cursor.set_range(encoding.key(after) + b"\0") if after else cursor.first()
            return (
                [encoding.volume(value) for value, _ in zip(cursor.iternext(keys=False), range(limit), strict=False)]
                if found
                else []
            )

    def numbers(self, after: int, limit: int) -> list[tuple[int, int, str]]:
        """(serial, created, name) in the order of the serials, those greater than `after`: a stable order to list."""
        with self._read() as read:
            cursor = read.cursor(self._serials)
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
            cursor = read.cursor(self._drivers)
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
            cursor = read.cursor(self._drivers)
            names = []
            if cursor.set_range(begin):
                for key, name in islice(cursor, limit):
                    if not key.startswith(prefix):
                        break
                    names.append(name)
            values = [read.get(encoding.key(name.decode(errors="surrogateescape")), db=self._volumes) for name in names]
        return [encoding.volume(value) for value in values if value is not None]

    def references(self, name: str, after: str = "", limit: int = 1 << 62) -> list[Reference]:
        """The users of a volume in the order of their keys, those behind `after`, at most `limit`."""
        prefix = encoding.key(name) + b"\0"
        begin = encoding.reference_key(name, after) + b"\0" if after else prefix
        with self._read() as read:
            cursor = read.cursor(self._references)
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
            cursor = read.cursor(self._references)
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
                for key, value in read.cursor(self._references)
                if wanted in key
            ]

    def reference(self, name: str, id: str) -> Reference | None:  # noqa: A002
        """One user of a volume, found among however many."""
        with self._read() as read:
            value = read.get(encoding.reference_key(name, id), db=self._references)
        return encoding.decode(value, tuple[str, Reference])[1] if value is not None else None

    def is_used(self, name: str) -> bool:
        """Whether the volume is mounted for anybody: not for a container that is only there."""
        prefix = encoding.key(name) + b"\0"
        with self._read() as read:
            cursor = read.cursor(self._references)
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
            value = read.get(encoding.number(serial), db=self._usage)
        return encoding.decode(value, Figure) if value is not None else None

    def all_references(self) -> Iterator[tuple[str, Reference]]:
        """Every (name of a volume, reference): for restore."""
        with self._read() as read:
            for _, value in read.cursor(self._references):
                yield encoding.decode(value, tuple[str, Reference])

    def entries(self) -> Entries:
        """Every volume in the order of the names, as restore wants it: decoded only where there is something to see.

        A field with its default value is not encoded, so the name of a field in the bytes tells.
        """
        names, notable = list[str](), dict[str, Entry]()
        with self._read() as read:
            for key, value in read.cursor(self._volumes):
                if not key:  # LMDB writes none, and cannot look one up
                    raise DamagedStore(f"the catalogue {self.path} has an entry without a name")
                if b"state" in value or b"options" in value or b"driver" in value:
                    volume = encoding.volume(value)
                    names.append(volume.name)
                    notable[volume.name] = Entry(volume.name, volume.driver, volume.state, bool(volume.options))
                else:
                    names.append(key.decode())
        return Entries(names, notable)

    def edition(self) -> str:
        """How the daemon before this one wrote the view's texts."""
        with self._read() as read:
            return bytes(read.get(_EDITION, b"", db=self._system)).decode()

    def owed(self) -> list[Owed]:
        """The invalidations that a daemon before this one may not have sent."""
        with self._read() as read:
            rows = list(read.cursor(self._owed))
        decoded = [(int.from_bytes(key), *encoding.decode(value, tuple[int, str])) for key, value in rows]
        return [Owed(*row) for row in decoded]

    def unsynced(self) -> list[Unsynced]:
        """The directories that a record vouches for, in the order in which they were made and taken away."""
        if self._unsynced is None:
            return []
        with self._read() as read:
            rows = list(read.cursor(self._unsynced))
        return [
            Unsynced(int.from_bytes(key), *encoding.decode(value, tuple[int, str, str, str, bool]))
            for key, value in rows
        ]

    # Writes: for one thread at a time.

    def settle_all(self) -> None:
        """Nothing is owed to a kernel that has cached nothing: the next commit takes everything out."""
        self._all_settled = True

    def settle(self, owed: Sequence[Owed]) -> None:
        """These invalidations were sent: the next commit takes them out."""
        self._settled.extend(one.number for one in owed)

    def commit(self, changes: Sequence[Change]) -> list[Effect]:
        """Carries all changes out in one durable transaction, or none of them; one effect for each change.

        Raises HostError on a full disk; a full map raises MapFull: call `grow`, then again.
        """
        settled = list(self._settled)
        try:
            with self._env.begin(write=True) as write:
                if self._all_settled:
                    write.drop(self._owed, delete=False)
                for number in settled:
                    write.delete(encoding.number(number), db=self._owed)
                effects = [self._effect(write, change) for change in changes]
        except MapFull:
            raise
        except _DAMAGE as error:
            raise DamagedStore(f"the catalogue {self.path} cannot be written: {error}") from error
        except lmdb.Error as error:
            raise room.refused(self.path, error) from error
        self._keep_room()
        del self._settled[: len(settled)]
        self._all_settled = False
        return effects

    def rehearse(self) -> None:
        """Writes every record over itself, and takes it back: some damage is met by a write alone."""
        indices = (self._serials, self._references, self._drivers, self._owed, self._usage, self._unsynced)
        for database in (self._volumes, *indices):
            key: bytes | None = b""
            while key is not None:
                with self._env.begin(write=True) as write:
                    key = _overwrite(write.cursor(database), key)
                    write.abort()

    def grow(self) -> None:
        """Doubles the map. Only while no transaction is open in this process: from the event loop, between commits.

        Raises HostError where there is no room for it in memory.
        """
        size = int(self._env.info()["map_size"])
        try:
            room.need_memory(size)  # LMDB lets the old map go before it asks for the new one, and is of no use without
            self._env.set_mapsize(size * 2)
        except OSError as error:
            raise HostError(f"the catalogue {self.path} cannot grow: {error.strerror}", error.errno) from error
        except lmdb.Error as error:
            self._env.close()
            self._open(self.path, size)
            raise HostError(f"the catalogue {self.path} cannot grow: {error}") from error

    def _keep_room(self) -> None:
        used = (self._env.info()["last_pgno"] + 1) * self._page
        if used + room.SPARE // 2 > self._reserved:
            self._reserved = room.reserve_spare(self.path, used)

    def _effect(self, write: lmdb.Transaction, change: Change) -> Effect:
        volume = self._apply(write, change)
        owed = self._owe(write, volume) if volume is not None else None
        return Effect(None if isinstance(change, Delete) else volume, owed)

    def _apply(self, write: lmdb.Transaction, change: Change) -> Volume | None:
        """Returns the volume that the change touched."""
        match change:
            case Put(volume, made):
                volume = self._put(write, volume)
                self._vouch(write, volume, made, gone=False)
                return volume
            case Delete(name, touch):
                deleted = self._delete(write, name)
                self._vouch(write, deleted, touch, gone=True)
                return deleted
            case Sealed(number):
                with write.cursor(self._unsynced) as cursor:
                    while cursor.first() and int.from_bytes(cursor.key()) <= number:
                        cursor.delete()
                return None
            case AddReference(name, reference):
                write.put(
                    encoding.reference_key(name, reference.id),
                    msgspec.msgpack.encode((name, reference)),
                    db=self._references,
                )
                return self._touched(write, name)
            case DropReference(name, id):
                gone = write.delete(encoding.reference_key(name, id), db=self._references)
                return self._touched(write, name) if gone else None
            case Measured(serial, figure):
                return self._measured(write, serial, figure)
            case Edition(text):
                write.put(_EDITION, text.encode(), db=self._system)
                return None

    def _vouch(self, write: lmdb.Transaction, volume: Volume | None, touch: Touch | None, *, gone: bool) -> None:
        if volume is None or touch is None:
            return
        number = int.from_bytes(write.get(_NEXT_UNSYNCED, b"\0", db=self._system))
        write.put(_NEXT_UNSYNCED, encoding.number(number + 1), db=self._system)
        value = msgspec.msgpack.encode((volume.serial, volume.name, touch.identity, touch.boot, gone))
        write.put(encoding.number(number), value, db=self._unsynced)

    def _measured(self, write: lmdb.Transaction, serial: int, figure: Figure) -> Volume | None:
        row = write.get(encoding.number(serial), db=self._serials)
        if row is None:
            return None
        write.put(encoding.number(serial), msgspec.msgpack.encode(figure), db=self._usage)
        return self._touched(write, bytes(row)[8:].decode(errors="surrogateescape"))

    def _put(self, write: lmdb.Transaction, volume: Volume) -> Volume:
        if volume.serial == 0:
            serial = int.from_bytes(write.get(_NEXT_SERIAL, b"\1", db=self._system))
            write.put(_NEXT_SERIAL, encoding.number(serial + 1), db=self._system)
            volume = msgspec.structs.replace(volume, serial=serial)
        key = encoding.key(volume.name)
        write.put(key, msgspec.msgpack.encode(volume), db=self._volumes)
        write.put(
            encoding.number(volume.serial),
            volume.created.to_bytes(8, signed=True) + encoding.text(volume.name),
            db=self._serials,
        )
        if not volume.local:
            write.put(encoding.driver_key(volume.driver, volume.name), encoding.text(volume.name), db=self._drivers)
        return volume

    def _delete(self, write: lmdb.Transaction, name: str) -> Volume | None:
        volume = self._touched(write, name)
        if volume is not None:
            write.delete(encoding.key(name), db=self._volumes)
            write.delete(encoding.number(volume.serial), db=self._serials)
            write.delete(encoding.number(volume.serial), db=self._usage)
            write.delete(encoding.driver_key(volume.driver, volume.name), db=self._drivers)
        prefix = encoding.key(name) + b"\0"
        with write.cursor(self._references) as cursor:
            while cursor.set_range(prefix) and bytes(cursor.key()).startswith(prefix):
                cursor.delete()
        return volume

    def _touched(self, write: lmdb.Transaction, name: str) -> Volume | None:
        value = write.get(encoding.key(name), db=self._volumes)
        return encoding.volume(value) if value is not None else None

    def _owe(self, write: lmdb.Transaction, volume: Volume) -> Owed:
        number = int.from_bytes(write.get(_NEXT_OWED, b"\0", db=self._system))
        write.put(_NEXT_OWED, encoding.number(number + 1), db=self._system)
        value = msgspec.msgpack.encode((volume.serial, volume.name))
        write.put(encoding.number(number), value, db=self._owed)
        return Owed(number, volume.serial, volume.name)


def _overwrite(cursor: Any, after: bytes) -> bytes | None:  # noqa: ANN401 the stubs allow for memoryviews
    """Some records from `after` on; returns where to go on, None at the end."""
    found = cursor.set_range(after) if after else cursor.first()
    for _ in range(REHEARSED_AT_ONCE):
        if not found:
            return None
        cursor.put(cursor.key(), cursor.value())
        found = cursor.next()
    return bytes(cursor.key()) if found else None
