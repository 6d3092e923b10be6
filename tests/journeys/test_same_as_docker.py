"""The same requests to a real dockerd and to volfs, one after another: same statuses, same bodies.

What is different on purpose is in DIFFERENT, with its reason; there only volfs' own answer is asserted. `Status` and
`UsedBy` are volfs' additions, and Docker's label of anonymous volumes is younger than some dockerds.
"""

import contextlib
import json
import re
import time
from urllib.parse import quote

import pytest

from tests.conftest import UnixConnection
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
API = "/v1.41"
JSON = {"Content-Type": "application/json"}
LONG = "x" * 255


def create(**fields):
    return "POST", "/volumes/create", json.dumps(fields), JSON


def body(text, headers=JSON):
    return "POST", "/volumes/create", text, headers


def get(path):
    return "GET", path, None, {}


def filtered(**filters):
    return get("/volumes?filters=" + quote(json.dumps(filters)))


def delete(path):
    return "DELETE", f"/volumes/{path}", None, {}


def prune(**filters):
    return "POST", "/volumes/prune?filters=" + quote(json.dumps(filters)), None, {}


def events(**filters):
    return get("/events?since=BEGAN&until=NOW&filters=" + quote(json.dumps(filters)))


REQUESTS = [
    get("/_ping"),
    ("HEAD", "/_ping", None, {}),
    get("/volumes"),
    create(Name="aa"),
    create(Name="aa"),
    create(Name="aa", Driver="local", Labels={"ignored": "yes"}),
    create(Name="ab", Labels={"x": "1", "y": ""}, DriverOpts={}),
    create(Name="ac", Labels={}),
    create(Name="ad", Labels=None, DriverOpts=None),
    create(Name="ae", Labels={"n": None}),
    create(name="af", LABELS={"a": "1"}),
    create(Name="ag", Unknown=1),
    body('{"Name":"ah","Name":"ai"}'),
    create(Name="t1", DriverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}),
    create(Name="t2", DriverOpts={"type": "tmpfs"}),
    create(Name="t3", DriverOpts={"o": "size=1m"}),
    create(Name="t4", DriverOpts={"bogus": "1"}),
    create(Name="t5", DriverOpts={"size": "10m"}),
    create(Name="t6", DriverOpts={"device": "/x"}),
    create(Name="t7", DriverOpts={"type": "nfs", "device": ":/x", "o": "addr=127.0.0.1"}),
    create(Name="t8", DriverOpts={"type": "", "device": "", "o": ""}),
    create(Name="t9", DriverOpts={"Type": "tmpfs", "Device": "tmpfs"}),
    *(create(Name=name) for name in ("a", ".a", "a/b", "../x", "a b", LONG, "é1", "a\nb", "aa\n", "-a", "a\0b")),
    body('{"Name":"b2"}', {"Content-Type": "application/json; charset=utf-8"}),
    get("/volumes/aa"),
    get("/volumes/ab"),
    get("/volumes/t1"),
    get("/volumes/t8"),
    get("/volumes/nope"),
    get("/volumes/a/b"),
    get("/volumes/"),
    ("HEAD", "/volumes", None, {}),
    ("POST", "/volumes", None, {}),
    ("PUT", "/volumes/aa", None, {}),
    get("/volumes/create"),
    get("/nope"),
    get("/"),
    *(filtered(name=names) for names in (["aa"], ["a"], ["^a[ab]$"], ["("], [], ["aa", "ab"])),
    *(filtered(label=labels) for labels in (["x"], ["x=1"], ["x=2"], ["x", "y"], {"x": True}, ["y="])),
    *(filtered(driver=drivers) for drivers in (["local"], ["nope"])),
    *(filtered(dangling=values) for values in (["true"], ["1"], ["false"], ["0"])),
    get("/volumes?filters="),
    get("/volumes?filters=null"),
    get("/volumes?filters={}"),
    delete("nope"),
    *(delete(f"nope?force={text}") for text in ("", "0", "1", "2", "none", "No", "true")),
    delete("aa"),
    delete("aa"),
    delete("t1"),
    delete(""),
    prune(label=["x=2"]),
    prune(**{"label!": ["x"]}),
    prune(),
    get("/volumes"),
    get("/events?until=1"),
    get("/events?since=1&until=2"),
    # Bodies as Go's client sends them, with no length.
    body((b'{"Name":', b'"ev1"}')),
    body((b'{"Name":"ev2",', b'"Labels":{"a":"1"}', b"}")),
    body((b'{"Name":"a/', b'b"}')),
    get("/volumes/ev1"),
    filtered(name={"ev1": True}, driver={"local": True}),
    filtered(label={"a=1": True}, dangling={"true": True}),
    filtered(name={"ev1": True, "ev2": True}),
    delete("ev1?force=1"),
    delete("ev2"),  # by a prune, volfs tells a destroy of each volume, which Docker does not
    prune(label={"a": True}),
    # What has happened, with both shapes of filters.
    events(type=["volume"], volume=["ev"]),
    events(type={"volume": True}, event={"create": True}, volume={"ev1": True}),
    events(event=["destroy", "create"], volume=["ev1", "ev2"]),
    events(volume=["ev1"]),
    events(volume={"ev": True}, event={"create": True}),
    events(volume=["ev1"], event=["mount"]),
    events(type=["volume"], label=["nothing"]),
    events(type=["network"], volume=["ev1"]),
    events(scope=["swarm"]),
]

BAD_FILTER = "invalid filter"  # Engine 28 begins the message in lower case, 20.10 did not
DIFFERENT = [
    # The conflict is found before a plugin is looked for, which takes 15 seconds: as Engine 28.
    (create(Name="ac", Driver="nope1"), 409, "driver 'local' already has volume 'ac'"),
    # A name that no directory can have is the client's mistake and tells nothing of the host's paths.
    (create(Name="x" * 256), 400, "volume name is too long"),
    # Engine 28's words for what is no request.
    (body("{"), 400, "invalid JSON: unexpected EOF"),
    (body("{i}"), 400, "invalid JSON: invalid character 'i' looking for beginning of object key string"),
    (body("[]"), 400, "invalid JSON: json: cannot unmarshal array into Go value"),
    (body('{"Name":1}'), 400, "cannot unmarshal number into Go struct field CreateRequest.Name of type string"),
    (body('{"Name":"b1"}', {}), 400, "malformed Content-Type header (): mime: no media type"),
    (body('{"Name":"b1"}', {"Content-Type": "text/plain"}), 400, "unsupported Content-Type header (text/plain)"),
    (body('{"Name":"b1"} x'), 400, "unexpected content after JSON"),
    (body("", {}), 201, ""),
    (filtered(dangling=["maybe"]), 400, f"{BAD_FILTER} 'dangling=[maybe]'"),
    (filtered(dangling=["True"]), 400, f"{BAD_FILTER} 'dangling=[True]'"),
    (filtered(dangling={"true": False}), 200, ""),
    (filtered(FOO=["1"]), 400, f"{BAD_FILTER} 'FOO'"),
    (filtered(all=["1"]), 400, f"{BAD_FILTER} 'all'"),
    (prune(FOO=["1"]), 400, f"{BAD_FILTER} 'FOO'"),
    (get("/volumes?filters=x"), 400, "error reading volume filters: invalid filter"),
    (get("/volumes?filters=[]"), 400, "error reading volume filters: invalid filter"),
    # A client's mistake is never a 500.
    (prune(dangling=["1"]), 400, BAD_FILTER),
    (get("/events?since=x"), 400, '"x"'),
    (get("/events?until=1&filters=["), 400, BAD_FILTER),
    # No redirection: the path is what it says.
    (get("/volumes/.."), 404, "get ..: no such volume"),
]


def ask(socket, method, path, text, headers):
    connection = UnixConnection(socket)
    with contextlib.closing(connection):
        connection.request(method, API + path, text, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def comparable(answer, root):
    """Status and body without what must differ: paths, times, random names, and the order of lists."""
    status, text = answer
    text = re.sub(r"[0-9a-f]{64}", "RANDOM", text.replace(str(root), "ROOT"))
    try:
        return status, [_plain(json.loads(line)) for line in text.splitlines()]
    except ValueError:
        return status, text


def _plain(value):
    if isinstance(value, list):
        return sorted((_plain(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    if isinstance(value, dict):
        fields = {key: _plain(one) for key, one in value.items() if key not in ("Status", "UsedBy")}
        return {**fields, **{key: "then" for key in ("CreatedAt", "time", "timeNano") if key in fields}}
    return value


def test_volfs_answers_as_docker_does(served, docker):
    assert len(REQUESTS) >= 100
    began, differ = f"{time.time():.9f}", []
    for method, path, *rest in REQUESTS:
        request = method, path.replace("BEGAN", began).replace("NOW", f"{time.time():.9f}"), *rest
        theirs = comparable(ask(docker.place / "docker.sock", *request), docker.place / "data")
        ours = comparable(ask(served.socket, *request), served.root)
        if ours != theirs:
            differ.append(f"{request[:3]}\n  docker {theirs}\n  volfs  {ours}")
    assert not differ, "\n".join(differ)


@pytest.mark.parametrize(("request_", "status", "words"), DIFFERENT, ids=lambda one: str(one)[:60])
def test_what_is_different_from_docker_is_so_on_purpose(shared, request_, status, words):
    shared.create("ac")
    found, text = ask(shared.socket, *request_)
    assert (found, words in json.loads(text).get("message", "")) == (status, True), text


@pytest.mark.parametrize("path", ["/info", "/version"])
def test_what_volfs_says_of_itself_has_dockers_fields_and_the_same_host(shared, docker, path):
    theirs, ours = (json.loads(ask(socket, *get(path))[1]) for socket in (docker.place / "docker.sock", shared.socket))
    for field, value in ours.items():
        assert type(value) is type(theirs[field]) or None in (value, theirs[field]), field
    of_the_host = {"Name", "OSType", "Os", "Arch", "Architecture", "KernelVersion", "NCPU", "MemTotal"}
    for field in of_the_host & ours.keys():
        assert ours[field] == theirs[field], field
