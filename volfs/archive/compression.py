"""Archives through `zstd` and `gzip`: by the name of a file when one is written, by its first bytes when one is read.

Law: the program's exit code counts: what it could not read or write to the end is an error, never a shorter archive.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from volfs.archive.stream import PIECE, Source
from volfs.errors import HostError, Invalid

_BY_NAME = {
    (".zst", ".tzst"): ("zstd", "-q", "-T0", "-c"),
    (".gz", ".tgz"): ("gzip", "-c"),
}
_BY_MAGIC = {
    b"\x28\xb5\x2f\xfd": ("zstd", "-q", "-d", "-c"),
    b"\x1f\x8b": ("gzip", "-q", "-d", "-c"),
}
_LONGEST_MAGIC = 4


def program_for(name: str) -> tuple[str, ...]:
    """The command that compresses into a file of this name; empty for none."""
    return next((command for endings, command in _BY_NAME.items() if name.endswith(endings)), ())


@contextmanager
def compressed(command: tuple[str, ...], target: IO[bytes]) -> Iterator[IO[bytes]]:
    """Something to write to that ends up compressed in `target`, whole when the block is left."""
    if not command:
        yield target
        return
    with _started(command, subprocess.PIPE, target) as process:
        assert process.stdin is not None
        try:
            yield process.stdin
            process.stdin.close()
        except BrokenPipeError:
            pass
        if process.wait():
            raise HostError(f"{command[0]} could not write the archive: is there room for it?")


@contextmanager
def decompressed(descriptor: int) -> Iterator[Source]:
    """What can be read from `descriptor`, compressed or not. The block reads it to its end."""
    first = _first_bytes(descriptor)
    command = next((one for magic, one in _BY_MAGIC.items() if first.startswith(magic)), ())
    if not command:
        with _file_of(descriptor) as rest:
            yield _Rejoined(first, rest)
        return
    head = _pipe_of(first)
    with _started(("cat", f"/dev/fd/{head}", "-"), descriptor, subprocess.PIPE, head) as cat:
        os.close(head)
        with _started(command, cat.stdout, subprocess.PIPE) as process:
            yield _Decompressed(process, command[0])


class _Decompressed:
    """What a program says, whose end is one only if the program is content."""

    def __init__(self, process: "subprocess.Popen[bytes]", name: str) -> None:
        assert process.stdout is not None
        self._output, self._process, self._name = process.stdout, process, name

    def read(self, size: int, /) -> bytes:
        piece = self._output.read(size)
        if len(piece) < size and self._process.wait():
            raise Invalid(f"the archive is damaged: {self._name} cannot read all of it")
        return piece


class _Rejoined:
    """A file from whose beginning something was read already."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self._first, self._rest = first, rest

    def read(self, size: int, /) -> bytes:
        piece, self._first = self._first[:size], self._first[size:]
        return piece + self._rest.read(size - len(piece))


def _file_of(descriptor: int) -> IO[bytes]:
    try:
        return open(descriptor, "rb", buffering=PIECE, closefd=False)
    except OSError as error:
        raise HostError(f"the archive cannot be read: {error.strerror}", error.errno) from error


def _first_bytes(descriptor: int) -> bytes:
    first = b""
    try:
        while len(first) < _LONGEST_MAGIC and (more := os.read(descriptor, _LONGEST_MAGIC - len(first))):
            first += more
    except OSError as error:
        raise HostError(f"the archive cannot be read: {error.strerror}", error.errno) from error
    return first


def _pipe_of(text: bytes) -> int:
    """A descriptor to read a few bytes from."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return reading


@contextmanager
def _started(
    command: tuple[str, ...], stdin: int | IO[bytes] | None, stdout: int | IO[bytes], *keep_open: int
) -> Iterator["subprocess.Popen[bytes]"]:
    try:
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, bufsize=PIECE, pass_fds=keep_open
        )
    except FileNotFoundError:
        raise HostError(f"there is no {command[0]} on this host: apt-get install {command[0]}") from None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            with suppress(BrokenPipeError):
                pipe.close()
