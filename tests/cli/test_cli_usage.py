"""`volfs df` against a fake daemon: what is printed where, and what an answer that breaks off comes to."""

import json

import pytest

from tests.cli.test_cli_terminal import on_a_terminal, plain
from volfs.cli import answers
from volfs.cli.usage import progress_line, sums, total_line

END = {"End": True}


def lines(*values):
    return 200, "".join(json.dumps(value) + "\n" for value in values).encode()


def measured(name, size, **more):
    figures = {"Size": size, "Allocated": 4096, "Files": 3, "RefCount": 1, "Measured": "2026-11-24T03:39:46Z"}
    return {"Name": name, "Driver": "local", "State": "ok", "UsageData": figures, **more}


UNKNOWN = {"Name": "cold", "Driver": "local", "State": "ok", "UsageData": {"Size": -1, "RefCount": 0}}
PROGRESS = {"Progress": {"Done": 1, "Total": 2, "Size": 1500, "Files": 7}}


def test_the_biggest_comes_first_and_a_line_adds_up(api, volfs):
    api.answers["GET", "/volfs/usage"] = lines(PROGRESS, measured("db", 10), UNKNOWN, measured("media", 2000), END)
    done = volfs("df")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()[:-1]] == [
        ["NAME", "SIZE", "ALLOCATED", "FILES", "USERS", "MEASURED"],
        ["media", "2kB", "4.096kB", "3", "1", "2026-11-24T03:39:46Z"],
        ["db", "10B", "4.096kB", "3", "1", "2026-11-24T03:39:46Z"],
        ["cold", "-", "-", "-", "0", "-"],
    ]
    assert done.stdout.splitlines()[-1] == "3 volumes, 2.01kB in 6 files, 8.192kB on the disk; 1 without a figure"


def test_what_is_asked_for_reaches_the_daemon(api, volfs):
    api.answers["GET", "/volfs/usage"] = lines(measured("db", 1), measured("a&b", 1), END)
    assert volfs("df", "--cached", "db", "a&b", "--format", "json").returncode == 0
    assert api.asked[0].query == {"name": ["db", "a&b"], "cached": ["1"]}
    api.asked.clear()
    assert json.loads(volfs("df", "--format", "json").stdout)[0]["UsageData"]["Files"] == 3
    assert api.asked[0].query == {}


def test_a_name_that_no_volume_has_is_one_line_and_exit_code_1(api, volfs):
    api.answers["GET", "/volfs/usage"] = lines({"Name": "nope", "Error": "get nope: no such volume"}, END)
    for words in ([], ["-q"]):
        done = volfs("df", *words, "nope")
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "volfs: get nope: no such volume\n")


def test_a_figure_that_could_not_be_renewed_is_shown_with_the_reason(api, volfs):
    api.answers["GET", "/volfs/usage"] = lines(measured("db", 10, Warning="its store does not answer"), END)
    done = volfs("df")
    assert done.returncode == 0
    assert "10B" in done.stdout
    assert done.stderr == "volfs: warning: db is not measured: its store does not answer\n"


def test_an_answer_that_breaks_off_is_no_answer(api, volfs):
    api.answers["GET", "/volfs/usage"] = lines(measured("db", 10))
    done = volfs("df")
    assert (done.returncode, done.stdout) == (125, "")
    assert "ended before it answered" in done.stderr and done.stderr.count("\n") == 1


def test_a_daemon_that_is_replaced_meanwhile_is_asked_again(api, volfs):
    whole, broken = lines(measured("db", 10), END), lines(measured("db", 10))
    sent = iter([broken[1], broken[1], whole[1]])
    api.answers["GET", "/volfs/usage"] = 200, lambda: next(sent)
    done = volfs("df", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "db\n", "")


@pytest.mark.parametrize("value", [b"[]\n", b"nonsense\n", b'{"Name": 3}\n', b'{"x": 1}\n', b"\xff\n"])
def test_an_answer_of_another_kind_is_one_line(api, volfs, value):
    api.answers["GET", "/volfs/usage"] = 200, value
    done = volfs("df")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (125, "", 1)


def test_a_daemon_that_refuses_or_is_not_there_is_one_line(api, volfs, tmp_path):
    assert volfs("df").stderr == "volfs: page not found\n"
    api.drop = 3
    assert "ended before it answered" in volfs("df").stderr
    nobody = volfs("df", "--host", str(tmp_path / "nobody.sock"))
    assert nobody.returncode == 125 and "no daemon" in nobody.stderr


def test_progress_is_drawn_on_a_terminal_and_taken_away_before_the_table(api):
    api.answers["GET", "/volfs/usage"] = lines(PROGRESS, measured("db", 10), END)
    code, shown = on_a_terminal(api, "df")
    assert code == 0
    before, _, after = shown.rpartition("\r\x1b[K")
    assert "1 of 2 volumes, 1.5kB" in before
    assert "NAME" in plain(after) and "volumes," not in plain(before).replace("2 volumes, 1.5kB", "")


def test_a_progress_line_fits_on_its_terminal():
    far = answers.Progress(50_000, 100_000, 10**12, 10**9)
    assert progress_line(far, 10, 200) == f"[{'#' * 12}{'.' * 12}] 50000 of 100000 volumes, 1TB, 100,000,000 files/s"
    assert len(progress_line(far, 10, 40)) == 39
    assert "0 of 0 volumes" in progress_line(answers.Progress(0, 0, 0, 0), 0, 80)


def test_the_sum_of_nothing_is_said_too():
    assert total_line(sums([])) == "0 volumes, 0B in 0 files, 0B on the disk"
    one = answers.measure(measured("db", 1000))
    assert total_line(sums([one])) == "1 volume, 1kB in 3 files, 4.096kB on the disk"


@pytest.mark.parametrize("strange", [None, [], "x", {"Size": "1"}, {"Size": -5}, {"Files": None}])
def test_strange_figures_are_unknown_ones(strange):
    assert answers.measure({"Name": "db", "UsageData": strange}).size == -1
    assert answers.progress(strange).total == 0
