"""Docker's own client on volfs' socket: the same commands as to a real dockerd, the same words and exit statuses.

The commands run one after another, each on both. Paths, times and random names are what they are on each side; both
are spoken to in the oldest version of the API that the tests meet.
"""

import json
import os
import re
import subprocess
import time

import pytest

from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
SPOKEN = "1.41"
TMPFS = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m")
FORMATS = (
    "{{.Name}}",
    "{{json .}}",
    "table {{.Name}}\t{{.Driver}}",
    '{{.Name}}: {{.Label "a"}}',
    "{{.Labels}} {{.Scope}}",
)
FILTERS = (
    "dangling=true",
    "dangling=0",
    "driver=local",
    "driver=other",
    "name=tt",
    "name=t",
    "name=^a[ab]$",
    "label=a",
    "label=a=2",
)


def volume(*words):
    return "volume", *words


COMMANDS = [
    volume("ls"),
    volume("create", "aa"),
    volume("create", "--label", "a=1", "--label", "b", "ab"),
    volume("create", "--name", "ac"),
    volume("create", "-d", "local", "--label", "a=2", *TMPFS, "tt"),
    volume("create", "x"),
    volume("create", "a/b"),
    volume("create", "-o", "colour=red", "ad"),
    volume("create", "-o", "device=/dev/x", "ad"),
    volume("create"),
    volume("ls"),
    volume("ls", "-q"),
    *(volume("ls", "--format", text) for text in FORMATS),
    *(volume("ls", "-q", "--filter", text) for text in FILTERS),
    volume("ls", "-q", "--filter", "label=a", "--filter", "label=b"),
    volume("ls", "-q", "--filter", "name=^ab$", "--filter", "name=tt"),
    volume("inspect", "aa", "ab", "tt"),
    volume("inspect", "nothing"),
    volume("inspect", "aa", "nothing"),
    volume("inspect", "-f", "{{.Name}} {{.Mountpoint}} {{.Labels}} {{.Options}} {{.Scope}}", "ab", "tt"),
    volume("inspect", "--format", "{{json .Options}}", "tt"),
    ("inspect", "--type", "volume", "-f", "{{.Name}}", "aa"),
    volume("rm", "nothing"),
    volume("rm", "-f", "nothing"),
    volume("rm", "aa", "nothing", "ac"),
    volume("prune", "-f", "--filter", "label=a=7"),
    volume("prune", "-f", "--filter", "label!=a"),
    volume("ls", "-q"),
    volume("create", "again"),
    volume("prune", "-f"),
    volume("ls", "-q"),
    volume("rm", "tt"),
]


def run(host, *words, version=SPOKEN):
    """Exit status, what it says, and what it complains of."""
    environment = {**os.environ, **({"DOCKER_API_VERSION": version} if version else {})}
    command = ["docker", "-H", host, *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    return result.returncode, result.stdout, result.stderr


def comparable(answer, root):
    status, said, complaint = answer
    if said.startswith("[\n"):
        objects = json.loads(said)
        said = [{key: value for key, value in one.items() if key not in ("Status", "UsedBy")} for one in objects]
        said = json.dumps(said, sort_keys=True)
    words = f"{said}\n{complaint}".replace(str(root), "ROOT")
    words = words.replace("com.docker.volume.anonymous=", "")  # a label that is younger than some dockerds
    words = words.replace("b=,a=1", "a=1,b=")  # the client's own map has no order
    words = re.sub(r"\b[0-9a-f]{64}\b", "RANDOM", words)
    words = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-][0-9:]+)", "THEN", words)
    return status, sorted(re.sub(" +", " ", line).strip() for line in words.splitlines())


def test_docker_says_the_same_of_volfs_as_of_a_dockerd(shared, docker):
    host = f"unix://{shared.socket}"
    differ = []
    for command in COMMANDS:
        theirs = comparable(run(docker.host, *command), docker.place / "data")
        ours = comparable(run(host, *command), shared.root)
        if ours != theirs:
            differ.append(f"docker {' '.join(command)}\n  docker {theirs}\n  volfs  {ours}")
    assert not differ, "\n".join(differ)


def volumes_in(said):
    """The part of `docker system df -v` about volumes."""
    _, _, rest = said.partition("Local Volumes space usage:")
    return [line.split() for line in rest.partition("Build cache usage")[0].splitlines() if line]


def test_docker_counts_the_same_in_volumes(serve, docker):
    served = serve()
    said = []
    for host, root in ((docker.host, docker.place / "data"), (f"unix://{served.socket}", served.root)):
        run(host, "volume", "create", "full")
        run(host, "volume", "create", "void")
        (root / "volumes" / "full" / "_data" / "file").write_bytes(bytes(3_000_000))
        long, short = run(host, "system", "df", "-v"), run(host, "system", "df", "--format", "{{json .}}")
        [line] = [json.loads(line) for line in short[1].splitlines() if "Local Volumes" in line]
        said.append((long[0], sorted(volumes_in(long[1])), line))
        run(host, "volume", "rm", "full", "void")
    assert said[1] == said[0]
    assert ["full", "0", "3MB"] in said[1][1]


def test_docker_tells_the_same_events(serve, docker):
    served = serve()
    told = []
    for host in (docker.host, f"unix://{served.socket}"):
        since = f"{time.time():.9f}"
        for command in (("create", "ev-one"), ("create", "other"), ("rm", "ev-one", "other"), ("prune", "-f")):
            run(host, "volume", *command)
        until = f"{time.time():.9f}"
        about = (
            [],
            ["volume=ev-one"],
            ["volume=ev-"],
            ["event=destroy"],
            ["event=create", "volume=other"],
            ["type=image"],
        )
        for filters in about:
            words = ("events", "--since", since, "--until", until, "--filter", "type=volume")
            options = [word for one in filters for word in ("--filter", one)]
            status, said, complaint = run(host, *words, *options, "--format", "{{.Type}} {{.Action}} {{.Actor}}")
            mine = [line for line in said.splitlines() if "ev-one" in line or "other" in line or "prune" in line]
            told.append((host == docker.host, filters, status, mine, complaint))
    theirs, ours = ([rest for theirs, *rest in told if theirs is side] for side in (True, False))
    assert ours == theirs
    assert len(ours[0][2]) == 5


def remaining_after(shared, *words, version):
    """The volumes that a prune leaves of an anonymous, a named and a labelled one."""
    host = f"unix://{shared.socket}"
    _, anonymous, _ = run(host, "volume", "create")
    run(host, "volume", "create", "named")
    run(host, "volume", "create", "--label", "keep", "labelled")
    status, said, _ = run(host, "volume", "prune", "-f", *words, version=version)
    assert (status, "Total reclaimed space: 0B" in said) == (0, True)
    left = run(host, "volume", "ls", "-q")[1].split()
    run(host, "volume", "rm", *left)
    return sorted("anonymous" if name == anonymous.strip() else name for name in left)


def test_a_prune_means_all_volumes_to_old_clients_and_anonymous_ones_to_new_ones(shared):
    assert remaining_after(shared, version=SPOKEN) == []
    assert remaining_after(shared, "--filter", "label!=keep", version=SPOKEN) == ["labelled"]
    if "--all" not in run(f"unix://{shared.socket}", "volume", "prune", "--help", version=None)[1]:
        assert remaining_after(shared, version=None) == []  # this client is an old one
        return
    assert remaining_after(shared, version=None) == ["labelled", "named"]
    assert remaining_after(shared, "--all", version=None) == []
    assert remaining_after(shared, "--all", "--filter", "label!=keep", version=None) == ["labelled"]
    assert remaining_after(shared, "--filter", "all=1", version=None) == []
