"""What the kernel is told of us, so that no volume waits behind another."""

import struct

import pytest

from volfs.view.serving import adjusted

DONT_MASK, POSIX_ACL, ASYNC = 1 << 6, 1 << 20, 1 << 0 | 1 << 15


def answer(flags):
    return struct.pack("=IiQ", 80, 0, 2) + struct.pack("=IIII", 7, 38, 1 << 17, flags) + bytes(range(48))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF & ~ASYNC),
        (ASYNC, 0),
        (POSIX_ACL | ASYNC, POSIX_ACL | DONT_MASK),
        (1 << 3, 1 << 3),
    ],
)
def test_no_read_is_asked_for_that_nobody_waits_for_and_whoever_has_acls_masks_by_themselves(flags, told):
    assert adjusted(answer(flags)) == answer(told)
