"""docker-py on volfs' socket: its calls about volumes give what they give with a real dockerd.

Every case is a function of a client. It runs once with each, and what it returns, or the error that it raises, is
compared; paths, times and random names are what they are on each side.
"""

import contextlib
import re
import threading

import docker as docker_py
import pytest

from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
SPOKEN = "1.41"  # what the oldest dockerd that the tests meet speaks as well
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
OWN = {"Status", "UsedBy"}  # what volfs tells beyond Docker


@pytest.fixture
def clients(shared, docker):
    """docker-py on a real dockerd, and on volfs; no volume of the test's is left in either."""
    theirs = docker_py.DockerClient(docker.host, version=SPOKEN)
    ours = docker_py.DockerClient(f"unix://{shared.socket}", version=SPOKEN)
    yield {theirs: docker.place / "data", ours: shared.root}
    for client in (theirs, ours):
        for volume in client.volumes.list():
            volume.remove()
        client.close()


def comparable(value, root):
    """Without what must differ: volumes stand for their attributes, lists of them have an order."""
    if isinstance(value, docker_py.models.volumes.Volume):
        return comparable(value.attrs, root)
    if isinstance(value, dict):
        kept = {key: comparable(one, root) for key, one in value.items() if key not in OWN}
        return {**kept, **{key: "then" for key in ("CreatedAt", "time", "timeNano") if key in kept}}
    if isinstance(value, list):
        return sorted((comparable(one, root) for one in value), key=repr)
    if isinstance(value, tuple):
        return tuple(comparable(one, root) for one in value)
    if isinstance(value, str):
        return re.sub("[0-9a-f]{64}", "RANDOM", value.replace(str(root), "ROOT"))
    return value


def outcome(case, client):
    try:
        return case(client)
    except docker_py.errors.APIError as error:
        return type(error).__name__, error.status_code, error.explanation


def named(volumes):
    return sorted(volume.name for volume in volumes)


def three(client):
    """Three volumes to ask about."""
    client.volumes.create("one", labels={"a": "1", "b": ""})
    client.volumes.create("two", labels={"a": "2"}, driver="local")
    client.volumes.create("three", driver_opts=TMPFS)
    return client.volumes


def create_all_ways(client):
    return [*three(client).list(), client.volumes.create("one", labels={"ignored": "yes"})]


def create_without_a_name(client):
    volume = client.volumes.create()
    labels = volume.attrs.pop("Labels")  # Docker's own label of such a volume is younger than some dockerds
    volume.remove()
    return volume.attrs, set(labels or {}) <= {"com.docker.volume.anonymous"}


def get(client):
    client.volumes.create("one", labels={"a": "1"})
    volume = client.volumes.get("one")
    volume.reload()
    return volume.id, volume.short_id, volume.attrs, client.api.inspect_volume("one")


def list_by(**filters):
    def case(client):
        return named(three(client).list(filters=filters))

    case.__name__ = f"list_by_{filters}"
    return case


def list_of_the_api(client):
    three(client)
    return client.api.volumes(), client.api.volumes({"label": ["a", "b"]})


def remove(client):
    volume = client.volumes.create("one")
    volume.remove()
    client.volumes.create("one").remove(force=True)
    return named(client.volumes.list())


def remove_twice(client):
    volume = client.volumes.create("one")
    volume.remove()
    volume.remove()


def remove_what_is_not_there_by_force(client):
    client.api.remove_volume("nothing", force=True)


def prune(client):
    three(client)
    return client.volumes.prune(), named(client.volumes.list())


def prune_by_label(client):
    three(client)
    return client.volumes.prune({"label": ["a=1"]}), named(client.volumes.list())


def prune_all_but(client):
    three(client)
    return client.volumes.prune({"label!": ["b"]}), named(client.volumes.list())


def prune_by_a_bad_filter(client):
    return client.volumes.prune({"colour": ["red"]})


def usage(client):
    client.volumes.create("one", labels={"a": "1"})
    found = client.df()["Volumes"]
    return [{**one, "UsageData": {key: one["UsageData"][key] for key in ("Size", "RefCount")}} for one in found]


def ping(client):
    return client.ping()


def a_missing_volume(client):
    client.volumes.get("nothing")


def a_name_too_short(client):
    client.volumes.create("x")


def a_name_with_a_slash(client):
    client.volumes.create("a/b")


def a_bad_option(client):
    client.volumes.create("one", driver_opts={"colour": "red"})


def an_option_without_another(client):
    client.volumes.create("one", driver_opts={"device": "/dev/x"})


CASES = [
    *(create_all_ways, create_without_a_name, get, list_of_the_api, remove, remove_twice),
    *(remove_what_is_not_there_by_force, prune, prune_by_label, prune_all_but, usage, ping),
    *(a_missing_volume, a_name_too_short, a_name_with_a_slash, a_bad_option),
    *(list_by(), list_by(name="t"), list_by(name=["one", "two"]), list_by(driver="local"), list_by(driver="other")),
    *(list_by(label="a"), list_by(label=["a", "b"]), list_by(label="a=2"), list_by(dangling=True)),
    *(list_by(dangling=False), list_by(dangling="1", label="b")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_docker_py_gives_the_same_with_volfs_as_with_docker(clients, case):
    theirs, ours = (comparable(outcome(case, client), root) for client, root in clients.items())
    assert ours == theirs


def test_docker_py_raises_its_own_kinds_of_error(clients):
    _, ours = clients
    with pytest.raises(docker_py.errors.NotFound, match="get nothing: no such volume"):
        ours.volumes.get("nothing")
    with pytest.raises(docker_py.errors.NotFound):
        ours.volumes.create("one", driver="nothing")
    with pytest.raises(docker_py.errors.APIError) as refused:
        an_option_without_another(ours)
    assert (refused.value.status_code, refused.value.is_client_error()) == (400, True)


def events_of(client):
    """What docker-py's stream tells of a create and a remove."""
    with contextlib.closing(client.events(decode=True, filters={"type": "volume"})) as stream:
        making = threading.Thread(target=lambda: client.volumes.create("told").remove())
        making.start()
        told = [next(stream), next(stream)]
        making.join()
    return told


def test_docker_py_follows_the_events(clients):
    told = {client: events_of(client) for client in clients}
    theirs, ours = ([comparable(event, "") for event in events] for events in told.values())
    assert ours == theirs
    _, client = clients
    began, ended = (event["timeNano"] / 1e9 for event in told[client])
    again = client.events(decode=True, since=int(began), until=int(ended) + 1, filters={"volume": "told"})
    assert [event["Action"] for event in again] == ["create", "destroy"]


def test_docker_py_reads_who_volfs_is(shared):
    client = docker_py.DockerClient(f"unix://{shared.socket}")  # finds the version out by itself
    version, info = client.version(), client.info()
    assert client.api._version == version["ApiVersion"] == "1.44"
    assert (version["Platform"]["Name"], info["DockerRootDir"]) == ("volfs", str(shared.root))
    assert info["Plugins"]["Volume"] == ["local"]
    client.close()
