"""The two heads of an LMDB file, its first pages: which data format each of them names.

    16  magic, 0xBEEFC0DE     20  version        both of 32 bits, in the machine's order

Law: a file that another LMDB wrote names one other version in both; one accident makes them differ.
Source: lmdb, mdb.c, struct MDB_meta.
"""

import os
import struct
from pathlib import Path

_HEAD = struct.Struct("=16xII")
_PAGE = os.sysconf("SC_PAGESIZE")
_MAGIC = 0xBEEFC0DE


def differ(path: Path) -> bool:
    """Whether the heads contradict each other, or one is none; not of a file that cannot be read at all."""
    try:
        with path.open("rb") as file:
            text = file.read(_PAGE + _HEAD.size)
    except OSError:
        return False
    if len(text) < _PAGE + _HEAD.size:
        return True
    heads = {_HEAD.unpack_from(text, at) for at in (0, _PAGE)}
    return len(heads) > 1 or heads.pop()[0] != _MAGIC
