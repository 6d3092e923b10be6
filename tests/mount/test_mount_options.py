"""The text of `o=` as flags, propagation and data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.mount import options
from volfs.mount.options import MountFlags, address, masked, parse, with_address


def test_words_of_the_table_are_flags_and_the_rest_is_data_in_order():
    parsed = parse("noatime,size=10k,ro,mode=755,noexec")
    assert parsed == MountFlags(options.MS_NOATIME | options.MS_RDONLY | options.MS_NOEXEC, "size=10k,mode=755", 0)


def test_no_text_is_nothing():
    assert parse("") == MountFlags(0, "", 0)


@pytest.mark.parametrize(
    ("word", "flag"),
    [
        ("ro", 0x1),
        ("nosuid", 0x2),
        ("nodev", 0x4),
        ("noexec", 0x8),
        ("sync", 0x10),
        ("remount", 0x20),
        ("mand", 0x40),
        ("dirsync", 0x80),
        ("noatime", 0x400),
        ("nodiratime", 0x800),
        ("bind", 0x1000),
        ("rbind", 0x5000),
        ("relatime", 0x200000),
        ("strictatime", 0x1000000),
    ],
)
def test_a_word_sets_the_flag_of_the_kernel(word, flag):
    assert parse(word) == MountFlags(flag, "", 0)


@pytest.mark.parametrize(
    "words",
    [
        "ro,rw",
        "nosuid,suid",
        "nodev,dev",
        "noexec,exec",
        "sync,async",
        "mand,nomand",
        "noatime,atime",
        "nodiratime,diratime",
        "relatime,norelatime",
        "strictatime,nostrictatime",
        "defaults",
    ],
)
def test_a_later_word_takes_an_earlier_one_back(words):
    assert parse(words) == MountFlags(0, "", 0)


@pytest.mark.parametrize(
    ("word", "propagation"),
    [
        ("private", 1 << 18),
        ("rprivate", 1 << 18 | 1 << 14),
        ("shared", 1 << 20),
        ("rshared", 1 << 20 | 1 << 14),
        ("slave", 1 << 19),
        ("rslave", 1 << 19 | 1 << 14),
        ("unbindable", 1 << 17),
        ("runbindable", 1 << 17 | 1 << 14),
    ],
)
def test_propagation_is_kept_apart_from_the_flags(word, propagation):
    assert parse(f"{word},ro") == MountFlags(options.MS_RDONLY, "", propagation)


def test_a_recursive_propagation_makes_a_bind_recursive_as_with_docker():
    assert parse("bind,rprivate") == parse("rbind,private") == parse("rbind,rprivate")


def test_words_are_told_by_case_and_whole():
    assert parse("RO,rox,ro=1").data == "RO,rox,ro=1"


def test_a_doubled_comma_in_data_stays_for_cifs_reads_it():
    assert parse("password=a,,b,ro").data == "password=a,,b"


@given(st.text())
def test_any_text_is_read_and_reading_its_data_again_changes_nothing(text):
    once = parse(text)
    assert parse(once.data) == MountFlags(0, once.data, 0)


def test_the_first_address_counts():
    assert address("vers=4,addr=nas,addr=other") == "nas"
    assert address("clientaddr=me,rw") is None
    assert address("addr=") is None


def test_the_first_textual_occurrence_of_the_address_is_replaced():
    assert with_address("vers=4,addr=nas,x=addr=nas", "10.0.0.1") == "vers=4,addr=10.0.0.1,x=addr=nas"
    assert with_address("vers=4", "10.0.0.1") == "vers=4"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("username=a,password=hunter2,ro", "username=a,password=********,ro"),
        ("PassWord=x", "PassWord=********"),
        ("pass=x,passwd=y,password2=z,secret=s", "pass=********,passwd=********,password2=********,secret=********"),
        ("credentials=/etc/c,api_token=t,keyfile=k", "credentials=********,api_token=********,keyfile=********"),
        ("password=a,,b,,c,ro", "password=********,ro"),
        ("password=a,,,,b", "password=********"),
        ("opt=x,,password=y", "opt=x,,password=********"),
        ("password=a=b", "password=********"),
        ("password=,ro", "password=,ro"),
        ("password,ro", "password,ro"),
        ("size=1m,mode=755", "size=1m,mode=755"),
        ("", ""),
    ],
)
def test_secrets_are_masked_and_nothing_else(text, shown):
    assert masked(text) == shown


@given(st.text(), st.sampled_from(["password", "PASS", "secret", "cred", "token"]))
def test_no_part_of_a_secret_is_left_however_it_holds_commas(secret, key):
    marked = "".join(f"\N{SNOWMAN}{c}" for c in secret.replace(",", ",,").replace(",,", "\0")).replace("\0", ",,")
    assert "\N{SNOWMAN}" not in masked(f"a=1,{key}={marked}").replace(",,", "")
