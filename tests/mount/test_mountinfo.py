"""The mount table as values: any bytes give a list or Invalid."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.errors import Invalid
from volfs.mount.mountinfo import MountEntry, Origin, at, origin, parse, parse_under, under

ROOT = b"25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"


def entry(id_, mountpoint, parent=1):
    return MountEntry(id_, parent, "0:1", "/", mountpoint, ("rw",), (), "tmpfs", "none", ("rw",))


def paths(entries):
    return [found.mountpoint for found in entries]


def escaped(text):
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in text)


def test_every_field_of_a_line_is_read():
    assert parse(
        b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue\n"
    ) == [
        MountEntry(
            36,
            35,
            "98:0",
            "/mnt1",
            "/mnt2",
            ("rw", "noatime"),
            ("master:1", "propagate_from:2"),
            "ext3",
            "/dev/root",
            ("rw", "errors=continue"),
        )
    ]


def test_a_mount_without_propagation_has_none():
    assert parse(b"1 1 0:1 / / rw - tmpfs none rw\n")[0].propagation == ()


def test_a_line_without_a_newline_at_the_end_counts():
    assert len(parse(ROOT + ROOT.rstrip(b"\n"))) == 2


def test_no_text_is_no_mounts():
    assert parse(b"") == []


def test_blanks_tabs_newlines_and_backslashes_come_back():
    assert parse(rb"1 1 0:1 / /a\040b\011c\012d\134e rw - tmpfs my\040disk rw")[0].mountpoint == "/a b\tc\nd\\e"


def test_an_escape_is_undone_once():
    assert parse(rb"1 1 0:1 / /a\134040b rw - tmpfs none rw")[0].mountpoint == r"/a\040b"


def test_bytes_that_are_not_utf8_become_surrogates():
    assert parse(b"1 1 0:1 / /\xff rw - tmpfs none rw")[0].mountpoint == "/\udcff"


def test_an_empty_source_is_empty():
    assert parse(b"1 1 0:1 / /x rw - tmpfs  rw")[0].source == ""


def test_blanks_in_the_options_of_a_file_system_are_kept():
    assert parse(b"1 1 0:1 / /x rw - odd none rw,name=a b")[0].super_options == ("rw", "name=a b")


def test_the_mark_of_a_removed_directory_is_taken_off_the_mountpoint():
    assert parse(b"1 1 0:1 /gone//deleted /x//deleted rw - tmpfs none rw")[0].mountpoint == "/x"


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"x",
        b"1 2 3 4 5\n",
        b"x 1 0:1 / / rw - tmpfs none rw",
        b"1 1 0:1 / / rw tmpfs none rw",
        b"1 1 0:1 / / rw - tmpfs none",
        b"1 1 0:1 / - tmpfs none rw",
    ],
)
def test_a_malformed_line_is_named(line):
    with pytest.raises(Invalid, match="line 2 "):
        parse(ROOT + line + b"\n" + ROOT)


@given(st.binary())
def test_any_bytes_give_a_list_or_invalid(text):
    with suppress(Invalid):
        assert isinstance(parse(text), list)


@given(st.lists(st.sampled_from([b" ", b"-", b" - ", b"1", b"\\", b"\\040", b"\n", b",", b"\xff", b"/"])).map(b"".join))
def test_anything_close_to_a_line_gives_a_list_or_invalid(text):
    with suppress(Invalid):
        assert isinstance(parse(text), list)


@given(
    st.text(st.characters(blacklist_characters="\0", codec="utf-8"), min_size=1).filter(lambda t: "//" not in t + "/")
)
def test_what_the_kernel_escapes_is_read_back(name):
    line = f"1 1 0:1 / /{escaped(name)} rw - tmpfs none rw".encode()
    assert parse(line)[0].mountpoint == "/" + name


def test_a_mountpoint_that_ends_in_a_slash_has_an_origin_like_any_other():
    found = parse(b"1 1 0:1 / /a/ rw - tmpfs none rw")
    assert origin(found, "/a/x") == origin(found, "/a/x/") == Origin("0:1", "/x")


def test_ten_thousand_lines_are_read_in_under_a_second():
    text = ROOT * 10_000
    start = time.perf_counter()
    assert len(parse(text)) == 10_000
    assert time.perf_counter() - start < 1


def test_under_knows_path_components():
    entries = [entry(n, path) for n, path in enumerate(["/", "/a", "/a/b", "/a/bc", "/a/b/c", "/ab"])]
    assert paths(under(entries, "/a/b")) == ["/a/b", "/a/b/c"]
    assert paths(under(entries, "/a/b/")) == ["/a/b", "/a/b/c"]
    assert len(under(entries, "/")) == 6


@given(
    st.lists(
        st.sampled_from(
            ["/", "/a", "/a/b", "/a/bc", "/a/b/c", "/ab/a/b", "/a b", "/a b/c", "/#", "/é/ü", "/a/b//deleted"]
        )
    ),
    st.sampled_from(["/", "/a", "/a/", "/a/b", "/a b", "/#", "/é", "/é/ü", "/a/b/c/d", "/\udcff"]),
)
def test_of_what_is_under_a_directory_no_line_is_passed_over(mountpoints, directory):
    lines = [f"{n} 1 0:1 / {escaped(path)} rw - tmpfs none rw\n" for n, path in enumerate(mountpoints)]
    text = "".join(lines).encode()
    assert parse_under(text, directory) == under(parse(text), directory)


def test_under_keeps_the_order_of_the_kernel():
    assert paths(under([entry(1, "/a/z"), entry(2, "/a"), entry(3, "/a/b")], "/a")) == ["/a/z", "/a", "/a/b"]


def test_at_is_the_topmost_of_a_stack_whatever_their_order():
    lower, upper = entry(7, "/a"), entry(8, "/a", parent=7)
    assert at([lower, upper], "/a") == upper
    assert at([upper, lower], "/a/") == upper


def test_at_a_path_where_nothing_is_mounted_is_none():
    assert at([entry(1, "/a/b")], "/a") is None
