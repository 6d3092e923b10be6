"""A container's mounts set up by a running daemon: its volumes in use, whole or not at all, and given back."""

import contextlib
import json
import os
import threading
import time
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.conftest import UnixConnection, until
from tests.container.conftest import ID, bind, volume, write_container
from volfs.mount import mountinfo, syscalls
from volfs.mount.syscalls import is_mount_root

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
OTHER = "d" * 64


def set_up(served, directory, **fields):
    return served.request("POST", "/volfs/containers/mounts", {"Directory": str(directory), **fields})


def ready(served, directory, **fields):
    """The answer for a container that can be set up."""
    status, answer = set_up(served, directory, **fields)
    assert status == 200, answer
    return answer


def refused(served, directory, **fields):
    """Status and message of a refusal."""
    status, answer = set_up(served, directory, **fields)
    assert status >= 400, answer
    return status, answer["message"]


def release(served, container=ID):
    status, answer = served.request("DELETE", f"/volfs/containers/{container}")
    assert status == 200, answer
    return answer["Volumes"]


def sources(answer):
    return {one["destination"]: one["source"] for one in answer["Mounts"]}


def users(served, name="db"):
    return [(one["Id"], one["Kind"]) for one in served.request("GET", f"/volumes/{name}")[1]["UsedBy"]]


def data(served, name="db"):
    return served.root / "volumes" / name / "_data"


def binds(served):
    """What is bound for containers."""
    return [one.mountpoint for one in mountinfo.under(syscalls.read_mountinfo(), str(served.root / "container-mounts"))]


def events(served, since):
    """(action, volume, attributes) of what was told since."""
    with contextlib.closing(UnixConnection(served.socket)) as connection:
        connection.request("GET", f"/events?since={since:.6f}&until={time.time():.6f}")
        found = [json.loads(line) for line in connection.getresponse().read().splitlines()]
    return [(one["Action"], one["Actor"]["ID"], one["Actor"]["Attributes"]) for one in found]


@pytest.fixture
def directory(tmp_path):
    """Where the container's files are."""
    return tmp_path / "containers" / ID


# In use, and given back


def test_a_container_is_a_user_of_its_volumes_until_it_is_released(served, directory):
    for name in ("db", "cache"):
        served.create(name)
    write_container(directory, volume("/data"), volume("/cache", "cache", rw=False))
    answer = ready(served, directory)
    assert (answer["Id"], answer["Name"], answer["Warnings"]) == (ID, "web", [])
    assert sources(answer) == {"/data": str(data(served)), "/cache": str(data(served, "cache"))}
    assert users(served) == users(served, "cache") == [(ID, "container")]
    status, message = served.request("DELETE", "/volumes/db")
    assert (status, ID in message["message"]) == (409, True)
    assert ready(served, directory) == answer
    assert users(served) == [(ID, "container")], "set up again it has the same volumes"
    assert release(served, ID[:3]) == ["cache", "db"]
    assert users(served) == []
    assert release(served) == [], "one that has nothing is no error"


def test_a_volume_with_options_is_mounted_for_it_and_unmounted_with_it(served, directory):
    served.create("quick", DriverOpts=TMPFS)
    write_container(directory, volume("/quick", "quick"))
    ready(served, directory)
    assert is_mount_root(str(data(served, "quick")))
    release(served)
    assert not is_mount_root(str(data(served, "quick")))


def test_events_tell_what_dockers_tell(served, directory):
    served.create("db")
    write_container(directory, volume("/data"), volume("/ro", rw=False))
    began = time.time()
    ready(served, directory)
    release(served)
    base = {"driver": "local", "container": ID}
    assert events(served, began) == [
        ("mount", "db", {**base, "destination": "/data", "read/write": "true", "propagation": ""}),
        ("mount", "db", {**base, "destination": "/ro", "read/write": "false", "propagation": ""}),
        ("unmount", "db", base),
    ]


def test_a_volume_that_it_does_not_need_any_more_is_given_back(served, directory):
    for name in ("db", "cache"):
        served.create(name)
    (data(served, "cache") / "part").mkdir()
    write_container(directory, volume("/data"), volume("/cache", "cache", subpath="part"))
    ready(served, directory)
    assert len(binds(served)) == 1
    write_container(directory, volume("/data"))
    ready(served, directory)
    assert (users(served), users(served, "cache"), binds(served)) == ([(ID, "container")], [], [])


def test_a_directory_that_was_copied_here_meanwhile_is_a_volume(served, directory):
    (data(served) / "kept").mkdir(parents=True)
    write_container(directory, volume("/data"))
    assert sources(ready(served, directory)) == {"/data": str(data(served))}
    assert users(served) == [(ID, "container")]
    assert (data(served) / "kept").is_dir()


def test_a_volume_that_volfs_kept_for_docker_elsewhere_is_its_own_here(served, directory):
    served.create("db")
    write_container(directory, volume("/data", driver="volfs"))
    assert sources(ready(served, directory)) == {"/data": str(data(served))}


def test_a_container_is_found_by_its_id_in_the_root(served):
    served.create("db")
    write_container(served.root / "containers" / ID, volume("/data"))
    status, answer = served.request("POST", "/volfs/containers/mounts", {"Id": ID[:4]})
    assert (status, answer["Id"]) == (200, ID)
    status, answer = served.request("POST", "/volfs/containers/mounts", {"Id": "abcdef"})
    assert (status, str(served.root / "containers") in answer["message"]) == (404, True)


def test_a_place_that_cannot_be_cleared_keeps_no_volume(served, directory):
    served.create("db")
    (data(served) / "part").mkdir()
    write_container(directory, volume("/data", subpath="part"))
    place = Path(sources(ready(served, directory))["/data"])
    (place.parent / "00stray").mkdir()
    (place.parent / "00stray" / "file").touch()
    status, answer = served.request("DELETE", f"/volfs/containers/{ID}")
    assert (status, answer["Volumes"], users(served), binds(served)) == (200, ["db"], [], [])
    assert "cannot be cleared" in answer["Warnings"][0]["Text"]
    assert (place.parent / "00stray" / "file").exists()


# All or nothing, and in words


def test_where_one_volume_is_missing_no_other_is_kept(served, directory):
    served.create("db")
    served.create("quick", DriverOpts=TMPFS)
    (data(served) / "part").mkdir()
    write_container(
        directory, volume("/data", subpath="part"), volume("/quick", "quick"), volume("/var/lib/data", "web-data")
    )
    began = time.time()
    status, message = refused(served, directory)
    assert status == 404
    where = served.root / "volumes" / "web-data"
    assert f"volume web-data of container web (at /var/lib/data) is missing: put its directory {where} back" in message
    assert (users(served), users(served, "quick"), binds(served)) == ([], [], [])
    assert not is_mount_root(str(data(served, "quick")))
    assert [event[:2] for event in events(served, began)] == [
        ("mount", "db"),
        ("mount", "quick"),
        ("unmount", "db"),
        ("unmount", "quick"),
    ]


def test_what_it_had_before_it_keeps_when_it_cannot_be_set_up_again(served, directory):
    served.create("db")
    (data(served) / "part").mkdir()
    write_container(directory, volume("/data", subpath="part"))
    ready(served, directory)
    write_container(directory, volume("/data", subpath="part"), volume("/gone", "gone"))
    refused(served, directory)
    assert (users(served), len(binds(served))) == ([(ID, "container")], 1)
    assert release(served) == ["db"]
    assert binds(served) == []


def test_a_directory_that_goes_while_the_daemon_runs_is_missed_in_the_same_words(served, directory, tmp_path):
    served.create("db")
    write_container(directory, volume("/data"))
    data(served).parent.rename(tmp_path / "kept")
    status, message = refused(served, directory)
    assert status == 503
    assert f"volume db of container web (at /data) is missing: put its directory {data(served).parent} back" in message
    (tmp_path / "kept").rename(data(served).parent)
    data(served).rmdir()
    status, message = refused(served, directory)
    assert (status, "volume db of container web (at /data): volume db has no _data" in message) == (503, True)


def test_a_volume_on_record_whose_directory_is_missing_is_healed_by_putting_it_back(served, directory, tmp_path):
    served.create("db")
    write_container(directory, volume("/data"))
    served.stop()
    data(served).parent.rename(tmp_path / "kept")
    served.start()
    status, message = refused(served, directory)
    assert status == 503
    assert f"volume db of container web (at /data) is missing: put its directory {data(served).parent} back" in message
    (tmp_path / "kept").rename(data(served).parent)
    ready(served, directory)


@pytest.mark.parametrize(
    ("subpath", "status", "text"),
    [
        ("../../other", 400, "leads out of the volume"),
        ("link", 400, "leads out of the volume"),
        ("none", 404, 'has no "none" in it'),
        ("file/below", 404, 'has no "file/below" in it'),
        ("fifo", 500, "neither a directory nor a file"),
    ],
)
def test_a_subpath_that_cannot_be_had_is_told(served, directory, subpath, status, text):
    served.create("db")
    (data(served) / "link").symlink_to("/etc")
    (data(served) / "file").touch()
    os.mkfifo(data(served) / "fifo")
    write_container(directory, volume("/data", subpath=subpath))
    found = refused(served, directory)
    assert found[0] == status
    assert "volume db of container web (at /data)" in found[1]
    assert text in found[1]
    assert (users(served), binds(served)) == ([], [])


def test_a_subpath_that_fails_leaves_no_volume_mounted_without_a_user(served, directory):
    served.create("quick", DriverOpts=TMPFS)
    write_container(directory, volume("/quick", "quick", subpath="none"))
    refused(served, directory)
    assert not is_mount_root(str(data(served, "quick")))


def test_a_damaged_volume_a_wrong_driver_and_a_lost_name_are_told(served, directory):
    served.create("db", DriverOpts=TMPFS)
    write_container(directory, volume("/data", driver="fake"))
    status, message = refused(served, directory)
    assert (status, "was one of the driver fake" in message) == (409, True)
    write_container(directory, volume("/data", ""))
    status, message = refused(served, directory)
    assert (status, "container web (at /data) has no name" in message) == (400, True)
    (data(served).parent / "opts.json").write_text("{")
    write_container(directory, volume("/data"))
    status, message = refused(served, directory)
    assert (status, "volume db of container web (at /data) is damaged" in message) == (503, True)
    write_container(directory, volume("/data", "none", driver="fake"))
    status, message = refused(served, directory)
    assert (status, "the driver fake does not have it" in message) == (404, True)


def test_a_bind_that_cannot_be_had_gives_the_volumes_back(served, directory, tmp_path):
    served.create("db")
    (tmp_path / "file").touch()
    write_container(directory, volume("/data"), bind("/b", tmp_path / "file" / "below"))
    status, message = refused(served, directory)
    assert (status, "(at /b)" in message, users(served)) == (500, True, [])
    write_container(directory, volume("/data"), bind("/b", tmp_path / "gone", SkipMountpointCreation=True))
    status, message = refused(served, directory)
    assert (status, "does not exist on this host" in message, users(served)) == (404, True, [])
    write_container(directory, volume("/data"), host={"Tmpfs": {"/t": "size=1m,nonsense"}})
    status, message = refused(served, directory)
    assert (status, "nonsense" in message, users(served)) == (400, True, [])


def test_what_is_not_as_it_was_is_told_with_the_result(served, directory, tmp_path):
    served.create("db")
    mount = volume("/data") | {"Relabel": "Z"}
    write_container(directory, mount, bind("/b", tmp_path / "new"), MountLabel="system_u:object_r:x:s0:c1,c2")
    codes = [one["Code"] for one in ready(served, directory)["Warnings"]]
    assert codes == ["container-bind-source-made", "container-not-relabelled"]
    assert (tmp_path / "new").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_network_files_belong_to_the_root_that_the_container_is_mapped_to(served, directory):
    write_container(directory, HostsPath=f"/old/containers/{ID}/hosts", HostnamePath=f"/old/containers/{ID}/hostname")
    (directory / "hosts").write_text("127.0.0.1 localhost\n")
    answer = ready(served, directory, Owner=[100000, 100001])
    assert sources(answer) == {"/etc/hosts": str(directory / "hosts")}
    status = (directory / "hosts").stat()
    assert (status.st_uid, status.st_gid) == (100000, 100001)
    assert [one["Code"] for one in answer["Warnings"]] == ["container-network-file-missing"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Directory": "relative"},
        {"Directory": "/x", "Id": "abc"},
        {"Id": "../x"},
        {"Id": "abc", "Owner": [1]},
        {"Id": "abc", "Owner": [-1, 0]},
        {"Directory": "/\0"},
        [],
    ],
)
def test_a_request_that_can_never_be_right_is_refused(served, body):
    assert served.request("POST", "/volfs/containers/mounts", body)[0] == 400


def test_a_release_wants_an_id(served, directory):
    served.create("db")
    ready(served, write_container(directory, volume("/data")))
    for path in ("", "web", "..", "%2F"):
        assert served.request("DELETE", f"/volfs/containers/{path}")[0] == 400
    ready(served, write_container(directory, volume("/data"), ID="cc" + OTHER[2:]))
    assert served.request("DELETE", "/volfs/containers/cc")[0] == 400, "the beginning of two"
    assert len(users(served)) == 2


# Over the daemon's life


def test_the_volumes_and_their_parts_stay_when_the_daemon_dies_and_when_it_is_stopped(served, directory):
    served.create("quick", DriverOpts=TMPFS)
    write_container(directory, volume("/quick", "quick"))
    ready(served, directory)
    (data(served, "quick") / "part").mkdir()
    write_container(directory, volume("/quick", "quick"), volume("/part", "quick", subpath="part"))
    place = sources(ready(served, directory))["/part"]
    with open(f"{place}/file", "w") as file:
        file.write("kept")
    served.kill_daemon()
    served.ready(2)
    assert served.stop() == 0
    served.start()
    assert users(served, "quick") == [(ID, "container")]
    with open(f"{place}/file") as file:
        assert file.read() == "kept"
    assert sources(ready(served, directory))["/part"] == place
    release(served)
    assert (binds(served), is_mount_root(str(data(served, "quick")))) == ([], False)
    assert not os.path.exists(os.path.dirname(place))


def test_what_is_bound_for_a_container_that_has_nothing_any_more_goes_at_the_next_start(served, directory):
    served.create("db")
    (data(served) / "part").mkdir()
    write_container(directory, volume("/data", subpath="part"))
    ready(served, directory)
    assert served.stop() == 0
    (served.root / "volumes" / "metadata.mdb").unlink()
    (served.root / "volumes" / "metadata.mdb-lock").unlink()
    assert len(binds(served)) == 1
    served.start()
    assert (binds(served), os.listdir(served.root / "container-mounts")) == ([], [])
    assert (data(served) / "part").is_dir()


def test_killed_in_the_middle_again_and_again_everything_can_be_set_up_and_released(served, directory):
    names = [f"v{number}" for number in range(6)]
    for name in names:
        served.create(name, DriverOpts=TMPFS)
    write_container(directory, *(volume(f"/{name}", name) for name in names))
    ready(served, directory)
    for name in names:
        (data(served, name) / "part").mkdir()
    write_container(directory, *(volume(f"/{name}", name, subpath="part") for name in names))
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            for call in (lambda: set_up(served, directory), lambda: release(served)):
                try:
                    call()
                except (OSError, HTTPException, AssertionError, ValueError):
                    continue  # the daemon was killed before the answer was whole

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for killed in range(1, 6):
            served.ready(killed)
            time.sleep(0.05 * killed)
            served.kill_daemon()
    finally:
        stop.set()
        asking.join()
    served.ready(6)
    until(lambda: served.request("GET", "/_ping")[0] == 200)
    release(served)
    assert binds(served) == []
    for name in names:
        assert users(served, name) == []
        assert not is_mount_root(str(data(served, name)))


def test_many_at_once_for_one_container_end_as_one(served, directory):
    served.create("db")
    served.create("quick", DriverOpts=TMPFS)
    (data(served) / "part").mkdir()
    write_container(directory, volume("/data", subpath="part"), volume("/quick", "quick"))
    answers = []

    def ask(number):
        answers.append(set_up(served, directory)[0] if number % 2 else release(served) is not None and 200)

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert answers == [200] * 24
    ready(served, directory)
    assert (users(served), len(binds(served))) == ([(ID, "container")], 1)
    release(served)
    assert (users(served), binds(served), is_mount_root(str(data(served, "quick")))) == ([], [], False)
