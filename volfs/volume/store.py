"""The catalogue on LMDB: the one door to lmdb, and the only copy of what volfs knows about its volumes.

    volumes      name -> Volume (MessagePack)          serials   serial -> created, name
    references   name NUL id -> name, Reference             owed      number -> serial, name
    drivers      driver NUL name -> name, of plugins        usage     serial -> Figure
    unsynced     number -> serial, name, identity, boot, gone
    system       "format", "next serial", "next owed", "next unsynced", "edition", "doubt"

Law: a read is a short transaction of its own and never waits for a write; a write is one transaction made by `commit`,
durable when it returns. A transaction never crosses a thread (py-lmdb forbids it and does not notice). What can be
asked is in `reads`, what a change does in `writes`.

`owed` are the invalidations that a committed change still owes to the kernel's caches: written with the change, taken
out by the next commit after they were sent, sent again by the next daemon when this one died between.

`unsynced` are the directories of `Put.made` and `Delete.gone`: done before the commit, durable by it, until `Sealed`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from volfs.errors import HostError, Invalid, VolfsError
from volfs.volume import encoding, heads, room
from volfs.volume.changes import Change, Effect, Owed
from volfs.volume.encoding import DamagedStore
from volfs.volume.reads import NEXT_SERIAL, Databases, Reads
from volfs.volume.writes import Writes

MapFull = lmdb.MapFullError

FORMAT = 1
FIRST_MAP = 64 << 20
COPIED_AT_ONCE = 10_000  # records in a transaction, whose pages are held in memory
_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.IncompatibleError,
    lmdb.BadDbiError,
    lmdb.BadTxnError,
    lmdb.CursorFullError,  # a page that is its own descendant
    lmdb.PageFullError,
    UnicodeDecodeError,
)
_OF_A_FORMAT = (lmdb.VersionMismatchError, lmdb.Error)  # the latter itself: py-lmdb says so, and that of any errno
_FORMAT, _NEW = b"format", b"new"


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


class Store(Reads):
    """An open catalogue. Raises DamagedStore where the file cannot be read, Invalid where a newer volfs wrote it.

    HostError where the host, or the LMDB that wrote it, does not let it be opened.

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
            if type(error) in _OF_A_FORMAT and heads.differ(path):
                raise DamagedStore(f"the catalogue {path} cannot be read: {error}") from error
            raise HostError(f"the catalogue {path} cannot be opened: {error}") from error
        except VolfsError:
            self.close()
            raise

    def _open(self, path: Path, map_size: int) -> None:
        options: dict[str, Any] = {
            "subdir": False,
            "max_dbs": len(Databases._fields),
            "max_readers": 64,
            "readahead": False,
        }
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
        self._databases = Databases(*map(self._database, Databases._fields))

    def _database(self, name: str) -> Any:  # noqa: ANN401 of a type that lmdb does not name
        try:
            return self._env.open_db(name.encode(), create=not self._reading)
        except lmdb.NotFoundError:
            if name != "unsynced":
                raise
            return None  # only read, and written by a volfs that synced every directory

    def _check_format(self, first_serial: int) -> None:
        with self._read() as read:
            text = read.get(_FORMAT, db=self._databases.system)
        if text is None and self._reading:
            raise DamagedStore(f"the catalogue {self.path} is empty")
        if text is None:
            with self._env.begin(write=True) as write:
                write.put(_NEW, b"", db=self._databases.system)
                write.put(_FORMAT, str(FORMAT).encode(), db=self._databases.system)
                write.put(NEXT_SERIAL, encoding.number(first_serial), db=self._databases.system)
        elif not text.isdigit():
            raise DamagedStore(f"the catalogue {self.path} names no format version")
        elif int(text) > FORMAT:
            raise Invalid(
                f"{self.path} has format version {int(text)}, this volfs knows {FORMAT} at most: "
                "start the newer volfs that wrote it"
            )

    def _check_whole(self) -> None:
        with self._read() as read:
            if read.stat(self._databases.volumes)["entries"] != read.stat(self._databases.serials)["entries"]:
                raise DamagedStore(f"the catalogue {self.path} contradicts itself")
        if self._reading:
            return
        with self._env.begin(write=True) as write:  # looks at the list of free pages, which no read does
            write.put(b"probe", b"", db=self._databases.system)
            write.abort()

    def close(self) -> None:
        """Lets the file go; nothing that was committed is lost without it."""
        if hasattr(self, "_env"):
            self._env.close()

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

    def version(self) -> int:
        """Another number after each commit: what is read later is at least as new, and as long as it stays, the same.

        A reader's own: the number of the last commit can be seen while that commit is still being synced, and read by
        nobody.
        """
        with self._read() as read:
            return int(read.id())

    def is_new(self) -> bool:
        """Whether the one before was lost, if there was one, while a kernel may know what was in it."""
        with self._read() as read:
            return read.get(_NEW, db=self._databases.system) is not None

    # What follows writes: for one thread at a time.

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
                    write.drop(self._databases.owed, delete=False)
                    write.delete(_NEW, db=self._databases.system)
                for number in settled:
                    write.delete(encoding.number(number), db=self._databases.owed)
                carried_out = Writes(write, self._databases)
                effects = [carried_out.effect(change) for change in changes]
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

    def copy(self, path: Path) -> None:
        """Writes a new catalogue with all records of this one, and durably. Raises DamagedStore, HostError."""
        copy = Store(path, map_size=max(FIRST_MAP, 2 * self.path.stat().st_size))
        try:
            with self._read() as read:
                for ours, theirs in zip(self._databases, copy._databases, strict=True):
                    if ours is not None:
                        copy._take(theirs, read.cursor(ours))
        finally:
            copy.close()

    def _take(self, database: Any, records: Iterable[tuple[bytes, bytes]]) -> None:  # noqa: ANN401
        rest = iter(records)
        while batch := list(islice(rest, COPIED_AT_ONCE)):
            try:
                with self._env.begin(write=True) as write:
                    write.cursor(database).putmulti(batch)
            except lmdb.Error as error:
                raise room.refused(self.path, error) from error

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
