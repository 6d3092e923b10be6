"""How the command lines of mount.volfs and umount.fuse.volfs are read."""

import os

import pytest

from volfs.cli import mount
from volfs.cli.mount_words import MountWords, UmountWords, parse_mount, parse_umount
from volfs.errors import Invalid

PLUGIN_OFF = "--plugin-socket=none"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("/r /v", MountWords("/r", "/v", (PLUGIN_OFF,))),
        ("/r /v -o rw", MountWords("/r", "/v", (PLUGIN_OFF,))),
        ("-o rw /r /v", MountWords("/r", "/v", (PLUGIN_OFF,))),
        ("/r /v -f -n -v -t fuse.volfs", MountWords("/r", "/v", (PLUGIN_OFF,), fake=True, verbose=True)),
        ("/r /v -o idle=10m,group=docker", MountWords("/r", "/v", ("--idle=10m", "--group=docker", PLUGIN_OFF))),
        ("/r /v -o max-binds=50", MountWords("/r", "/v", ("--max-binds=50", PLUGIN_OFF))),
        ("/r /v -o idle=10m -o mode=0755", MountWords("/r", "/v", ("--idle=10m", "--mode=0755", PLUGIN_OFF))),
        ("/r /v -o plugin-socket=/p", MountWords("/r", "/v", ("--plugin-socket=/p",))),
        ("/r /v -o log=/l", MountWords("/r", "/v", (PLUGIN_OFF,), log="/l")),
        ('/r /v -o run-dir="/a,b",nofail', MountWords("/r", "/v", ("--run-dir=/a,b", PLUGIN_OFF))),
        ("/r /v -s -o what=ever,idle=1s", MountWords("/r", "/v", ("--idle=1s", PLUGIN_OFF))),
        ("/r /v -o ,,", MountWords("/r", "/v", (PLUGIN_OFF,))),
    ],
)
def test_a_command_line_of_mount_says_what_to_serve(words, expected):
    assert parse_mount(words.split()) == expected


def test_words_that_are_meant_for_mount_and_systemd_say_nothing():
    words = (
        "defaults,auto,noauto,nofail,_netdev,rw,user,nouser,users,owner,group,nosuid,nodev,exec,relatime,rshared,"
        "rprivate,x-systemd.automount,X-mount.mkdir=0755,comment=mine,user=somebody,allow_other,async"
    )
    assert parse_mount(["/r", "/v", "-o", words]) == MountWords("/r", "/v", (PLUGIN_OFF,))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "usage: mount.volfs"),
        ("/r", "usage: mount.volfs"),
        ("/r /v /w", "usage: mount.volfs"),
        ("/r /v -o", "-o requires argument; usage: mount.volfs"),
        ("/r /v -z", "-z not recognized; usage: mount.volfs"),
        ("/r /v -N /proc/1/ns/mnt", "-N"),
        ("none /v", '"none" is not the absolute path of a root'),
        ("/r /v -o idel=5m", 'no option "idel=5m"; its own are data-plane, group, idle, log, log-format,'),
        ("/r /v -o root=/other", 'no option "root=/other"'),
        ("/r /v -o until-unmounted=1", 'no option "until-unmounted=1"'),
        ("/r /v -o idle", '"idle" needs a value: idle='),
        ("/r /v -o mode=", '"mode=" needs a value'),
        ("/r /v -o log=here", "absolute path"),
        ("/r /v -o ro", '"ro" is not for volfs: a view is never read-only'),
        ("/r /v -o noexec", '"noexec" is not for volfs'),
        ("/r /v -s -o suid", '"suid" is not for volfs'),
        ("/r /v -o remount,idle=1s", '"remount" is not for volfs'),
    ],
)
def test_what_mount_cannot_mean_is_refused_with_one_line_that_quotes_it(words, said):
    with pytest.raises(Invalid) as refused:
        parse_mount(words.split())
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("/v", UmountWords("/v")),
        ("/v -l", UmountWords("/v", lazy=True)),
        ("-l -v /v -t fuse.volfs", UmountWords("/v", lazy=True, verbose=True)),
        ("/v -f -n -r", UmountWords("/v")),
    ],
)
def test_a_command_line_of_umount_says_what_to_unmount(words, expected):
    assert parse_umount(words.split()) == expected


@pytest.mark.parametrize("words", ["", "/v /w", "/v -z", "/v -N /proc/1/ns/mnt"])
def test_what_umount_cannot_mean_is_refused(words):
    with pytest.raises(Invalid):
        parse_umount(words.split())


def test_an_ordinary_user_is_told_that_only_root_can(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert mount.main([str(tmp_path / "root"), str(tmp_path)]) == 1
    assert capfd.readouterr().err.startswith("mount.volfs: only root can mount a view; an ordinary user runs")
    assert os.listdir(tmp_path) == []
