"""`volfs export`: volumes as one tar stream, with their data and what they are.

Law: a volume is in use from before its first byte is read to after its last. A file has its name only once it is whole
and on disk; a stream that is cut has no checksum, and is refused by `volfs import`.
"""

import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import click

from volfs.archive import tar
from volfs.archive.compression import compressed, program_for
from volfs.archive.manifest import FORMAT, MANIFEST, Entry, Manifest, directory_of, encode
from volfs.archive.stream import Reader, Writer
from volfs.cli import answers, arguments
from volfs.cli.client import Client
from volfs.cli.output import Gone, complain
from volfs.cli.progress import Progress
from volfs.cli.transfer import code_of, ended_by_signals, held, path_of
from volfs.errors import HostError, Unavailable, VolfsError
from volfs.mount.syscalls import sync_directory

_WITHOUT_DATA = ("missing", "damaged")


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("-a", "--all", "everything", is_flag=True, help="Every volume that `volfs ls` lists.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where to; compressed if it ends in .zst, .tzst, .gz or .tgz.  [default: standard output]",
)
@click.option("--no-data", is_flag=True, help="Only what the volumes are: options, labels, driver, creation time.")
@arguments.host_option
@click.pass_obj
def export(host: str, names: tuple[str, ...], everything: bool, output: str | None, no_data: bool) -> int:
    """Writes volumes into one tar stream for `volfs import`. Options travel with their passwords: keep it safe.

    \b
    volfs export db media -o volumes.tar.zst
    volfs export --all | ssh other volfs import

    Exit code: 1 no such volume, 125 anything else.
    """
    if bool(names) == everything:
        raise click.UsageError("name volumes, or say --all")
    to_file = output not in (None, "-")
    if not to_file and os.isatty(1):
        raise click.UsageError("an archive is nothing for a terminal: say -o FILE, or pipe it to where it should go")
    client = Client(arguments.socket_path(host))
    try:
        entries = _entries(client, names, data=not no_data)
        with ended_by_signals(), _file(Path(output)) if to_file and output else _standard_output() as target:
            _write(client, entries, target)
    except VolfsError as error:
        return code_of(error)
    return 0


def _entries(client: Client, names: Sequence[str], *, data: bool) -> list[Entry]:
    """What the manifest says; without names, of every volume."""
    if names:
        volumes = [answers.volume(client.request("GET", path_of(name))) for name in dict.fromkeys(names)]
    else:
        volumes, _ = answers.listing(client.request("GET", "/volumes"))
    for volume in volumes:
        state = (volume.get("Status") or {}).get("State")
        if data and state in _WITHOUT_DATA:
            raise Unavailable(f"volume {volume['Name']} is {state}: mend it, leave it out, or say --no-data")
    return [
        Entry(
            name=volume["Name"],
            driver=str(volume.get("Driver") or "local"),
            created_at=str(volume.get("CreatedAt") or ""),
            labels=volume.get("Labels"),
            options=volume.get("Options"),
            directory=directory_of(volume["Name"], position),
            data=data,
        )
        for position, volume in enumerate(volumes)
    ]


def _write(client: Client, entries: Sequence[Entry], target: IO[bytes]) -> None:
    def put(piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:  # a pipe may take less than it is given
            rest = rest[target.write(rest) :]

    writer = Writer(put)
    writer.add(MANIFEST, encode(Manifest(FORMAT, list(entries))))
    with Progress() as progress:
        for entry in (one for one in entries if one.data):
            progress.of(entry.name)
            for warning in _write_data(client, entry, writer, progress.moved):
                complain(f"warning: {entry.name}: {warning}")
    writer.close()


def _write_data(client: Client, entry: Entry, writer: Writer, moved: Callable[[int], None]) -> list[str]:
    """Returns tar's warnings: of sockets, which no archive holds, and of files that changed meanwhile."""
    with held(client, entry.name, "export") as volume:

        def went_by(count: int) -> None:
            volume.stream.check()
            moved(count)

        with tar.pack(volume.mountpoint, entry.directory) as source:
            writer.copy(Reader(source.pipe), went_by)
        volume.stream.check()
    return source.warnings


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    if sys.stdout is None:
        raise HostError("standard output is closed: say -o FILE")
    try:
        with open(1, "wb", buffering=0, closefd=False) as raw:
            yield raw
    except BrokenPipeError:
        raise Gone from None
    except OSError as error:
        raise HostError(f"the archive cannot be written: {error.strerror}", error.errno) from error


@contextmanager
def _file(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when it is whole; what is no file, a tape or a pipe, is written to as it is."""
    special = path.exists() and not stat.S_ISREG(path.stat().st_mode)
    work = path if special else path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.partial")
    flags = os.O_WRONLY | (0 if special else os.O_CREAT | os.O_EXCL)
    try:
        descriptor = os.open(work, flags, 0o600)
        try:
            with open(descriptor, "wb", buffering=0) as raw:
                with compressed(program_for(path.name), raw) as target:
                    yield target
                if not special:
                    os.fsync(descriptor)
            if not special:
                work.rename(path)
                sync_directory(path.parent)
        finally:
            if not special:
                with suppress(FileNotFoundError):
                    work.unlink()
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}", error.errno) from error
