"""A real dockerd's own files: read while it runs, and equal to what it says of itself."""

import contextlib
import hashlib
import json
import threading

import pytest

from tests.conftest import UnixConnection
from tests.journeys.docker_daemon import IMAGE
from volfs.container.config import parse
from volfs.container.mounts import mounts, network_files, volumes_of
from volfs.dockerroot import metadata
from volfs.dockerroot.source import read_metadata, read_text
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
OF_EVERY_CONTAINER = {"/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"}


class Engine:
    """The volume part of dockerd's API, on one connection."""

    def __init__(self, docker):
        self.connection = UnixConnection(docker.place / "docker.sock")

    def request(self, method, path, body=None):
        text = None if body is None else json.dumps(body)
        self.connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
        answer = self.connection.getresponse()
        content = answer.read()
        assert answer.status < 300, content
        return json.loads(content) if content else None

    def create(self, name, **fields):
        self.request("POST", "/volumes/create", {"Name": name, "Driver": "local", **fields})

    def remove(self, name):
        self.request("DELETE", f"/volumes/{name}")

    def volumes(self):
        """What it lists, as records."""
        listed = self.request("GET", "/volumes")["Volumes"]
        found = [metadata.Record(one["Name"], one["Driver"], one["Labels"], one["Options"]) for one in listed]
        return sorted(found, key=lambda record: record.name.encode())


@pytest.fixture
def engine(docker):
    """The API of a dockerd without volumes."""
    engine = Engine(docker)
    for record in engine.volumes():
        engine.remove(record.name)
    with contextlib.closing(engine.connection):
        yield engine


@pytest.fixture
def path(docker):
    """The metadata.db that dockerd holds open and locked."""
    return docker.place / "data" / "volumes" / "metadata.db"


def test_a_store_without_volumes_is_read(engine, path):
    records, reading = read_metadata(path)
    assert (records, reading.findings) == ([], ())


def test_one_volume_is_read(engine, path):
    engine.create("one", Labels={"<a>": "&", "名": ""}, DriverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})
    records, reading = read_metadata(path)
    assert (records, reading.findings) == (engine.volumes(), ())
    assert records[0].labels == {"<a>": "&", "名": ""}


def test_a_thousand_volumes_with_long_values_and_holes_between_them_are_read(engine, path):
    for number in range(1000):
        engine.create(f"vol-{number * 7919 % 1000}", Labels={"n": "x" * (number % 50) * 10})
    engine.create("huge", Labels={"huge": "y" * 5_000_000})
    engine.create("wide", Labels={f"label{number}": str(number) for number in range(20_000)})
    for number in range(0, 1000, 3):
        engine.remove(f"vol-{number}")
    engine.create("empty", Labels={})
    before = hashlib.sha256(path.read_bytes()).digest()
    records, reading = read_metadata(path)
    assert (records, reading.findings) == (engine.volumes(), ())
    assert len(records) == 1000 - 334 + 3
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_what_may_happen_to_dockers_file_costs_what_was_lost_and_no_more(engine, path):
    for number in range(500):
        engine.create(f"vol-{number:03d}", Labels={"n": str(number)})
    whole, listed = path.read_bytes(), engine.volumes()
    size = 4096
    damaged = {
        "empty": b"",
        "junk": b"junk" * 20_000,
        "short": whole[:100],
        "cut": whole[: 2 * size],
        "filled": whole[: 2 * size] + b"\xff" * (len(whole) - 2 * size),
    }
    for name, text in damaged.items():
        records, reading = metadata.read(text)
        assert (records, bool(reading.findings)) == ([], True), name
    for lost in (0, 1):
        records, reading = metadata.read(whole[: lost * size] + bytes(size) + whole[(lost + 1) * size :])
        assert [finding.code for finding in reading.findings] == ["bolt-one-meta"]
        missing = {record.name for record in listed} - {record.name for record in records}
        assert missing <= {"vol-499"}, "at most the last change"
    records, reading = metadata.read(bytes(2 * size) + whole[2 * size :])
    assert {finding.code for finding in reading.findings} == {"bolt-no-meta", "bolt-salvaged"}
    assert {record.name for record in records} >= {record.name for record in listed}


# Containers


def spec_of(docker, id_):
    """The `mounts` of the runtime spec that dockerd made for a running container, by destination."""
    [spec] = (docker.place / "exec").rglob(f"{id_}/config.json")
    found = json.loads(spec.read_text())["mounts"]
    return [mount for mount in found if mount["destination"] not in OF_EVERY_CONTAINER]


def test_a_container_of_every_kind_gets_the_mounts_that_docker_gave_it(docker):
    source = docker.place / "source"
    source.mkdir()
    (source / "file").write_text("mine\n")
    asleep = (IMAGE, "/bin/sleep", "600")
    volumes = ["-v", "named:/named", "-v", "/anonymous", "-v", "plain:/ro:ro,nocopy"]
    tmpfs = ["--tmpfs=/named/t1", "--tmpfs=/t2:size=64m,exec", "--mount=type=tmpfs,target=/t3,tmpfs-size=1048576"]
    binds = f"-v {source}:/deep/er/bind:ro --mount type=bind,source={source},target=/deep,bind-propagation=private"
    mounted = ("--mount", "type=volume,source=made,target=/made,volume-opt=type=tmpfs,volume-opt=device=tmpfs")
    first = docker.run("-d", "--name", "every", "--read-only", *volumes, *tmpfs, *binds.split(), *mounted, *asleep)
    lends = docker.run("-d", "--name", "lends", *volumes, *binds.split(), *asleep)
    hosts = ("-v", f"{source}/file:/etc/hosts:ro")
    second = docker.run("-d", "--name", "borrows", "--volumes-from", "lends:ro", *hosts, *asleep)
    never = docker("create", "--name", "never", "--network", "none", "-v", "named:/n", IMAGE, "/bin/true")
    for id_ in (first, lends, second):
        container, directory = container_of(docker, id_)
        assert (container.running, container.findings) == (True, ())
        sources = {one.destination: f"{docker.place}/data/volumes/{one.name}/_data" for one in volumes_of(container)}
        network = network_files(container, sources, str(directory))
        result = mounts(container, sources, network, {file.source for file in network})
        expected = spec_of(docker, id_)
        assert by_destination(result.mounts) == by_destination(expected)
        assert len(result.mounts) == len(expected)
        depths = [mount["destination"].count("/") for mount in result.mounts[:-3]]
        assert depths == sorted(depths)
    container, directory = container_of(docker, never)
    assert (container.running, network_files(container, {}, str(directory))) == (False, ())
    docker("rm", "-f", "-v", "every", "lends", "borrows", "never")


def container_of(docker, id_):
    directory = docker.place / "data" / "containers" / id_
    return parse(read_text(directory / "config.v2.json"), read_text(directory / "hostconfig.json")), directory


def by_destination(found):
    return {mount["destination"]: mount for mount in found}


# Last, because a dockerd takes its time to remove so many


def test_volumes_are_read_while_they_are_made(engine, path, docker):
    made, stop = [], threading.Event()

    def make():
        maker = Engine(docker)
        with contextlib.closing(maker.connection):
            while len(made) < 1000 and not stop.is_set():
                maker.create(f"many-{len(made):05d}")
                made.append(None)

    thread = threading.Thread(target=make)
    thread.start()
    sound = 0
    try:
        while thread.is_alive():
            least = len(made)
            records, reading = read_metadata(path)
            most = len(made) + 1
            if "bolt-changing" not in {finding.code for finding in reading.findings}:
                sound += 1
                assert reading.findings == ()
                assert [record.name for record in records] == [f"many-{number:05d}" for number in range(len(records))]
                assert least <= len(records) <= most
            thread.join(0.02)
    finally:
        stop.set()
        thread.join()
    assert len(made) == 1000
    assert sound > 0


def test_a_tree_of_many_levels_is_read(engine, path):
    """A page has room for a few long names: some hundred are a tree as deep as that of a million short ones."""
    for number in range(800):
        engine.create(f"{number * 7919 % 800:03d}-{'long' * 60}", Labels={"n": "x" * 400})
    records, reading = read_metadata(path)
    assert (len(records), reading.findings) == (800, ())
    assert records == engine.volumes()
