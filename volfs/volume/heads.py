"""The two heads of an LMDB file, its first pages: which data format each of them names.

    0    magic, 0xBEEFC0DE     4   version     24   page size     each of 32 bits, in the machine's order

They begin some bytes behind the beginning of their pages, 16 in the format that LMDB 0.9 writes.

Law: a file that another LMDB wrote names one other version in both; one accident makes them differ.
Source: lmdb, mdb.c, struct MDB_meta.
"""

import os
import struct
import sys
from pathlib import Path

_MAGIC = struct.pack("=I", 0xBEEFC0DE)
_NEAR = 64  # bytes in which the first head begins
_TOLD = 8  # bytes of a head that say what it is
_PAGES = [1 << bits for bits in range(9, 17)]


def differ(path: Path) -> bool:
    """Whether the heads contradict each other, or the first is none; not of a file that cannot be read at all."""
    try:
        with path.open("rb") as file:
            text = file.read(_PAGES[-1] + _NEAR)
    except OSError:
        return False
    at = text.find(_MAGIC, 0, _NEAR)
    if at < 0:
        return True
    page = int.from_bytes(text[at + 24 : at + 28], sys.byteorder)
    second = at + (page if page in _PAGES else os.sysconf("SC_PAGESIZE"))
    return text[at : at + _TOLD] != text[second : second + _TOLD]
