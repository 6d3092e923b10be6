"""The inode layout: a number says which volume and which node, for every daemon that will ever be asked."""

from hypothesis import given
from hypothesis import strategies as st

from volfs.view.inodes import ROOT, NodeKind, handle, inode, inode_of, part, split

SERIALS = st.integers(1, (1 << 58) - 1)


@given(SERIALS, st.sampled_from(NodeKind))
def test_a_number_comes_apart_into_what_it_was_made_of(serial, kind):
    assert split(inode(serial, kind)) == (serial, kind)


@given(SERIALS, st.sampled_from(NodeKind), SERIALS, st.sampled_from(NodeKind))
def test_two_nodes_never_share_a_number(serial, kind, other, other_kind):
    assert (inode(serial, kind) == inode(other, other_kind)) == ((serial, kind) == (other, other_kind))


@given(SERIALS, st.sampled_from(NodeKind))
def test_a_control_node_is_neither_the_root_nor_a_file_in_data(serial, kind):
    number = inode(serial, kind)
    assert number != ROOT
    assert number < 1 << 62


def test_numbers_that_no_node_can_have_are_none():
    assert split(ROOT) is None
    assert split(0) is None
    assert [split(1 << 3 | kind) for kind in range(4, 8)] == [None] * 4


def test_the_layout_is_the_one_that_kernels_have_cached():
    """Changing it would make the numbers that the kernel holds over an upgrade mean something else."""
    assert [inode(5, kind) for kind in (NodeKind.VOLUME, NodeKind.OPTS, NodeKind.META, NodeKind.DATA)] == [
        40,
        41,
        42,
        43,
    ]


YEARS = st.integers(1, 1 << 42)  # serials that count on from a clock in milliseconds


@given(YEARS, st.sampled_from(NodeKind), st.integers(0, 1 << 24))
def test_a_handle_tells_its_inode_and_is_not_one_of_a_file_in_data(serial, kind, length):
    number = inode(serial, kind)
    assert inode_of(handle(number, length)) == number
    assert handle(number, length) < 1 << 62


@given(st.binary(max_size=90), st.binary(max_size=90), st.integers(1, 100))
def test_what_is_read_from_a_daemon_and_the_next_one_is_never_the_end_of_another_text(old, new, size):
    """Whoever reads until the end, with the text changed in the middle: read at once, it is one of the two."""
    opened, read = handle(inode(1), len(old)), part(handle(inode(1), len(old)), old, 0, size)
    if len(read) < len(old):
        return  # in pieces it may be of both
    assert part(opened, new, len(read), size) == b"" or not old


def test_a_text_that_grew_is_read_on_by_who_has_read_less_of_it_than_there_was():
    opened = handle(inode(1), 4)
    assert [part(opened, b"123456", offset, 9) for offset in (0, 2, 4, 6)] == [b"123456", b"3456", b"", b""]
