"""Usage of a running daemon: in `meta` at once, after a kill too; a store that hangs keeps nobody else waiting."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, UnixConnection, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")


def data(served, name):
    return served.root / "volumes" / name / "_data"


def figure(served, name):
    """What `meta` says, read as anybody reads it."""
    return json.loads((served.view / name / "meta").read_text())["UsageData"]


def sizes(served):
    status, answer = served.request("GET", "/system/df?type=volume")
    assert status == 200
    return {one["Name"]: one["UsageData"]["Size"] for one in answer["Volumes"]}


def follow(served, query=""):
    """The lines of an answer, as they come."""
    connection = UnixConnection(served.socket)
    with contextlib.closing(connection):
        connection.request("GET", "/volfs/usage" + query)
        response = connection.getresponse()
        assert response.status == 200
        while line := response.readline():
            yield json.loads(line)


def volfs(served, *words):
    return subprocess.run(
        [sys.executable, "-m", "volfs", "--host", served.socket, *words],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_figure_is_in_meta_when_df_has_answered_also_for_who_looked_before(served):
    served.create("db")
    served.create("cache")
    assert figure(served, "db") is None
    for size in (100, 100_000):
        (data(served, "db") / "file").write_bytes(b"x" * size)
        assert sizes(served) == {"cache": 0, "db": size}
        assert figure(served, "db")["Size"] == size
        assert (served.view / "db" / "meta").stat().st_size == len((served.view / "db" / "meta").read_bytes())
    assert figure(served, "db")["Files"] == 1
    assert figure(served, "db")["RefCount"] == 0
    assert "UsageData" not in served.request("GET", "/volumes/db")[1]  # as Docker


def test_figures_are_still_there_after_a_kill_and_gone_with_their_volume(served):
    served.create("db")
    (data(served, "db") / "file").write_bytes(b"x" * 100)
    sizes(served)
    kept = figure(served, "db")
    served.kill_daemon()
    served.ready(2)
    assert figure(served, "db") == kept
    [line] = [one for one in follow(served, "?cached=1") if "Name" in one]
    assert line["UsageData"] == kept
    assert served.request("DELETE", "/volumes/db")[0] == 204
    served.create("db")
    assert figure(served, "db") is None
    assert volfs(served, "df", "--cached", "db").stdout.split()[6:12] == ["db", "-", "-", "-", "0", "-"]


def test_the_command_measures_what_it_is_asked_for(served):
    for name, size in ("small", 10), ("big", 2_000_000), ("middle", 3000):
        served.create(name)
        (data(served, name) / "file").write_bytes(b"x" * size)
    some = volfs(served, "df", "small", "nope", "middle")
    assert (some.returncode, some.stderr) == (1, "volfs: get nope: no such volume\n")
    assert [line.split()[:2] for line in some.stdout.splitlines()[1:3]] == [["middle", "3kB"], ["small", "10B"]]
    assert figure(served, "big") is None
    every = volfs(served, "df", "-q")
    assert (every.returncode, every.stdout, every.stderr) == (0, "big\nmiddle\nsmall\n", "")
    assert volfs(served, "df").stdout.splitlines()[-1].startswith("3 volumes, 2.003MB in 3 files, ")


def test_a_client_that_leaves_does_not_end_the_run(serve, tmp_path):
    many = [sys.executable, PROJECT / "scripts" / "populate", tmp_path / "many" / "root", "300"]
    subprocess.run(many, check=True)
    served = serve(directory=tmp_path / "many")
    lines = follow(served)
    next(lines)
    lines.close()
    waiting = os.listdir(served.view)
    assert len(waiting) == 300

    def is_done():
        while waiting and figure(served, waiting[-1]):
            waiting.pop()
        return not waiting

    until(is_done)


def test_a_store_that_hangs_costs_its_own_volume_the_figure_and_delays_nobody(serve):
    """The store of `hung` is a volume of another daemon, which is stopped."""
    served, other = serve(), serve("--data-plane", "fuse")
    other.create("slow")
    served.create("hung", DriverOpts={"type": "none", "o": "bind", "device": str(other.view / "slow" / "_data")})
    served.create("fine")
    (served.view / "hung" / "_data" / "file").write_bytes(b"x" * 100)  # which mounts it
    assert sizes(served) == {"fine": 0, "hung": 100}
    (data(served, "fine") / "file").write_bytes(b"x" * 10)
    stopped = other.daemon
    os.kill(stopped, signal.SIGSTOP)
    try:
        lines = follow(served)
        for line in lines:
            assert line.get("Name") != "hung", "the store was to hang"
            if line.get("Name") == "fine":
                assert line["UsageData"]["Size"] == 10
                break
        served.create("meanwhile")
        assert figure(served, "hung")["Size"] == 100
        [late] = [line for line in lines if line.get("Name") == "hung"]
        assert late["UsageData"]["Size"] == 100
        assert late["Warning"] == "its store does not answer"
        threads = Path(f"/proc/{served.daemon}/task")
        before = len(os.listdir(threads))
        for _ in range(10):
            assert sizes(served) == {"fine": 10, "hung": 100, "meanwhile": 0}
        assert len(os.listdir(threads)) <= before + 3
        named = volfs(served, "df", "hung")
        assert named.returncode == 0
        assert named.stderr == "volfs: warning: hung is not measured: its store does not answer\n"
    finally:
        os.kill(stopped, signal.SIGCONT)
    until(lambda: volfs(served, "df", "hung").stderr == "")
