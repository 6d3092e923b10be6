"""The Engine API over its real socket: statuses, shapes and words that Docker's clients know."""

import contextlib
import json
import os
import re
import stat
from socket import AF_UNIX, SHUT_WR, socket
from threading import Thread

import pytest

from volfs.api.messages import API_VERSION
from volfs.mount.syscalls import can_mount

pytestmark = pytest.mark.skipif(not can_mount(), reason="needs CAP_SYS_ADMIN")
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
MADE = {"CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope", "Status", "UsedBy"}


@pytest.fixture
def raw(served):
    """Sends bytes as they are, and returns status, headers and body of the one answer."""

    def send(request):
        with contextlib.closing(socket(AF_UNIX)) as client:
            client.settimeout(60)
            client.connect(str(served.socket))
            client.sendall(request)
            client.shutdown(SHUT_WR)
            answer = b""
            while block := client.recv(65536):
                answer += block
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(first.split(" ")[1]), headers, body

    return send


def post(path, body, *headers):
    lines = [f"POST {path} HTTP/1.1", "Host: volfs", "Connection: close", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path, method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: volfs\r\nConnection: close\r\n\r\n".encode()


JSON = "Content-Type: application/json"


def message(answer):
    status, body = answer
    assert set(body) == {"message"}
    return status, body["message"]


def names(served, query=""):
    status, answer = served.request("GET", f"/volumes{query}")
    assert status == 200
    return [one["Name"] for one in answer["Volumes"]]


def test_the_socket_is_for_its_owner_only(served):
    assert stat.S_IMODE(os.stat(served.socket).st_mode) == 0o600


def test_a_volume_is_created_inspected_listed_and_deleted(served):
    assert served.request("GET", "/volumes") == (200, {"Volumes": [], "Warnings": None})
    status, made = served.request(
        "POST", "/volumes/create", {"Name": "db", "Driver": "local", "DriverOpts": TMPFS, "Labels": {"a": "1"}}
    )
    assert status == 201
    assert set(made) == MADE
    assert {key: made[key] for key in ("Name", "Driver", "Scope", "Labels", "Options")} == {
        "Name": "db",
        "Driver": "local",
        "Scope": "local",
        "Labels": {"a": "1"},
        "Options": TMPFS,
    }
    assert made["Mountpoint"] == str(served.root / "volumes" / "db" / "_data")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["CreatedAt"])
    assert (made["Status"], made["UsedBy"]) == ({"State": "ok"}, [])
    assert served.request("GET", "/volumes/db") == (200, made)
    assert served.request("GET", "/volumes") == (200, {"Volumes": [made], "Warnings": None})
    assert served.request("DELETE", "/volumes/db") == (204, "")
    assert message(served.request("GET", "/volumes/db")) == (404, "get db: no such volume")


def test_the_fields_of_an_answer_are_in_dockers_order(served, raw):
    served.create("db")
    _, _, body = raw(get("/volumes/db"))
    assert list(json.loads(body)) == sorted(json.loads(body))


def test_absent_labels_are_null_and_empty_ones_are_not(served):
    assert served.create("aa")["Labels"] is None
    assert served.create("bb", Labels={}, DriverOpts={})["Labels"] == {}
    assert served.request("GET", "/volumes/aa")[1]["Options"] is None
    assert served.request("GET", "/volumes/bb")[1]["Options"] == {}
    assert served.create("cc", Labels={"a": None})["Labels"] == {"a": ""}


def test_create_again_answers_what_is_there(served):
    first = served.create("db", Labels={"a": "1"})
    assert served.create("db", Labels={"b": "2"}) == first
    assert message(served.request("POST", "/volumes/create", {"Name": "db", "Driver": "other"})) == (
        409,
        "create db: driver 'local' already has volume 'db': volume name must be unique",
    )


def test_parallel_creates_of_one_name_all_answer_the_same_volume(served):
    answers = []
    callers = [
        Thread(
            target=lambda n=n: answers.append(
                served.request("POST", "/volumes/create", {"Name": "db", "Labels": {"n": n}})
            )
        )
        for n in map(str, range(64))
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [status for status, _ in answers] == [201] * 64
    assert len({json.dumps(made) for _, made in answers}) == 1


def test_no_name_makes_an_anonymous_volume(served, raw):
    for request in (
        post("/volumes/create", b""),
        post("/volumes/create", b"null", JSON),
        post("/volumes/create", b"{}", JSON),
    ):
        status, _, body = raw(request)
        made = json.loads(body)
        assert status == 201
        assert re.fullmatch("[0-9a-f]{64}", made["Name"])
        assert made["Labels"] == {"com.docker.volume.anonymous": ""}
    assert len(names(served)) == 3


WRONG = [
    (
        {"Name": "x"},
        400,
        "create x: volume name is too short, names should be at least two alphanumeric characters",
    ),
    (
        {"Name": "a/b"},
        400,
        'create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" '
        "are allowed. If you intended to pass a host directory, use absolute path",
    ),
    ({"Name": "db", "DriverOpts": {"foo": "1"}}, 400, 'create db: invalid option: "foo"'),
    ({"Name": "db", "DriverOpts": {"type": "x"}}, 400, 'create db: missing required option: "device"'),
    ({"Name": "db", "DriverOpts": {"size": "-1"}}, 400, "create db: invalid size: '-1'"),
    ({"Name": "db", "DriverOpts": {"size": "1g"}}, 400, "create db: quota size requested but no quota support"),
    (
        {"Name": "db", "Driver": "nope"},
        404,
        'create db: error looking up volume plugin nope: plugin "nope" not found',
    ),
    (
        {"Name": 1},
        400,
        "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Name of type string",
    ),
    (
        {"ClusterVolumeSpec": {}},
        503,
        "This node is not a swarm manager. Cluster volumes are not for volfs.",
    ),
]


def test_what_is_wrong_is_refused_in_dockers_words(served):
    for fields, status, text in WRONG:
        assert message(served.request("POST", "/volumes/create", fields)) == (status, text)
    assert names(served) == []


BAD_NAMES = ["a/b", "/etc", "..", "../up", ".hidden", "a\0b", "a\n", "\n", "sp ace", "-a", "名前", "a" * 256, "\ud800x"]


def test_bad_names_are_refused_and_lose_nothing(served):
    served.create("kept")
    before = sorted(os.listdir(served.root / "volumes"))
    for name in BAD_NAMES:
        status, text = message(served.request("POST", "/volumes/create", {"Name": name}))
        assert status == 400, name
        assert "\n" not in text.removeprefix(f"create {name}: ")
        path = "/volumes/" + "".join(f"%{byte:02X}" for byte in name.encode(errors="replace"))
        for method in ("GET", "DELETE"):
            assert message(served.request(method, path))[0] == 404, (method, name)
    assert sorted(os.listdir(served.root / "volumes")) == before
    assert names(served) == ["kept"]


def test_good_names_are_taken(served):
    for name in ("a" * 255, "0_", "A.b-c_d", "xx.", "1..2"):
        assert served.create(name)["Name"] == name
        assert served.request("GET", f"/volumes/{name}")[1]["Name"] == name
        assert served.request("DELETE", f"/volumes/{name}") == (204, "")


def test_delete_says_what_is_missing_and_force_does_not(served):
    assert message(served.request("DELETE", "/volumes/db")) == (404, "get db: no such volume")
    for text in ("1", "true", "2"):
        assert served.request("DELETE", f"/volumes/db?force={text}") == (204, "")
    for text in ("", "0", "no", "FALSE", "none"):
        assert served.request("DELETE", f"/volumes/db?force={text}")[0] == 404


def test_a_volume_whose_data_is_open_on_the_host_is_in_use(served):
    data = served.create("db", DriverOpts=TMPFS)["Mountpoint"]
    assert os.listdir(served.view / "db" / "_data") == []
    with open(f"{data}/file", "w"):
        status, text = message(served.request("DELETE", "/volumes/db"))
        assert (status, text.partition(":")[0]) == (409, "remove db")
        assert "in use" in text
    assert (served.view / "db" / "_data" / "file").exists()


def test_of_parallel_deletes_one_succeeds(served):
    served.create("db")
    statuses = []
    callers = [Thread(target=lambda: statuses.append(served.request("DELETE", "/volumes/db")[0])) for _ in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(statuses) == [204, *[404] * 15]


def test_filters_choose_what_is_listed(served):
    served.create("aa", Labels={"x": "1"})
    served.create("bb", Labels={"x": "2"})
    served.create("cc")
    assert names(served) == ["aa", "bb", "cc"]
    assert names(served, '?filters={"label":["x"]}') == ["aa", "bb"]
    assert names(served, '?filters={"label":{"x=2":true}}') == ["bb"]
    assert names(served, '?filters={"name":["^a","c"]}') == ["aa", "cc"]
    assert names(served, '?filters={"dangling":["false"]}') == []
    assert names(served, "?filters=") == ["aa", "bb", "cc"]
    assert served.request("GET", '/volumes?filters={"driver":["x"]}') == (200, {"Volumes": [], "Warnings": None})


BAD_FILTERS = [
    ("GET", '/volumes?filters={"FOO":["a"]}', "invalid filter 'FOO'"),
    ("GET", '/volumes?filters={"dangling":["maybe"]}', "invalid filter 'dangling=[maybe]'"),
    ("GET", "/volumes?filters=x", "error reading volume filters: invalid filter"),
    ("GET", "/volumes?filters=%FF", "error reading volume filters: invalid filter"),
    ("POST", '/volumes/prune?filters={"name":["a"]}', "invalid filter 'name'"),
    (
        "POST",
        '/volumes/prune?filters={"all":["x"]}',
        "invalid filter 'all': strconv.ParseBool: parsing \"x\": invalid syntax",
    ),
    (
        "POST",
        '/volumes/prune?filters={"all":["true","false"]}',
        "invalid filter 'all=[true false]': only one value is expected",
    ),
]


def test_bad_filters_are_refused_in_dockers_words(served):
    for method, path, text in BAD_FILTERS:
        assert message(served.request(method, path)) == (400, text)


def test_prune_takes_anonymous_volumes_and_all_when_asked(served):
    unnamed = served.create("")["Name"]
    served.create("named")
    (served.root / "volumes" / unnamed / "_data" / "file").write_bytes(b"x" * 100)
    assert served.request("POST", "/volumes/prune") == (200, {"VolumesDeleted": [unnamed], "SpaceReclaimed": 100})
    assert served.request("POST", "/volumes/prune") == (200, {"VolumesDeleted": [], "SpaceReclaimed": 0})
    path = '/volumes/prune?filters={"all":["true"]}'
    assert served.request("POST", path) == (200, {"VolumesDeleted": ["named"], "SpaceReclaimed": 0})


def test_prune_of_an_old_client_takes_every_unused_volume(served):
    served.create("named", Labels={"keep": ""})
    path = '/v1.41/volumes/prune?filters={"label!":["keep"]}'
    assert served.request("POST", path)[1]["VolumesDeleted"] == []
    assert served.request("POST", "/v1.41/volumes/prune")[1]["VolumesDeleted"] == ["named"]


def test_ping_and_version_let_clients_negotiate(served, raw):
    for method, body in (("GET", b"OK"), ("HEAD", b"")):
        status, headers, found = raw(get("/_ping", method))
        assert (status, found) == (200, body)
        assert headers["api-version"] == API_VERSION
        assert (headers["ostype"], headers["docker-experimental"]) == ("linux", "false")
        assert headers["server"].startswith("volfs/")
        assert "no-cache" in headers["cache-control"]
    answer = served.request("GET", "/v1.40/version")[1]
    assert answer["ApiVersion"] == API_VERSION
    assert answer["Components"][0]["Name"] == "Engine"


def test_every_answer_says_who_answers(raw):
    for path in ("/volumes", "/volumes/none", "/nowhere", "/v1.99/volumes"):
        _, headers, _ = raw(get(path))
        assert headers["api-version"] == API_VERSION
        assert headers["content-type"] == "application/json"


def test_versions_in_the_path_are_understood_or_refused(served):
    served.create("db")
    for prefix in ("", "/v1.24", "/v1.43", f"/v{API_VERSION}"):
        assert served.request("GET", f"{prefix}/volumes/db")[0] == 200
    assert message(served.request("GET", "/v1.99/volumes")) == (
        400,
        f"client version 1.99 is too new. Maximum supported API version is {API_VERSION}",
    )
    assert message(served.request("GET", "/v1.1/volumes"))[0] == 400


def test_what_is_not_there_is_not_found(served):
    for request_ in ("GET /nowhere", "GET /", "PATCH /volumes", "POST /volumes", "DELETE /volumes", "GET //volumes"):
        assert message(served.request(*request_.split(" "))) == (404, "page not found"), request_


def test_head_of_anything_but_ping_is_not_found_and_has_no_body(raw):
    status, _, body = raw(get("/volumes", "HEAD"))
    assert (status, body) == (404, b"")


def test_a_name_that_is_empty_is_no_volume(served):
    assert message(served.request("GET", "/volumes/")) == (404, "get: no such volume")


BAD_BODIES = [
    (post("/volumes/create", b"{}"), "malformed Content-Type header (): mime: no media type"),
    (
        post("/volumes/create", b"{}", "Content-Type: text/plain"),
        "unsupported Content-Type header (text/plain): must be 'application/json'",
    ),
    (post("/volumes/create", b"{} x", JSON), "unexpected content after JSON"),
    (post("/volumes/create", b"{x", JSON), "invalid JSON: "),
    (post("/volumes/create", b"\xff\xfe", JSON), "invalid JSON: "),
    (post("/volumes/create", b"[" * 200_000, JSON), "invalid JSON: "),
]


def test_bad_bodies_are_refused(served, raw):
    for request_, text in BAD_BODIES:
        status, _, body = raw(request_)
        assert status == 400, text
        assert json.loads(body)["message"].startswith(text)
    assert names(served) == []


def test_a_body_in_chunks_is_one_body(raw):
    head = b"POST /volumes/create HTTP/1.1\r\nHost: volfs\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    head += JSON.encode() + b"\r\n\r\n"
    text = b'{"Name":"db","Labels":{"a":"' + b"x" * 100_000 + b'"}}'
    chunks = [text[start : start + 777] for start in range(0, len(text), 777)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    status, _, answer = raw(head + body)
    made = json.loads(answer)
    assert (status, made["Name"], len(made["Labels"]["a"])) == (201, "db", 100_000)


def test_labels_of_megabytes_are_taken(served):
    labels = {"big": "x" * (5 << 20), **{f"k{n}": "v" for n in range(10_000)}}
    assert served.create("db", Labels=labels)["Labels"] == labels
    assert served.request("GET", "/volumes/db")[1]["Labels"] == labels


def test_what_is_no_request_is_refused_or_ignored_and_ends_nothing(served):
    daemon = served.daemon
    for text in (b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b""):
        with contextlib.closing(socket(AF_UNIX)) as client, contextlib.suppress(TimeoutError):
            client.settimeout(1)
            client.connect(str(served.socket))
            client.sendall(text)
            assert client.recv(100)[:10] in (b"HTTP/1.1 4", b"")
    assert names(served) == []
    assert served.daemon == daemon


@pytest.mark.parametrize("waits", [False, True])
def test_clients_that_go_in_the_middle_of_a_request_end_nothing(served, waits):
    """Some go before the daemon has begun to answer, some while it does."""
    daemon = served.daemon
    request = post("/volumes/create", b'{"Name":"db"}' + b" " * 1000, JSON)
    for length in range(1, len(request), 40):
        with contextlib.closing(socket(AF_UNIX)) as client:
            client.connect(str(served.socket))
            client.sendall(request[:length])
            if waits:
                client.shutdown(SHUT_WR)
                client.recv(10)
    assert names(served) == []
    assert served.daemon == daemon


def test_options_are_told_to_programs_as_they_were_given(served):
    secret = {"type": "cifs", "device": "//host/share", "o": "username=u,password=p"}
    served.create("db", DriverOpts=secret)
    assert served.request("GET", "/volumes/db")[1]["Options"] == secret
