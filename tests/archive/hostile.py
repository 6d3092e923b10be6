"""Archives that must not be imported: what is wrong with each, and a word of what is said about it."""

import json
import tarfile

from tests.archive.archives import (
    ROOT,
    archive,
    directory,
    entry,
    hard_link,
    manifest,
    member,
    records,
    sealed,
    symlink,
)

MUST_NOT_BE_THERE = "/tmp/volfs-must-not-be-there"
_WHOLE = archive(member(ROOT + "file", data=b"x"))
_SPARSE = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"512")]


def _flipped(where):
    found = bytearray(_WHOLE)
    found[where] ^= 1
    return bytes(found)


def _with_header(field, text, **more):
    """A member with bytes of its header replaced and its checksum made right again."""
    found = bytearray(member(ROOT + "file", **more))
    found[field : field + len(text)] = text
    found[148:156] = b" " * 8
    found[148:156] = b"%06o\0 " % sum(found[:512])
    return bytes(found)


HOSTILE = {
    "absolute name": (archive(member(MUST_NOT_BE_THERE, data=b"x")), "is not where"),
    "absolute name in a record": (
        archive(member(ROOT + "a", pax=[(b"path", MUST_NOT_BE_THERE.encode())])),
        "is not where",
    ),
    "name with dots": (archive(member(ROOT + "../../../../" + MUST_NOT_BE_THERE[1:], data=b"x")), "leads out"),
    "dots alone": (archive(directory(ROOT + "..")), "leads out"),
    "a dot in the middle": (archive(directory(ROOT + "a"), member(ROOT + "a/./b")), "leads out"),
    "an empty name in the middle": (archive(member(ROOT + "/etc/x")), "leads out"),
    "a file that ends in a slash": (archive(member(ROOT + "file/")), "leads out"),
    "name of another volume": (archive(member("volumes/other/x")), "is not where"),
    "name beside volumes": (archive(member("etc/x")), "is not where"),
    "name that begins like the root": (archive(member("volumes/db2/x")), "is not where"),
    "through a symlink": (archive(symlink(ROOT + "up", "/tmp"), member(ROOT + "up/x", data=b"x")), "is not in a"),
    "through a symlink that was a directory": (
        archive(directory(ROOT + "up"), symlink(ROOT + "up", "/tmp"), member(ROOT + "up/x")),
        "comes twice",
    ),
    "through a symlink, directories later": (
        archive(directory(ROOT + "aa"), directory(ROOT + "bb"), symlink(ROOT + "aa", "/tmp"), member(ROOT + "aa/x")),
        "comes twice",
    ),
    "into a directory that was left": (
        archive(directory(ROOT + "aa"), directory(ROOT + "bb"), member(ROOT + "aa/x")),
        "is not in a",
    ),
    "in a directory that is not there": (archive(member(ROOT + "aa/x")), "is not in a"),
    "below a file": (archive(member(ROOT + "aa"), member(ROOT + "aa/x")), "is not in a"),
    "twice": (archive(member(ROOT + "aa"), member(ROOT + "aa")), "comes twice"),
    "the root twice": (archive(directory(ROOT)), "leads out"),
    "hard link out": (archive(hard_link(ROOT + "aa", "/etc/passwd")), "leaves its volume"),
    "hard link with dots": (archive(hard_link(ROOT + "aa", ROOT + "../../../etc/passwd")), "leaves its volume"),
    "hard link into another volume": (archive(hard_link(ROOT + "aa", "volumes/other/x")), "leaves its volume"),
    "hard link out in a record": (
        archive(member(ROOT + "aa", tarfile.LNKTYPE, link=ROOT + "x", pax=[(b"linkpath", b"/etc/passwd")])),
        "leaves its volume",
    ),
    "hard link to what is not there": (archive(hard_link(ROOT + "aa", ROOT + "bb")), "the data cannot be unpacked"),
    "hard link through a symlink": (
        archive(symlink(ROOT + "up", "/etc"), hard_link(ROOT + "aa", ROOT + "up/passwd")),
        "the data cannot be unpacked",
    ),
    "the same record twice": (
        archive(member(ROOT + "aa", pax=[(b"path", ROOT.encode() + b"bb"), (b"path", MUST_NOT_BE_THERE.encode())])),
        "does not write",
    ),
    "a record that nobody knows": (archive(member(ROOT + "aa", pax=[(b"GNU.sparse.map", b"0,1")])), "does not write"),
    "a record with a wrong length": (
        archive(member("x", tarfile.XHDTYPE, b"99 path=aa\n") + member(ROOT + "aa")),
        "extended header is damaged",
    ),
    "a record with a NUL": (archive(member(ROOT + "aa", pax=[(b"path", ROOT.encode() + b"a\0/../b")])), "NUL"),
    "two extended headers": (
        archive(records([(b"path", b"/x")]) + member(ROOT + "aa", pax=[(b"mtime", b"1")])),
        "of a kind",
    ),
    "an extended header and nothing behind it": (archive(records([(b"path", b"/x")])), "is not where"),
    "a global header": (archive(member("x", tarfile.XGLTYPE, b"")), "of a kind"),
    "a long name of GNU": (archive(member("x", tarfile.GNUTYPE_LONGNAME, b"/etc/x\0")), "of a kind"),
    "a sparse file whose name leads out": (
        archive(member(ROOT + "aa", data=b"0\n" + bytes(510), pax=[*_SPARSE, (b"GNU.sparse.name", b"/etc/x")])),
        "is not where",
    ),
    "a sparse file without a name": (archive(member(ROOT + "aa", data=b"0\n" + bytes(510), pax=_SPARSE)), "no name"),
    "a directory with the name of a sparse file": (
        archive(directory(ROOT + "aa", pax=[*_SPARSE, (b"GNU.sparse.name", b"/etc")])),
        "with holes",
    ),
    "a directory with data": (archive(member(ROOT + "aa", tarfile.DIRTYPE, b"x" * 512)), "has data"),
    "a symlink with data": (archive(member(ROOT + "aa", tarfile.SYMTYPE, b"x" * 512, "b")), "has data"),
    "a size that is no octal": (archive(_with_header(124, b"\x80" + bytes(10) + b"\5")), "no number"),
    "a size that lies, too large": (archive(_with_header(124, b"77777777777\0", data=b"x")), "cut short"),
    "a size that lies, too small": (archive(_with_header(124, b"00000000000\0", data=b"x" * 512)), "header is damaged"),
    "a size in a record that lies": (archive(member(ROOT + "a", pax=[(b"size", b"-1")])), "no number"),
    "a header that is not POSIX's": (archive(_with_header(257, b"ustar  \0")), "not POSIX"),
    "a contiguous file": (archive(_with_header(156, b"7")), "of a kind"),
    "a name with something behind it": (archive(_with_header(99, b"x")), "behind a name"),
    "a wrong checksum": (sealed(manifest() + directory(ROOT), sha256="0" * 64), "checksum is wrong"),
    "a wrong count": (sealed(manifest() + directory(ROOT), count=5), "checksum is wrong"),
    "no checksum": (manifest() + directory(ROOT) + bytes(1024), "cut short"),
    "a checksum that is none": (manifest() + directory(ROOT) + member("volfs/checksum.json", data=b"{}"), "itself"),
    "something behind the checksum": (_WHOLE[:-1024] + member(ROOT + "late") + bytes(1024), "is not where"),
    "something behind the end": (_WHOLE + b"x", "behind its end"),
    "another archive behind the end": (_WHOLE + _WHOLE, "behind its end"),
    "a flipped bit in a header": (_flipped(_WHOLE.index(b"volumes/db/file") + 1), "checksum is wrong"),
    "a flipped bit in the data": (_flipped(_WHOLE.index(b"volumes/db/file") + 512), "checksum is wrong"),
    "a flipped bit in the padding": (_flipped(_WHOLE.index(b"volumes/db/file") + 900), "checksum is wrong"),
    "a flipped bit in the manifest": (_flipped(_WHOLE.index(b"2026-01-02")), "checksum is wrong"),
    "nothing": (b"", "cut short"),
    "no archive": (b"x" * 4096, "no archive of volfs"),
    "another tar": (directory("etc/") + member("etc/passwd", data=b"x") + bytes(1024), "does not begin"),
    "a manifest that is a link": (symlink("volfs/manifest.json", "/etc/shadow") + bytes(1024), "does not begin"),
    "a manifest that is no JSON": (member("volfs/manifest.json", data=b"{") + bytes(1024), "cannot be read"),
    "a newer format": (sealed(manifest(Format=2)), "format version 2"),
    "a volume name with a slash": (sealed(manifest(entry("../x", Directory="volumes/xx"))), "invalid characters"),
    "a directory that leads out": (sealed(manifest(entry(Directory="volumes/../../etc"))), "in the directory"),
    "a directory that is dots": (sealed(manifest(entry(Directory="volumes/.."))), "in the directory"),
    "a directory that is absolute": (sealed(manifest(entry(Directory="/etc"))), "in the directory"),
    "a volume twice": (sealed(manifest(entry(), entry(Directory="volumes/x"))), "twice"),
    "a directory twice": (sealed(manifest(entry(), entry("xx", Directory="volumes/db"))), "twice"),
    "options that there are not": (
        sealed(manifest(entry(Options={"exec": "rm"})) + directory(ROOT)),
        "that it cannot have",
    ),
    "labels that are no text": (
        member("volfs/manifest.json", data=json.dumps({"Format": 1, "Volumes": [entry(Labels={"a": 1})]}).encode()),
        "cannot be read",
    ),
    "data of a volume left out": (sealed(manifest(entry(), entry("xx")) + directory(ROOT)), "is not where"),
    "data that no manifest speaks of": (
        sealed(manifest(entry(Data=False)) + directory(ROOT)),
        "is not where",
    ),
    "volumes in another order": (
        sealed(manifest(entry("aa"), entry("bb")) + directory("volumes/bb/") + directory("volumes/aa/")),
        "is not where",
    ),
    "a root that is a file": (sealed(manifest() + member("volumes/db")), "is not where"),
    "a root that is a symlink": (sealed(manifest() + symlink("volumes/db", "/etc")), "is not where"),
    "no root": (sealed(manifest() + member(ROOT + "aa")), "is not where"),
}
