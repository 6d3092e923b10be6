"""Labels for SELinux, written as its tools write them; that SELinux is on is said by a file."""

import os
from pathlib import Path

import pytest

from tests.container.conftest import bind
from volfs.container.labels import relabel
from volfs.errors import HostError, Invalid
from volfs.mount.syscalls import bind as bind_mount
from volfs.mount.syscalls import detach

LABEL = "system_u:object_r:container_file_t:s0:c1,c2"
SHARED = "system_u:object_r:container_file_t:s0"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="labels are root's to write")


def label_of(path):
    try:
        return os.getxattr(path, "security.selinux", follow_symlinks=False).decode()
    except OSError:
        return None


@pytest.fixture
def selinux(tmp_path):
    (tmp_path / "enforce").touch()
    return tmp_path / "enforce"


@pytest.fixture
def tree(tmp_path):
    """A tree with a symlink that leads out of it."""
    outside = tmp_path / "outside"
    outside.touch()
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "file").touch()
    (tmp_path / "src" / "link").symlink_to(outside)
    return tmp_path / "src"


def asked(container, mode, source):
    [mount] = container(bind("/b", source, Relabel=mode)).mount_points
    return [(mount, str(source))]


@pytest.mark.parametrize(("mode", "label"), [("z", SHARED), ("Z", LABEL), ("ro,Z", LABEL)])
def test_all_of_a_source_is_labelled_and_nothing_outside(container, selinux, tree, mode, label):
    assert relabel(asked(container, mode, tree), LABEL, "web", selinux=selinux) == []
    for path in (tree, tree / "deep", tree / "deep" / "file", tree / "link"):
        assert label_of(path) == label
    assert label_of(tree.parent / "outside") is None


def test_a_file_is_labelled(container, selinux, tree):
    relabel(asked(container, "Z", tree / "deep" / "file"), LABEL, "web", selinux=selinux)
    assert (label_of(tree / "deep" / "file"), label_of(tree)) == (LABEL, None)


@pytest.mark.parametrize(("mode", "label"), [("", LABEL), ("ro", LABEL), ("z", "")])
def test_what_nobody_asked_for_is_not_done(container, selinux, tree, mode, label):
    assert relabel(asked(container, mode, tree), label, "web", selinux=selinux) == []
    assert label_of(tree) is None


def test_a_host_without_selinux_says_that_it_was_asked_for(container, tree, tmp_path):
    [finding] = relabel(asked(container, "Z", tree), LABEL, "web", selinux=tmp_path / "none")
    assert finding.code == "container-not-relabelled"
    assert "/b of container web" in finding.text
    assert label_of(tree) is None


@pytest.mark.parametrize("source", ["/", "/etc", "/usr/../home", "/var/lib/"])
def test_what_the_host_needs_is_refused(container, selinux, source):
    with pytest.raises(Invalid, match="needed by the host"):
        relabel([(asked(container, "z", "/src")[0][0], source)], LABEL, "web", selinux=selinux)


def test_a_file_system_without_labels_is_told_and_any_other_refusal_is_an_error(container, selinux, tree):
    [finding] = relabel(asked(container, "z", Path("/proc/self/attr")), LABEL, "web", selinux=selinux)
    assert "has no labels" in finding.text
    here = os.open(tree, os.O_PATH)
    bind_mount(here, str(tree), read_only=True)
    os.close(here)
    try:
        with pytest.raises(HostError, match=r"cannot be labelled.*Read-only"):
            relabel(asked(container, "z", tree), LABEL, "web", selinux=selinux)
    finally:
        detach(str(tree))
