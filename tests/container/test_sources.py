"""What lies on the host for a container: its own directory, and the sources of its binds."""

import os

import pytest

from tests.container.conftest import ID, bind, write_container
from volfs.container.directory import find, give, present, read
from volfs.container.mounts import NetworkFile, binds_of
from volfs.container.sources import make_missing, refuse_missing
from volfs.errors import HostError, Invalid, NotFound

OTHER = "d" * 64
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


def owner_of(path):
    status = path.stat(follow_symlinks=False)
    return status.st_uid, status.st_gid


# Finding and reading


def test_a_container_is_found_by_the_beginning_of_its_id_in_the_first_place_that_has_one(tmp_path):
    for place, id_ in (("first", ID), ("second", ID), ("second", OTHER)):
        (tmp_path / place / id_).mkdir(parents=True)
    places = [tmp_path / "first", tmp_path / "second", tmp_path / "none"]
    assert find("cc", places) == tmp_path / "first" / ID
    assert find(OTHER, places) == tmp_path / "second" / OTHER


def test_several_that_begin_so_are_refused_and_none_is_told_with_where_it_was_looked_for(tmp_path):
    for id_ in (ID, "cc" + OTHER[2:]):
        (tmp_path / "place" / id_).mkdir(parents=True)
    with pytest.raises(Invalid, match="beginning of 2"):
        find("cc", [tmp_path / "place"])
    with pytest.raises(NotFound, match=r"no container abc in .*place or /elsewhere"):
        find("abc", [tmp_path / "place", tmp_path.__class__("/elsewhere")])


@pytest.mark.parametrize("text", ["", "web", "../etc", "C" * 64, "c" * 65, "*"])
def test_what_is_no_id_is_refused(text, tmp_path):
    with pytest.raises(Invalid, match="neither a container's ID nor the path"):
        find(text, [tmp_path])


def test_a_directory_without_a_config_is_no_containers(tmp_path):
    with pytest.raises(NotFound, match=r"not the directory of a container.*config\.v2\.json"):
        read(tmp_path)
    (tmp_path / "config.v2.json").write_text("{")
    with pytest.raises(Invalid, match=str(tmp_path)):
        read(tmp_path)
    with pytest.raises(NotFound, match="not the directory of a container"):
        read(tmp_path / "config.v2.json")


@pytest.mark.parametrize("kind", ["fifo", "symlink", "directory"])
@pytest.mark.parametrize("name", ["config.v2.json", "hostconfig.json"])
def test_a_containers_file_that_is_something_else_is_refused_and_not_waited_for(tmp_path, name, kind):
    path = write_container(tmp_path / ID) / name
    content = path.rename(tmp_path / "elsewhere")
    {"fifo": lambda: os.mkfifo(path), "symlink": lambda: path.symlink_to(content), "directory": path.mkdir}[kind]()
    with pytest.raises(Invalid, match=f"{name} is (not a regular file|a symlink)"):
        read(tmp_path / ID)


def test_a_container_without_a_hostconfig_can_be_read(tmp_path):
    (write_container(tmp_path / ID) / "hostconfig.json").unlink()
    assert [finding.code for finding in read(tmp_path / ID).findings] == ["container-no-hostconfig"]


# Network files


def test_a_symlink_in_place_of_a_containers_own_file_is_not_there(tmp_path):
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    files = [
        NetworkFile("/etc/hosts", f"{tmp_path}/{name}", rw=True, own=own)
        for name, own in (("real", True), ("link", True), ("gone", True), ("link", False), ("gone", False))
    ]
    assert present(files[:1]) == {f"{tmp_path}/real"}
    assert present(files[1:3]) == set()
    assert present(files[3:]) == {f"{tmp_path}/link"}


@root_only
def test_files_are_given_away_and_what_a_symlink_points_to_is_not(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("x")
    own = tmp_path / "own"
    own.mkdir()
    (own / "hosts").write_text("x")
    (own / "hostname").symlink_to(outside)
    give(own, [f"{own}/hosts", f"{own}/hostname"], (100000, 100001))
    assert owner_of(own / "hosts") == (100000, 100001)
    assert owner_of(outside) == (os.geteuid(), os.getegid())
    with pytest.raises(HostError, match="cannot be given"):
        give(own, [f"{own}/gone"], (1, 1))


# Binds


@root_only
def test_missing_sources_are_made_for_the_containers_root_and_told(container, tmp_path):
    source = tmp_path / "new" / "deep"
    made = make_missing(binds_of(container(bind("/b", source))), (1234, 77), "web")
    assert [owner_of(path) for path in (source, source.parent)] == [(1234, 77)] * 2
    assert [path.stat().st_mode & 0o777 for path in (source, source.parent)] == [0o755] * 2
    assert owner_of(tmp_path) == (os.geteuid(), os.getegid())
    assert [finding.code for finding in made] == ["container-bind-source-made"]
    assert str(source) in made[0].text


@pytest.mark.parametrize("kind", ["directory", "file", "dangling"])
def test_what_is_there_stays_as_it_is(container, tmp_path, kind):
    source = tmp_path / "src"
    {"directory": source.mkdir, "file": source.touch, "dangling": lambda: source.symlink_to("gone")}[kind]()
    before = os.lstat(source)
    assert make_missing(binds_of(container(bind("/b", source))), (1234, 77), "web") == []
    after = os.lstat(source)
    assert (before.st_mode, before.st_uid, before.st_ino) == (after.st_mode, after.st_uid, after.st_ino)


def test_a_source_that_nobody_may_make_is_missed(container, tmp_path):
    binds = binds_of(container(bind("/b", tmp_path / "gone", SkipMountpointCreation=True)))
    with pytest.raises(NotFound, match=r"gone of the bind of container web \(at /b\) does not exist on this host"):
        refuse_missing(binds, "web")
    assert make_missing(binds, (0, 0), "web") == []
    assert not (tmp_path / "gone").exists()


def test_a_source_below_a_file_is_the_hosts_refusal(container, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="cannot be made"):
        make_missing(binds_of(container(bind("/b", tmp_path / "file" / "below"))), (0, 0), "web")


def test_a_bind_under_the_name_of_a_tmpfs_is_none(container, tmp_path):
    made = container(bind("/b", tmp_path / "gone"), host={"Tmpfs": {"/b": ""}})
    assert binds_of(made) == ()
