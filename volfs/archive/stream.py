"""A tar stream read member by member and written again, with a checksum over what went by.

Law: a Reader hands on every byte that it was given, in order, and knows where an archive ends without guessing; what is
cut or altered raises Invalid. Bytes go through in big pieces: hashing them is what costs.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Protocol

from volfs.archive import header
from volfs.archive.header import BLOCK, END, Member
from volfs.archive.manifest import CHECKSUM, Checksum, encode
from volfs.errors import HostError, Invalid

PIECE = 1 << 20  # bytes moved at once
LONGEST_PATH = 4095  # bytes that Linux takes; tar reads longer ones, and cannot make them again
RECORD = 20 * BLOCK  # what an archive's length is a multiple of, by tradition


class Source(Protocol):
    """Where bytes come from; `read` gives fewer than asked for at the end only."""

    def read(self, size: int, /) -> bytes: ...


class Reader:
    """The members of an archive, one after another; each has its data read before the next is asked for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sum = hashlib.sha256()
        self._count = 0
        self._left = 0

    def next(self) -> Member | None:
        """The next member; None at the end of the archive."""
        assert self._left == 0
        block = self._exactly(BLOCK)
        if block == END:
            return None
        raw, records = block, {}
        if header.is_records(block):
            size = header.data_size(block)
            if not 0 < size <= header.LARGEST_RECORDS:
                raise Invalid("an extended header is damaged: its size is wrong")
            text = self._exactly(-(-size // BLOCK) * BLOCK)
            records = header.parse_records(text[:size])
            block = self._exactly(BLOCK)
            raw += text + block
        member = header.parse_member(raw, block, records)
        if member.path != CHECKSUM:
            self._add(raw)
        self._left = member.padded
        return member

    def data(self, member: Member) -> Iterator[bytes]:
        """The data of the member that was read last, with its padding, in pieces."""
        while self._left:
            piece = self._exactly(min(self._left, PIECE))
            self._left -= len(piece)
            if member.path != CHECKSUM:
                self._add(piece)
            yield piece

    def whole(self, member: Member, largest: int) -> bytes:
        """All the data of a small member, without padding."""
        if member.size > largest:
            raise Invalid(f"{header.shown(member.path)} in the archive is too large")
        return b"".join(self.data(member))[: member.size]

    def check(self, told: Checksum) -> None:
        """Compares what went by before the checksum with what it says; raises Invalid."""
        if (told.sha256, told.bytes) != (self._sum.hexdigest(), self._count):
            raise Invalid("the archive is damaged: its checksum is wrong")

    def finish(self) -> None:
        """Reads the second block of the end, and what is behind it, which may be nothing but zeros."""
        if self._exactly(BLOCK) != END:
            raise Invalid("the archive is damaged: something comes behind its end")
        while piece := self._read(PIECE):
            if piece.strip(b"\0"):
                raise Invalid("the archive is damaged: something comes behind its end")

    def _add(self, piece: bytes) -> None:
        self._sum.update(piece)
        self._count += len(piece)

    def _exactly(self, size: int) -> bytes:
        piece = self._read(size)
        if len(piece) != size:
            raise Invalid("the archive is cut short")
        return piece

    def _read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except OSError as error:
            raise HostError(f"the archive cannot be read: {error.strerror}", error.errno) from error


class Writer:
    """An archive that is being written by `write`."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._sum = hashlib.sha256()
        self.count = 0

    def put(self, piece: bytes) -> None:
        """Writes bytes of members."""
        self._sum.update(piece)
        self.count += len(piece)
        self._write(piece)

    def add(self, path: bytes, text: bytes) -> None:
        """Writes a small file of ours."""
        member = tarfile.TarInfo(path.decode())
        member.size, member.mode = len(text), 0o600
        self.put(member.tobuf(tarfile.USTAR_FORMAT) + text + bytes(-len(text) % BLOCK))

    def copy(self, reader: Reader, moved: Callable[[int], None]) -> None:
        """Writes every member of an archive, without its end; `moved` is told how many bytes went by.

        Raises Invalid for a path that nobody could unpack again.
        """
        pending = BytesIO()
        while (member := reader.next()) is not None:
            if len(member.path) > LONGEST_PATH:
                raise Invalid(
                    f"a path is too long for an archive, {len(member.path)} bytes: {header.shown(member.path)}…"
                )
            pending.write(member.raw)
            for piece in reader.data(member):
                pending.write(piece)
                if pending.tell() >= PIECE:
                    self.put(pending.getvalue())
                    moved(pending.tell())
                    pending = BytesIO()
        self.put(pending.getvalue())
        moved(pending.tell())
        reader.finish()

    def close(self) -> None:
        """Writes the checksum and the end."""
        self.add(CHECKSUM, encode(Checksum(self._sum.hexdigest(), self.count)))
        self.put(2 * END)
        self.put(bytes(-self.count % RECORD))
