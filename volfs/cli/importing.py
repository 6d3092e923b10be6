"""`volfs import`: the volumes of an archive of `volfs export`, all of them or none.

    1  the manifest is read, and every name is asked for       nothing is touched
    2  all data is unpacked out of sight, the checksum compared
    3  volumes whose data lies elsewhere are made and filled    taken back where a later step fails
    4  existing volumes are merged into                         what was merged stays
    5  the others get their names, all at once

Law: an archive that is cut, altered or hostile ends in step 1 or 2, and leaves nothing behind.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from volfs.archive import tar
from volfs.archive.arrival import Arrival, arrivals
from volfs.archive.compression import decompressed
from volfs.archive.staging import in_the_way, read_manifest, stage
from volfs.archive.stream import Reader
from volfs.cli import arguments
from volfs.cli.client import ApiError, BadAnswer, Client
from volfs.cli.output import complain, say
from volfs.cli.progress import Progress
from volfs.cli.transfer import code_of, ended_by_signals, held, path_of
from volfs.driver.importing import Workplace, workplace
from volfs.driver.names import quoted
from volfs.errors import Conflict, HostError, Invalid, VolfsError


@click.command("import")
@click.argument("file", required=False, default="-", metavar="[FILE]")
@click.option("--rename", "renames", multiple=True, metavar="OLD=NEW", help="Another name for a volume; repeatable.")
@click.option("--merge", is_flag=True, help="Into volumes that exist: files of the archive win, others stay.")
@click.option("--no-data", is_flag=True, help="Only options, labels, driver and creation time.")
@click.option("--driver", type=click.Choice(["local"]), help="Volumes of plugins become plain ones.")
@arguments.host_option
@click.pass_obj
def import_(host: str, file: str, renames: tuple[str, ...], merge: bool, no_data: bool, driver: str | None) -> int:
    """Makes the volumes of an archive that `volfs export` wrote, and prints their names.

    FILE, or standard input, may be compressed with zstd or gzip. A volume that exists already stops everything before
    anything is done. Exit code: 1 its driver is not here, 2 it exists, 125 anything else.
    """
    if file == "-" and os.isatty(0):
        raise click.UsageError("there is no archive here: name a FILE, or pipe one in")
    names = arguments.pairs("--rename", renames)
    client = Client(arguments.socket_path(host))
    try:
        with ended_by_signals(), _opened(file) as descriptor, decompressed(descriptor) as source:
            reader = Reader(source)
            wanted = arrivals(read_manifest(reader), names, all_local=driver is not None)
            incoming = [_Incoming(one, _exists(client, one.name)) for one in wanted]
            _refuse_existing(incoming, merge=merge)
            _import(client, reader, incoming, data=not no_data)
    except Invalid as error:
        return code_of(Invalid(f"{error}; nothing was imported"))
    except VolfsError as error:
        return code_of(error)
    if incoming:
        say("\n".join(one.arrival.name for one in incoming))
    return 0


@dataclass
class _Incoming:
    """A volume on its way: `exists` already; `part` is its directory out of sight, `data` what was unpacked."""

    arrival: Arrival
    exists: bool
    part: Path | None = None
    data: Path | None = None

    @property
    def into_place(self) -> bool:
        """Whether the data that was unpacked is the volume's itself, and not to be copied to where it belongs."""
        return self.arrival.plain and not self.exists


def _exists(client: Client, name: str) -> bool:
    try:
        client.request("GET", path_of(name))
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _refuse_existing(incoming: Sequence[_Incoming], *, merge: bool) -> None:
    there = [one.arrival.name for one in incoming if one.exists]
    if there and not merge:
        verb = "exist" if len(there) > 1 else "exists"
        raise Conflict(
            f"{', '.join(there)} {verb} already, nothing was imported: give another name with --rename "
            f"{there[0]}=NEW, or --merge the data into what is there"
        )


def _import(client: Client, reader: Reader, incoming: Sequence[_Incoming], *, data: bool) -> None:
    with workplace(_volumes_directory(client)) as work, Progress() as progress:
        for position, one in enumerate(incoming):
            _prepare(one, position, work, data=data)

        def place(position: int) -> str | None:
            progress.of(incoming[position].arrival.name)
            found = incoming[position].data
            return str(found) if found is not None else None

        entries = [one.arrival.entry for one in incoming]
        for warning in stage(reader, entries, place, work.lock, progress.moved):
            complain(f"warning: {warning}")
        progress.of("to disk")
        work.sync()
        _settle(client, work, incoming)


def _volumes_directory(client: Client) -> Path:
    told = client.request("GET", "/info")
    root = told.get("DockerRootDir") if isinstance(told, dict) else None
    if not isinstance(root, str) or not root.startswith("/"):
        raise BadAnswer("the daemon does not say where its root is")
    return Path(root) / "volumes"


def _prepare(one: _Incoming, position: int, work: Workplace, *, data: bool) -> None:
    """Makes the directories that this volume needs out of sight."""
    own = one.arrival.local and not one.exists
    inside = work.new_part(str(position)) if own else None
    one.part = inside.parent if inside is not None else None
    if not data or not one.arrival.entry.data:
        return
    if one.into_place:
        one.data = inside
    else:
        one.data = work.new_directory(f"{position}.data")


def _settle(client: Client, work: Workplace, incoming: Sequence[_Incoming]) -> None:
    """Steps 3 to 5."""
    elsewhere = [one for one in incoming if not one.exists and not one.arrival.plain]
    with _taken_back(client) as made:
        for one in elsewhere:
            _make(client, work, one)
            made(one.arrival.name)
        for one in (*elsewhere, *(one for one in incoming if one.exists)):
            _fill(client, one)
        _publish(client, work, [one for one in incoming if one.into_place])


@contextmanager
def _taken_back(client: Client) -> Iterator[Callable[[str], None]]:
    """Removes the volumes that were made in the block again, where it fails."""
    made: list[str] = []
    try:
        yield made.append
    except BaseException:
        for name in made:
            with suppress(VolfsError):
                client.request("DELETE", path_of(name))
        raise


def _make(client: Client, work: Workplace, one: _Incoming) -> None:
    if one.arrival.local:
        _publish(client, work, [one])
        return
    if _exists(client, one.arrival.name):  # a create would take it for ours, and a failure would remove it
        raise Conflict(f"{one.arrival.name} exists already, somebody made it meanwhile; nothing was imported")
    body = {
        "Name": one.arrival.name,
        "Driver": one.arrival.driver,
        "DriverOpts": one.arrival.options,
        "Labels": one.arrival.entry.labels,
    }
    client.request("POST", "/volumes/create", body=body, again=True)


def _fill(client: Client, one: _Incoming) -> None:
    """Copies data to where it belongs."""
    if one.data is None:
        return
    name = one.arrival.name
    with held(client, name, "import") as volume:
        obstacle = in_the_way(one.data, Path(volume.mountpoint))
        if obstacle is not None:
            raise Conflict(f"volume {name} has a directory where the archive has the file {quoted(obstacle)}")
        try:
            warnings = tar.copy(str(one.data), volume.mountpoint)
        except HostError as error:
            part = "what was copied until then stays in it" if one.exists else "--no-data makes it without its data"
            raise HostError(f"volume {name} could not be filled: {error}; {part}", error.errno) from error
        volume.stream.check()
    in_memory = (one.arrival.options or {}).get("type") == "tmpfs"
    if in_memory and not one.exists and any(one.data.iterdir()):
        warnings.append("what is in a tmpfs is gone as soon as nobody uses the volume")
    for warning in warnings:
        complain(f"warning: {name}: {warning}")


def _publish(client: Client, work: Workplace, volumes: Sequence[_Incoming]) -> None:
    if volumes:
        body = {"Work": work.name, "Volumes": [_publication(one) for one in volumes]}
        client.request("POST", "/volfs/publish", body=body, again=True)


def _publication(one: _Incoming) -> dict[str, Any]:
    assert one.part is not None
    status = one.part.stat()
    created = one.arrival.entry.created
    return {
        "Source": one.part.name,
        "Inode": status.st_ino,
        "Name": one.arrival.name,
        "Created": created if created is not None else int(status.st_mtime),
        "Labels": one.arrival.entry.labels,
        "Options": one.arrival.options,
    }


@contextmanager
def _opened(file: str) -> Iterator[int]:
    if file == "-":
        yield 0
        return
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise HostError(f"{file} cannot be read: {error.strerror}", error.errno) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
