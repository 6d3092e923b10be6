"""The inode layout: a number says which volume and which node, for every daemon that will ever be asked."""

from hypothesis import given
from hypothesis import strategies as st

from volfs.view.inodes import ROOT, NodeKind, inode, split

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
