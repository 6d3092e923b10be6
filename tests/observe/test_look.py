"""One look after another at files as dockerd writes them, also in the middle of its work."""

import os
import select
import time

import pytest

from tests.conftest import until
from tests.observe.docker_root import DockerFiles
from volfs.errors import Invalid, NotFound, Unavailable
from volfs.observe import look
from volfs.observe.driver import ObservedDriver
from volfs.observe.look import DockerRoot
from volfs.volume.volume import State

A, B = "a" * 64, "b" * 64
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}


@pytest.fixture
def files(tmp_path):
    return DockerFiles(tmp_path / "docker").begin()


@pytest.fixture
def docker(files):
    root = DockerRoot(ObservedDriver(files.root), "boot")
    yield root
    root.watches.close()


def settle(monkeypatch):
    """Nothing is too young to be believed."""
    monkeypatch.setattr(look, "SETTLING", 0.0)


def test_a_volume_has_the_labels_and_options_that_docker_gave_it(files, docker):
    files.create("plain", labels={"a": "1", "名": ""})
    files.create("fast", options=TMPFS)
    seen = docker.look().volumes
    assert seen["plain"].labels == {"a": "1", "名": ""}
    assert (seen["plain"].options, seen["plain"].state) == (None, State.OK)
    assert (seen["fast"].options, seen["fast"].state) == (TMPFS, State.UNMOUNTED)
    assert abs(seen["plain"].created - time.time()) < 60


def test_an_option_that_opts_json_does_not_keep_is_known_from_the_store(files, docker):
    files.create("odd", options={"size": "0", "type": "", "device": ""})
    assert docker.look().volumes["odd"].options == {"size": "0", "type": "", "device": ""}


def test_a_directory_without_an_entry_is_waited_for_and_then_shown(files, docker, monkeypatch):
    files.directory("xx")
    seen = docker.look()
    assert (dict(seen.volumes), seen.settled) == ({}, False)
    settle(monkeypatch)
    seen = docker.look()
    assert (list(seen.volumes), seen.settled) == (["xx"], True)


def test_a_directory_with_nothing_in_it_is_no_volume(files, docker, monkeypatch):
    settle(monkeypatch)
    (files.root / "volumes" / "lost").mkdir()
    (files.root / "volumes" / "link").symlink_to("/tmp")
    assert docker.look().volumes == {}


def test_a_volume_that_is_being_removed_is_not_missing_yet(files, docker, monkeypatch):
    files.create("xx")
    before = docker.look()
    files.forget("xx")
    files.entries["xx"] = {"Name": "xx", "Driver": "local", "Labels": None, "Options": None}
    os.rename(files.root / "volumes" / "xx", files.root / "elsewhere")
    files.write_store()
    seen = docker.look()
    assert (seen, seen.settled) == (before, False)
    settle(monkeypatch)
    assert docker.look().volumes["xx"].state is State.MISSING
    os.rename(files.root / "elsewhere", files.root / "volumes" / "xx")
    assert docker.look().volumes["xx"].state is State.OK


def test_a_volume_that_goes_in_the_middle_of_a_look_is_looked_at_again(files, docker, monkeypatch):
    files.create("xx", labels={"a": "1"})
    before = docker.look()

    def describe(name):
        os.rename(files.root / "volumes" / "xx", files.root / "elsewhere")
        return ObservedDriver.describe(docker.driver, name)

    monkeypatch.setattr(docker.driver, "describe", describe)
    assert docker.look() == before
    seen = docker.look()
    assert (seen, seen.settled) == (before, False)
    settle(monkeypatch)
    assert docker.look().volumes["xx"].state is State.MISSING


def test_a_volume_that_is_missing_at_the_first_look_is_missing(files, docker):
    files.entry("xx", labels={"a": "1"})
    seen = docker.look().volumes["xx"]
    assert (seen.state, seen.labels) == (State.MISSING, {"a": "1"})


@pytest.mark.parametrize("text", [b"", b"{", b"[]", None])
def test_one_opts_json_that_is_lost_or_damaged_costs_its_volume_only(files, docker, text):
    files.create("fast", options=TMPFS)
    files.create("xx")
    path = files.root / "volumes" / "fast" / "opts.json"
    path.write_bytes(text) if text is not None else path.unlink()
    states = {name: one.state for name, one in docker.look().volumes.items()}
    assert states == {"fast": State.DAMAGED, "xx": State.OK}


def test_an_opts_json_that_is_a_symlink_is_not_followed(files, docker, tmp_path):
    files.create("fast", options=TMPFS)
    path = files.root / "volumes" / "fast" / "opts.json"
    os.rename(path, tmp_path / "secret")
    path.symlink_to(tmp_path / "secret")
    assert docker.look().volumes["fast"].state is State.DAMAGED


def test_volumes_of_plugins_are_not_shown(files, docker):
    files.entry("theirs", driver="sshfs")
    files.directory("theirs")
    assert docker.look().volumes == {}


def test_the_same_name_again_is_another_volume(files, docker):
    files.create("xx")
    before = docker.look().volumes["xx"]
    files.remove("xx")
    files.create("xx")
    after = docker.look().volumes["xx"]
    assert before.identity != after.identity


def test_a_store_that_is_damaged_while_it_is_followed_costs_no_label(files, docker, caplog):
    files.create("xx", labels={"a": "1"})
    files.create("yy", labels={"b": "2"})
    docker.look()
    (files.root / "volumes" / "metadata.db").write_bytes(b"junk" * 5000)
    seen = docker.look().volumes
    assert (seen["xx"].labels, seen["yy"].labels) == ({"a": "1"}, {"b": "2"})
    docker.look()
    assert caplog.text.count("cannot be read whole") == 1
    files.create("zz", labels={"c": "3"})
    assert docker.look().volumes["zz"].labels == {"c": "3"}


def test_a_root_that_goes_away_and_comes_back_has_the_same_volumes(files, docker, monkeypatch):
    settle(monkeypatch)
    files.create("xx", labels={"a": "1"})
    docker.look()
    before = docker.look()
    os.rename(files.root, files.root.with_name("away"))
    seen = docker.look()
    assert (seen.there, seen.volumes["xx"].state) == (False, State.MISSING)
    os.rename(files.root.with_name("away"), files.root)
    assert docker.look() == before


def test_a_root_that_is_not_there_yet_has_no_volumes(tmp_path):
    docker = DockerRoot(ObservedDriver(tmp_path / "later"), "boot")
    assert (docker.look().there, docker.look().volumes) == (False, {})
    DockerFiles(tmp_path / "later").begin().create("xx")
    assert list(docker.look().volumes) == ["xx"]
    docker.watches.close()


def test_containers_use_their_volumes_whether_they_run_or_not(files, docker):
    for name in ("xx", "yy"):
        files.create(name)
    files.container(A, "xx", "yy")
    files.container(B, "yy", running=False, name="job")
    users = docker.look().references
    assert {(*key, one.name, one.state, one.boot) for key, one in users.items()} == {
        ("xx", A, "web", "running", "boot"),
        ("yy", A, "web", "running", "boot"),
        ("yy", B, "job", "exited", ""),
    }
    assert {one.since for one in users.values()} == {1795496825}


def test_a_container_is_read_again_when_its_config_is_replaced(files, docker):
    files.create("xx")
    files.container(A, "xx")
    assert docker.look().references["xx", A].state == "running"
    files.container(A, "xx", running=False)
    assert docker.look().references["xx", A].state == "exited"
    files.container(A)
    assert docker.look().references == {}


def test_a_config_that_cannot_be_read_leaves_the_container_what_it_was(files, docker, caplog):
    files.create("xx")
    files.container(A, "xx")
    before = docker.look()
    (files.root / "containers" / A / "new").write_text("{")
    os.rename(files.root / "containers" / A / "new", files.root / "containers" / A / "config.v2.json")
    assert docker.look() == before
    assert docker.look(afresh=True) == before
    assert caplog.text.count("what a container uses is not known") == 1


def test_a_volume_follows_what_is_mounted_of_which_nothing_is_heard(files, docker, monkeypatch):
    settle(monkeypatch)
    files.create("fast", options=TMPFS)
    files.create("plain")
    before = docker.look()
    assert before.volumes["fast"].state is State.UNMOUNTED
    monkeypatch.setattr("volfs.observe.driver.is_mount_root", lambda path, **_: "fast" in path)
    mounted = docker.look()
    assert {name: one.state for name, one in mounted.volumes.items()} == {"fast": State.OK, "plain": State.OK}
    assert docker.look() == mounted
    monkeypatch.undo()
    assert docker.look() == before


def test_what_changes_is_heard(files, docker):
    files.create("xx")
    files.container(A, "xx")
    docker.look()
    assert docker.watches.hear().volumes == set()
    for change in (
        lambda: files.create("yy"),
        lambda: files.entry("yy", labels={"a": "1"}),
        lambda: files.remove("yy"),
        lambda: files.container(A, "xx", running=False),
        lambda: files.container(B, "xx"),
    ):
        change()
        until(lambda: _readable(docker.watches.descriptor))
        docker.look()
        assert not _readable(docker.watches.descriptor)


def test_a_containers_log_is_not_listened_to(files, docker):
    files.container(A)
    docker.look()
    docker.look()
    (files.root / "containers" / A / "json.log").write_text("line\n" * 100)
    assert not _readable(docker.watches.descriptor)


def _readable(descriptor):
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def test_a_host_without_watches_left_is_looked_at_all_the_same(files, docker, monkeypatch, caplog):
    def refuse(directory, mask):
        raise OSError(28, "No space left on device", directory)

    monkeypatch.setattr(docker.watches._inotify, "watch", refuse)
    files.create("xx")
    assert list(docker.look().volumes) == ["xx"]
    files.remove("xx")
    assert docker.look().volumes == {}
    assert not docker.watches.whole
    assert caplog.text.count("max_user_watches") == 1


def test_the_hands_change_nothing(files, docker):
    files.create("xx")
    files.create("fast", options=TMPFS)
    docker.look()
    driver = docker.driver
    for change in (
        lambda: driver.create("new", driver.describe("xx")),
        lambda: driver.remove("xx", 1),
        lambda: driver.release("xx"),
        lambda: driver.sweep(".removing-1"),
    ):
        with pytest.raises(Invalid, match=f"this volfs observes {files.root}: change volumes with docker"):
            change()
    with pytest.raises(Unavailable, match="fast is not mounted"):
        driver.mount("fast", TMPFS)
    with pytest.raises(NotFound):
        driver.mount("nothing", None)
    assert driver.mount("xx", None) == str(files.root / "volumes" / "xx" / "_data")
    driver.prepare()
    assert sorted(os.listdir(files.root / "volumes")) == ["fast", "metadata.db", "xx"]
