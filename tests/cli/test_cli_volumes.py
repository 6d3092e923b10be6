"""What the volume commands send, print and exit with."""

import json

from tests.cli.fake_api import one


def test_create_prints_the_name_that_the_daemon_answers(api, volfs):
    api.answers["POST", "/volumes/create"] = 201, one("db")
    done = volfs(
        "create", "db", "-d", "local", "-o", "type=tmpfs", "--opt", "o=size=1m,uid=5", "-l", "env=prod", "-l", "keep"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "db\n", "")
    assert api.asked[0].body == {
        "Name": "db",
        "Driver": "local",
        "DriverOpts": {"type": "tmpfs", "o": "size=1m,uid=5"},
        "Labels": {"env": "prod", "keep": ""},
    }


def test_create_without_a_name_leaves_the_choice_to_the_daemon(api, volfs):
    api.answers["POST", "/volumes/create"] = 201, one("f" * 64)
    assert volfs("create").stdout == "f" * 64 + "\n"
    assert api.asked[0].body == {"Name": "", "Driver": "", "DriverOpts": {}, "Labels": {}}


def test_what_the_daemon_refuses_is_one_line_and_125(api, volfs):
    api.answers["POST", "/volumes/create"] = 400, {"message": 'create x: bad\nname "\x1b[31m"'}
    done = volfs("create", "x")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == 'volfs: create x: bad\\nname "\\x1b[31m"\n'


def test_ls_in_a_pipe_is_aligned_text_in_the_order_of_names(api, volfs):
    users = [{"Id": "c1", "Kind": "container", "Since": "…"}]
    api.answers["GET", "/volumes"] = (
        200,
        {"Volumes": [one("zebra"), one("ape", "missing", UsedBy=users)], "Warnings": None},
    )
    done = volfs("ls")
    assert done.stdout.splitlines() == [
        "NAME    DRIVER   STATE     USERS   CREATED",
        "ape     local    missing   1       2026-11-24T03:39:46Z",
        "zebra   local    ready     0       2026-11-24T03:39:46Z",
    ]
    assert (done.returncode, done.stderr) == (0, "")


def test_ls_takes_a_volume_of_which_only_the_name_is_known(api, volfs):
    api.answers["GET", "/volumes"] = 200, {"Volumes": [{"Name": "x"}]}
    assert volfs("ls").stdout.splitlines()[1].split() == ["x", "-", "-", "-", "-"]


def test_ls_without_volumes_prints_only_the_header_into_a_pipe(api, volfs):
    api.answers["GET", "/volumes"] = 200, {"Volumes": [], "Warnings": None}
    assert volfs("ls").stdout.split() == ["NAME", "DRIVER", "STATE", "USERS", "CREATED"]
    assert volfs("ls", "-q").stdout == ""
    assert json.loads(volfs("ls", "--format", "json").stdout) == []


def test_ls_quiet_prints_names_and_json_is_one_document(api, volfs):
    volumes = [one("a1"), one("b2", Labels={"ü": "\x1b"})]
    api.answers["GET", "/volumes"] = 200, {"Volumes": volumes, "Warnings": []}
    assert volfs("ls", "-q").stdout == "a1\nb2\n"
    assert json.loads(volfs("ls", "--format=json").stdout) == volumes


def test_ls_sends_filters_in_dockers_shape_and_warnings_go_to_standard_error(api, volfs):
    api.answers["GET", "/volumes"] = 200, {"Volumes": [], "Warnings": ["list fake: backend down"]}
    done = volfs("ls", "-q", "-f", "label=a=b", "--filter", "label=c", "-f", "dangling=true")
    assert json.loads(api.asked[0].query["filters"][0]) == {"label": ["a=b", "c"], "dangling": ["true"]}
    assert (done.returncode, done.stderr) == (0, "volfs: warning: list fake: backend down\n")


def test_inspect_prints_what_is_there_and_tells_what_is_not(api, volfs):
    api.answers["GET", "/volumes/aa"] = 200, one("aa")
    api.answers["GET", "/volumes/cc"] = 200, one("cc")
    api.answers["GET", "/volumes/bb"] = 404, {"message": "get bb: no such volume"}
    done = volfs("inspect", "aa", "bb", "cc")
    assert [found["Name"] for found in json.loads(done.stdout)] == ["aa", "cc"]
    assert (done.returncode, done.stderr) == (1, "volfs: get bb: no such volume\n")


def test_a_name_is_one_segment_of_the_path_whatever_it_holds(api, volfs):
    api.answers["GET", "/volumes/a%2F..%0A%3Fb"] = 200, one("odd")
    assert volfs("inspect", "a/..\n?b").returncode == 0


def test_a_name_that_is_not_utf8_reaches_the_daemon_as_its_bytes(api, volfs):
    api.answers["GET", "/volumes/%FF"] = 404, {"message": "no"}
    assert volfs("inspect", b"\xff").returncode == 1
    assert api.asked[0].path == "/volumes/%FF"


def test_rm_goes_on_after_a_failure_and_exits_with_the_worst_code(api, volfs):
    api.answers["DELETE", "/volumes/gone"] = 404, {"message": "get gone: no such volume"}
    api.answers["DELETE", "/volumes/used"] = 409, {"message": "remove used: volume is in use - [c1]"}
    api.answers["DELETE", "/volumes/good"] = 204, b""
    done = volfs("rm", "gone", "used", "good")
    assert (done.returncode, done.stdout) == (2, "good\n")
    assert done.stderr.splitlines() == [
        "volfs: get gone: no such volume",
        "volfs: remove used: volume is in use - [c1]",
    ]


def test_rm_has_a_code_for_each_kind_of_failure(api, volfs):
    for name, status in ("gone", 404), ("used", 409), ("sick", 500):
        api.answers["DELETE", f"/volumes/{name}"] = status, {"message": name}
    assert [volfs("rm", name).returncode for name in ("gone", "used", "sick")] == [1, 2, 125]
    assert volfs("rm", "sick", "used", "gone").returncode == 125


def test_rm_says_force_only_when_asked_to(api, volfs):
    api.answers["DELETE", "/volumes/x1"] = 204, b""
    volfs("rm", "x1")
    volfs("rm", "--force", "x1")
    assert [asked.query for asked in api.asked] == [{}, {"force": ["1"]}]


def test_prune_with_force_prints_names_and_the_total(api, volfs):
    api.answers["POST", "/volumes/prune"] = 200, {"VolumesDeleted": ["a1", "b2"], "SpaceReclaimed": 1_048_576}
    done = volfs("prune", "-a", "-f", "--filter", "label!=keep")
    assert (done.returncode, done.stdout) == (0, "a1\nb2\nTotal reclaimed space: 1.049MB\n")
    assert json.loads(api.asked[0].query["filters"][0]) == {"label!": ["keep"], "all": ["true"]}


def test_prune_that_found_nothing_says_zero(api, volfs):
    api.answers["POST", "/volumes/prune"] = 200, {"VolumesDeleted": None, "SpaceReclaimed": 0}
    assert volfs("prune", "--force").stdout == "Total reclaimed space: 0B\n"
    assert api.asked[0].query == {}


def test_prune_without_a_terminal_refuses_and_names_the_way(api, volfs):
    done = volfs("prune")
    assert (done.returncode, api.asked) == (125, [])
    assert "--force" in done.stderr
