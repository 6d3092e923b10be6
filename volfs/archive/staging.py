"""An archive read from its first byte to its last, judged, and unpacked out of sight.

Law: nothing is true before the checksum behind the last volume was compared. Whoever calls throws away what was
unpacked when this raises.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from volfs.archive import tar
from volfs.archive.header import FILE, Member, shown
from volfs.archive.manifest import CHECKSUM, LARGEST, MANIFEST, Entry, Manifest, parse_checksum, parse_manifest
from volfs.archive.stream import Reader
from volfs.archive.tree import Tree
from volfs.errors import Invalid

Put = Callable[[bytes], object]
Moved = Callable[[int], None]
Place = Callable[[int], str | None]


def read_manifest(reader: Reader) -> Manifest:
    """Reads the first member; raises Invalid where it is not what volfs writes first."""
    try:
        member = reader.next()
    except Invalid as error:
        raise Invalid(f"this is no archive of volfs export: {error}") from None
    if member is None or member.path != MANIFEST or member.kind != FILE:
        raise Invalid("this is no archive of volfs export: it does not begin with a manifest")
    return parse_manifest(reader.whole(member, LARGEST))


def stage(reader: Reader, entries: Sequence[Entry], place: Place, lock: int, moved: Moved) -> list[str]:
    """Unpacks the data of each volume into the directory that `place` names for its position; None: only checked.

    `lock` is a descriptor that lives as long as anybody writes; `moved` is told of bytes. Returns warnings of tar.
    """
    warnings: list[str] = []
    member = reader.next()
    for position, entry in enumerate(entries):
        if not entry.data:
            continue
        tree = Tree(entry.directory.encode())
        if member is None or not tree.is_root(member):
            raise _misplaced(member)
        with _sink(place(position), lock, partial(_note, warnings, entry.name)) as put:
            member = _part(reader, tree, member, put, moved)
    if member is None or member.path != CHECKSUM or member.kind != FILE:
        raise _misplaced(member)
    reader.check(parse_checksum(reader.whole(member, 1 << 10)))
    if (member := reader.next()) is not None:
        raise _misplaced(member)
    reader.finish()
    return warnings


def in_the_way(staged: Path, target: Path) -> str | None:
    """A directory of `target` where a file should come, which tar would not delete; relative, None for none."""
    for directory, _, files in os.walk(staged):
        inside = Path(directory).relative_to(staged)
        for name in files:
            if _is_directory(target / inside / name):
                return str(inside / name)
    return None


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _part(reader: Reader, tree: Tree, member: Member | None, put: Put, moved: Moved) -> Member | None:
    """Hands on all members of one volume; returns the first one that is none."""
    below = tree.prefix + b"/"
    while member is not None and member.path.startswith(below):
        tree.admit(member)
        put(member.raw)
        for piece in reader.data(member):
            put(piece)
            moved(len(piece))
        moved(len(member.raw))
        member = reader.next()
    return member


@contextmanager
def _sink(directory: str | None, lock: int, note: Callable[[list[str]], None]) -> Iterator[Put]:
    if directory is None:
        yield len
        return
    with tar.unpack(directory, [lock]) as child:
        yield child.pipe.write
    note(child.warnings)


def _note(warnings: list[str], name: str, said: list[str]) -> None:
    warnings.extend(f"{name}: {line}" for line in said)


def _misplaced(member: Member | None) -> Invalid:
    if member is None:
        return Invalid("the archive is cut short: it ends before its checksum")
    return Invalid(f"{shown(member.path)} is not where an archive of volfs has anything")
