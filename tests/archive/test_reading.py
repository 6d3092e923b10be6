"""What an archive may be: every wrong one is refused, any bytes are, and what tar writes is read as tar reads it."""

import contextlib
import io
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.archive.archives import ROOT, archive, directory, hard_link, member, symlink
from tests.archive.hostile import HOSTILE, MUST_NOT_BE_THERE
from volfs.archive.arrival import arrivals
from volfs.archive.header import Member, parse_records
from volfs.archive.manifest import parse_checksum, parse_manifest
from volfs.archive.staging import read_manifest, stage
from volfs.archive.stream import Reader, Writer
from volfs.archive.tree import Tree
from volfs.driver.importing import workplace
from volfs.errors import HostError, Invalid

# The suite's process may have threads of trio left; the command line has none when it starts tar.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
GOOD = archive(
    directory(ROOT + "aa"),
    member(ROOT + "aa/file", data=b"x" * 700, pax=[(b"mtime", b"1.5"), (b"SCHILY.xattr.user.a", b"\0\n=")]),
    directory(ROOT + "aa/bb"),
    symlink(ROOT + "aa/link", "../../../../etc/passwd"),
    directory(ROOT + "cc"),
    hard_link(ROOT + "cc/hard", ROOT + "aa/file"),
)


def checked(text):
    """Reads an archive to its end, unpacking nothing."""
    reader = Reader(io.BytesIO(text))
    found = read_manifest(reader)
    arrivals(found, {}, all_local=False)
    stage(reader, found.volumes, lambda position: None, -1, lambda count: None)
    return found


def test_a_good_archive_is_good():
    assert [one.name for one in checked(GOOD).volumes] == ["db"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_wrong_archive_is_refused_and_leaves_nothing(name, tmp_path):
    text, word = HOSTILE[name]
    with pytest.raises((Invalid, HostError), match=word), workplace(tmp_path) as work:
        reader = Reader(io.BytesIO(text))
        wanted = arrivals(read_manifest(reader), {}, all_local=False)
        place = [str(work.new_part(str(position))) for position in range(len(wanted))]
        stage(reader, [one.entry for one in wanted], place.__getitem__, work.lock, lambda count: None)
    assert os.listdir(tmp_path) == [] and not os.path.lexists(MUST_NOT_BE_THERE)


def test_an_archive_that_is_cut_anywhere_is_refused():
    for length in {*range(0, len(GOOD), 512), *range(7, len(GOOD), 997), len(GOOD) - 1}:
        with pytest.raises(Invalid):
            checked(GOOD[:length])


@given(some.data())
def test_a_changed_byte_is_noticed(data):
    where = data.draw(some.integers(0, len(GOOD) - 1025))
    changed = bytearray(GOOD)
    changed[where] = data.draw(some.integers(0, 255).filter(lambda byte: byte != GOOD[where]))
    checksum = GOOD.index(b"volfs/checksum.json")
    if where < checksum:
        with pytest.raises(Invalid):
            checked(bytes(changed))
    else:  # of the checksum's own member not every byte says something
        with contextlib.suppress(Invalid):
            checked(bytes(changed))


@given(some.binary(max_size=3000))
def test_any_bytes_are_an_archive_or_invalid(text):
    for made in (text, GOOD[:512] + text, text + GOOD, GOOD[: GOOD.index(ROOT.encode())] + text):
        with contextlib.suppress(Invalid):
            checked(made)


@given(some.binary(max_size=300))
def test_any_bytes_are_records_a_manifest_a_checksum_or_invalid(text):
    for parse in (parse_records, parse_manifest, parse_checksum):
        with contextlib.suppress(Invalid):
            parse(text)


def test_what_tar_writes_is_read_and_written_again_byte_for_byte(tmp_path):
    tree = tmp_path / "tree"
    (tree / ("d" * 120) / ("e" * 120)).mkdir(parents=True)
    (tree / ("d" * 120) / ("e" * 120) / "file").write_bytes(b"x" * 1500)
    (tree / "link").symlink_to("y" * 300)
    os.link(tree / ("d" * 120) / ("e" * 120) / "file", tree / "hard")
    with open(tree / ("s" * 200), "wb") as sparse:
        sparse.truncate(10 << 20)
        sparse.seek(5 << 20)
        sparse.write(b"z" * 100)
    text = subprocess.run(
        ["tar", "-C", tree, "--format=posix", "--sparse", "-cf", "-", "."], check=True, capture_output=True
    ).stdout
    names = subprocess.run(["tar", "-tf", "-", "--quoting-style=literal"], input=text, check=True, capture_output=True)
    members: list[Member] = []
    reader = Reader(io.BytesIO(text))
    while (found := reader.next()) is not None:
        members.append(found)
        assert b"".join(reader.data(found))[: found.size] is not None
    assert [one.path for one in members] == names.stdout.split(b"\n")[:-1]
    out = io.BytesIO()
    Writer(out.write).copy(Reader(io.BytesIO(text)), lambda count: None)
    assert text.startswith(out.getvalue()) and not text[len(out.getvalue()) :].strip(b"\0")


HEADERS = [at for at in range(0, len(GOOD) - 1024, 512) if GOOD[at + 257 : at + 262] == b"ustar"]
BEGIN, END = GOOD.index(ROOT.encode()), GOOD.index(b"volfs/checksum.json")
CHANGES = some.tuples(
    some.sampled_from([at for at in HEADERS if BEGIN <= at < END]),
    some.integers(0, 800),  # in a header, or in the records behind it
    some.sampled_from(b"\0 \n/.=0127589Lx") | some.integers(0, 255),
)


@given(some.lists(CHANGES, min_size=1, max_size=3))
def test_what_is_admitted_has_the_names_that_tar_reads(changes):
    """Two readers that differ are how a name gets past the one that looks."""
    text = bytearray(GOOD)
    for header, offset, byte in changes:
        text[min(header + offset, END - 1)] = byte
        for at in (at for at in HEADERS if BEGIN <= at < END):
            text[at + 148 : at + 156] = b" " * 8
            text[at + 148 : at + 156] = b"%06o\0 " % sum(text[at : at + 512])
    part = bytes(text[BEGIN:END]) + bytes(1024)
    tree, reader, names = Tree(b"volumes/db"), Reader(io.BytesIO(part)), []
    try:
        while (found := reader.next()) is not None:
            tree.admit(found)
            names.append(found.path)
            for _ in reader.data(found):
                pass
    except Invalid:
        return
    listed = subprocess.run(["tar", "-tf", "-", "--quoting-style=literal"], input=part, capture_output=True)
    assert listed.stdout == b"".join(name + b"\n" for name in names)
