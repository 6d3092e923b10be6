"""Every parser of volfs as a function of bytes, with what it may refuse and texts to begin from.

Law: any bytes are a value, or one of the parser's own refusals, and nothing else. `tests/torture/test_parsers.py` tries
some on each; `scripts/torture --only fuzz` looks for more, guided by what they reach.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from os import fsdecode

import click
import trio

from tests.archive import archives
from tests.dockerroot import bolt_file
from tests.torture import parser_texts as texts
from tests.torture.shapes import Shape, as_json, as_msgpack
from volfs.api import containers as container_routes
from volfs.api import events, messages, transfer
from volfs.api import plugin as plugin_api
from volfs.archive import arrival, header, manifest, staging
from volfs.archive.stream import Reader
from volfs.cli import answers, arguments, mount_words
from volfs.cli import serve as serve_command
from volfs.cli.client import BadAnswer, Client
from volfs.container import bundle, config, directory, paths, tmpfs
from volfs.container.mounts import volumes_of
from volfs.dockerroot import metadata, pages
from volfs.driver import address, discretion, names, options, plugin, record, wire
from volfs.errors import HostError, Invalid, NotFound, Unavailable
from volfs.keeper import claims
from volfs.mount import mountinfo
from volfs.mount import options as mount_options
from volfs.observe import containers as observed
from volfs.settings import Settings
from volfs.view import inodes
from volfs.volume import encoding, filters
from volfs.volume.volume import Figure, Reference

Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Parser:
    """`read` takes any bytes; `seeds` are some that make sense; `refusals` is all that it may raise.

    `shape` makes of any bytes a text of the right form, where hardly any other is one.
    """

    read: Read
    seeds: tuple[bytes, ...]
    refusals: tuple[type[Exception], ...] = (Invalid,)
    shape: Shape | None = None

    def try_on(self, data: bytes) -> None:
        """Reads the bytes as they are, and as what they stand for; raises what is no refusal."""
        for text in (data, self.shape(data)) if self.shape else (data,):
            with suppress(*self.refusals):
                self.read(text)


def of_json(read: Read, seeds: tuple[bytes, ...], *refusals: type[Exception], parts: int = 1) -> Parser:
    """A parser of JSON."""
    return Parser(read, seeds, refusals or (Invalid,), as_json(seeds, parts))


def of_text(parse: Callable[[str], object], how: str = "replace") -> Read:
    """A parser of text; `how` is what its caller does with bytes that are none."""
    return lambda data: parse(data.decode(errors=how))


def of_words(parse: Callable[[list[str]], object]) -> Read:
    """A parser of a command line: what the kernel hands over, a NUL between words."""
    return lambda data: parse([fsdecode(word) for word in data.split(b"\0")])


def of_option(read: Callable[..., object]) -> Read:
    """A callback of click's for an option."""
    command = click.Command("serve")
    option = click.Option(["--option"])
    return lambda data: read(click.Context(command), option, fsdecode(data))


def _mounts(data: bytes) -> object:
    found = mountinfo.parse(data)
    for entry in found:
        mountinfo.at(found, entry.mountpoint)
        mountinfo.origin(found, entry.mountpoint + "/x")
    assert mountinfo.parse_under(data, "/srv") == mountinfo.under(found, "/srv")
    return mountinfo.under(found, "/srv")


def _mount_words(text: str) -> object:
    given = mount_options.parse(text)
    assert mount_options.parse(given.data).flags == 0
    found = mount_options.address(text)
    return mount_options.with_address(text, "10.0.0.1") if found else mount_options.masked(text)


def _driver_options(data: bytes) -> object:
    pairs = [word.partition("=") for word in data.decode(errors="replace").split("\0")]
    given = {key: value for key, _, value in pairs}
    shown = options.masked(given)
    options.check(given)
    kept = {key: text for key, text in given.items() if text and key != "size"}  # a size is written as its number
    assert options.from_text(options.to_text(given)) == (kept or None)
    return shown, options.mount_source(given), options.with_cifs_host(given.get("device", ""), "10.0.0.1")


def _told(data: bytes) -> object:
    """Options, and what somebody says of them."""
    said, _, rest = data.decode(errors="surrogateescape").partition("\0")
    given = {key: value for key, _, value in (word.partition("=") for word in rest.split("\0"))}
    shown = discretion.without(said, discretion.secrets_of(given))
    return shown, discretion.shown_to_people(given)


def _record(data: bytes) -> object:
    """opts.json and meta.json, a NUL between them; nothing in them may end a start."""
    opts, _, meta = data.partition(b"\0")
    decoded = record._parse_meta(meta)
    return record.agreed_options(opts, decoded.options)


def _container(data: bytes) -> object:
    whole, _, host = data.partition(b"\0")
    found = config.parse(whole, host or None)
    for point in found.mount_points:
        assert paths.clean(point.destination) == point.destination
    return observed.use_of(found, "boot"), volumes_of(found)


def _bundle(data: bytes) -> object:
    spec = bundle.parse(data)
    bundle.root_of(spec)
    changed = bundle.with_mounts(spec, [{"destination": "/data"}], "rslave")
    return bundle.text_of(bundle.with_mounts(changed, [], ""))


def _bolt(data: bytes) -> object:
    """As it is, and with the sums of both metas set right, which nothing would come past otherwise."""
    metadata.read(data)
    right = bytearray(data)
    for start in (pages.HEADER, 4096 + pages.HEADER):
        if len(right) >= start + 64:
            right[start + 56 : start + 64] = pages.fnv64a(bytes(right[start : start + 56])).to_bytes(8, "little")
    return metadata.read(bytes(right))


def _archive(data: bytes) -> object:
    reader = Reader(BytesIO(data))
    found = staging.read_manifest(reader)
    wanted = arrival.arrivals(found, {}, all_local=len(data) % 2 == 0)
    return staging.stage(reader, [one.entry for one in wanted], lambda _: None, 0, lambda _: None)


def _member(data: bytes) -> object:
    """A header and its records; its sum is set right, which nothing would come past otherwise."""
    block, text = bytearray(data[: header.BLOCK].ljust(header.BLOCK, b"\0")), data[header.BLOCK :]
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    found = header.parse_member(data, bytes(block), header.parse_records(text))
    return header.shown(found.path)


def _plugin_answer(data: bytes) -> object:
    client = plugin.Plugin("any", lambda: address.Address(path="/x"))
    found = client._read("VolumeDriver.Get", 200, data)
    return [plugin._volume(one) for one in (found.volume, *(found.volumes or ())) if one is not None]


class _Said(trio.abc.Stream):
    """A connection on which somebody says these bytes and goes."""

    def __init__(self, data: bytes) -> None:
        self._pieces = [data[:7], data[7:]] if len(data) > 7 else [data]

    async def send_all(self, data: bytes) -> None:
        return

    async def wait_send_all_might_not_block(self) -> None:
        return

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def aclose(self) -> None:
        return


def _wire(data: bytes) -> object:
    return trio.run(wire.post, _Said(data), "VolumeDriver.Get", b"{}")


def _of_daemon(data: bytes) -> object:
    """An answer of the daemon, to each of our commands that might have asked."""
    value = Client("/x")._decoded(data)
    for read in (answers.listing, answers.pruned, answers.set_up, answers.released, answers.progress):
        try:
            read(value)
        except BadAnswer:
            continue
    one = answers.volume(answers.line(value))
    return answers.row(one), answers.measure(one)


def _wanted_events(data: bytes) -> object:
    since, until, wanted = [*data.decode(errors="replace").split("\n", 2), "", ""][:3]
    return events.parse_wanted(since, until, wanted)


def _catalogue(data: bytes) -> object:
    """A record of each kind; the first byte says of which."""
    kind = (encoding.Volume, Reference, Figure)[data[0] % 3 if data else 0]
    return encoding.decode(data[1:], kind)


def _api_path(text: str) -> object:
    version, path = messages.split_version(text)
    return messages.at_least(version, "1.42"), path, messages.truth(path)


PARSERS: dict[str, Parser] = {
    "mountinfo": Parser(_mounts, texts.MOUNTINFO),
    "mount options": Parser(of_text(_mount_words), texts.MOUNT_OPTIONS),
    "driver options": Parser(_driver_options, texts.DRIVER_OPTIONS),
    "device for people": Parser(of_text(options.masked_device), texts.DEVICES),
    "what somebody said": Parser(_told, texts.TOLD),
    "size": Parser(of_text(options.ram_in_bytes), texts.SIZES),
    "opts.json": of_json(options.from_text, texts.OPTS),
    "opts.json and meta.json": of_json(_record, texts.RECORDS, parts=2),
    "volume name": Parser(of_text(names.parse_volume_name, "surrogateescape"), texts.NAMES),
    "plugin volume name": Parser(of_text(names.parse_plugin_name, "surrogateescape"), texts.NAMES),
    "name of a file": Parser(of_text(names.name_of_file, "surrogateescape"), texts.NAMES),
    "inode": Parser(lambda data: inodes.split(int.from_bytes(data[:8])), (b"\0" * 8, b"\xff" * 8)),
    "plugin .spec": Parser(of_text(address.parse_spec), texts.ADDRESSES),
    "plugin .json": of_json(address.parse_json, texts.ADDRESS_FILES),
    "plugin answer": of_json(_plugin_answer, texts.PLUGIN_ANSWERS, HostError, Unavailable),
    "plugin over the wire": Parser(_wire, texts.WIRE, (wire.WireError,)),
    "plugin call": of_json(plugin_api._parse, texts.CALLS),
    "create": of_json(messages.parse_create, texts.CREATES, Invalid, Unavailable),
    "publish": of_json(transfer._parse, texts.PUBLICATIONS),
    "container wanted": of_json(container_routes._parse, texts.WANTED),
    "api path": Parser(of_text(_api_path), texts.PATHS),
    "content type": Parser(of_text(messages.check_content_type), (b"application/json; charset=utf-8",)),
    "events query": Parser(_wanted_events, texts.EVENTS),
    "filters": of_json(of_text(lambda text: filters.parse_filters(text, filters.LISTING)), texts.FILTERS),
    "prune filters": of_json(of_text(lambda text: filters.parse_filters(text, filters.PRUNING)), texts.FILTERS),
    "daemon answer": of_json(_of_daemon, texts.DAEMON_ANSWERS, BadAnswer),
    "config.v2.json": of_json(_container, texts.CONTAINERS, parts=2),
    "container id": Parser(of_text(directory.parse_id), (b"3f2a",)),
    "tmpfs options": Parser(of_text(tmpfs.merged), texts.MOUNT_OPTIONS),
    "bundle": of_json(_bundle, texts.BUNDLES),
    "metadata.db": Parser(_bolt, (bytes(bolt_file.whole_file(bolt_file.volumes(30))),)),
    "catalogue record": Parser(_catalogue, texts.CATALOGUE, (encoding.DamagedStore,), as_msgpack(texts.CATALOGUE)),
    "archive": Parser(_archive, texts.ARCHIVES),
    "archive member": Parser(_member, texts.MEMBERS),
    "manifest": of_json(manifest.parse_manifest, texts.MANIFESTS),
    "checksum": Parser(manifest.parse_checksum, (b'{"Sha256":"0a","Bytes":12}',)),
    "fstab line": Parser(of_words(mount_words.parse_mount), texts.FSTAB),
    "umount line": Parser(of_words(mount_words.parse_umount), (b"/mnt/v\0-l", b"-f\0/mnt/v\0-N\x001")),
    "length of time": Parser(of_text(arguments.seconds), (b"90", b"1.5h", b"30s", b"5m"), (click.UsageError,)),
    "socket": Parser(of_text(arguments.socket_path), (b"unix:///run/v.sock", b"/run/v"), (click.UsageError,)),
    "K=V": Parser(of_words(lambda words: arguments.pairs("-o", words)), (b"a=b\0c=d",), (click.UsageError,)),
    "filter words": Parser(of_words(arguments.filters), (b"label=a=b\0dangling=true",), (click.UsageError,)),
    "mode": Parser(of_option(serve_command._mode), (b"0750", b"0o755", b"700"), (click.UsageError,)),
    "settings": of_json(of_text(Settings.from_json), texts.SETTINGS, ValueError, TypeError),
    "holder of a lock": Parser(lambda data: claims._described(claims._parse_holder(data)), texts.HOLDERS),
    "archive of one member": Parser(
        lambda data: _archive(archives.archive(data + bytes(-len(data) % 512))), texts.MEMBERS, (Invalid, NotFound)
    ),
}
