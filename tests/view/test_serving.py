"""What the kernel is told of us, so that no volume waits behind another."""

import struct

import pytest

from volfs.view.serving import _BACKGROUND, adjusted

DONT_MASK, POSIX_ACL, ASYNC = 1 << 6, 1 << 20, 1 << 0 | 1 << 15


def answer(flags, background):
    start = struct.pack("=IiQ", 80, 0, 2) + struct.pack("=IIII", 7, 38, 1 << 17, flags)
    return start + struct.pack("=HH", background, background) + bytes(range(44))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        (ASYNC, ASYNC),
        (POSIX_ACL | ASYNC, POSIX_ACL | ASYNC | DONT_MASK),
        (1 << 3, 1 << 3),
    ],
)
def test_what_nobody_waits_for_is_sent_all_the_same_and_whoever_has_acls_masks_by_themselves(flags, told):
    assert adjusted(answer(flags, 0)) == answer(told, _BACKGROUND)
