"""Which members may lie in a volume's part of an archive. Pure.

    volumes/DIRECTORY/        first of all, the volume's root
    volumes/DIRECTORY/a/      a directory before what is in it
    volumes/DIRECTORY/a/b     right after it, as one walk through the tree comes by

Law: every member is below the root, by a name without `.` and `..`, in a directory that this archive made just before,
and no name comes twice. So nothing can be written through a symlink, whose target may be any text. A hard link names
a file below the root. Memory is that of the names in the directories on the way to the current one.
"""

from volfs.archive.header import DIRECTORY, HARD_LINK, Member, shown
from volfs.errors import Invalid


class Tree:
    """The part of one volume; `prefix` is `volumes/DIRECTORY`."""

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self._path: list[bytes] = []
        self._names: list[set[bytes]] = []

    def is_root(self, member: Member) -> bool:
        """Whether this member would begin the part."""
        return member.kind == DIRECTORY and member.path.removesuffix(b"/") == self.prefix

    def admit(self, member: Member) -> None:
        """Takes the next member; raises Invalid where it may not be there."""
        path = member.path.removesuffix(b"/") if member.kind == DIRECTORY else member.path
        if not self._names:
            if not self.is_root(member):
                raise Invalid(f"{shown(member.path)} comes before its volume's root")
            self._names.append(set())
            return
        *parent, name = self._below(path, "leads out of its volume")
        if self._path[: len(parent)] != parent:
            raise Invalid(f"{shown(path)} is not in a directory that the archive made before it")
        del self._path[len(parent) :], self._names[len(parent) + 1 :]
        if name in self._names[-1]:
            raise Invalid(f"{shown(path)} comes twice")
        if member.kind == HARD_LINK:
            self._below(member.link, "is the target of a link that leaves its volume")
        self._names[-1].add(name)
        if member.kind == DIRECTORY:
            self._path.append(name)
            self._names.append(set())

    def _below(self, path: bytes, fault: str) -> list[bytes]:
        """The names on the way from the root."""
        root, names = path[: len(self.prefix) + 1], path[len(self.prefix) + 1 :].split(b"/")
        if root != self.prefix + b"/" or any(name in (b"", b".", b"..") for name in names):
            raise Invalid(f"{shown(path)} {fault}")
        return names
