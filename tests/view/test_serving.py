"""What libfuse is told of the kernel, so that no volume waits behind another."""

import struct

from volfs.view.serving import without_async


def test_libfuse_is_not_offered_reads_that_nobody_waits_for_and_everything_else_stays():
    header = struct.pack("=IIQQIIII", 104, 26, 7, 0, 0, 0, 0, 0)
    kept = header + struct.pack("=IIIII", 7, 44, 1 << 20, 0xFFFFFFFF, 0x1234) + bytes(44)
    changed = without_async(kept)
    assert (len(changed), changed[:52], changed[56:]) == (len(kept), kept[:52], kept[56:])
    assert struct.unpack_from("=I", changed, 52) == (0xFFFFFFFF & ~(1 << 0 | 1 << 15),)
