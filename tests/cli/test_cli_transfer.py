"""What `volfs export` and `volfs import` take, ask and answer; the work itself is in tests/journeys."""

import subprocess

import pytest

from tests.archive.archives import entry, manifest
from tests.cli.fake_api import one


def says(result, code, word):
    assert (result.returncode, result.stdout) == (code, "")
    assert word in result.stderr, result.stderr


def test_export_wants_names_or_all(volfs, api):
    says(volfs("export"), 125, "name volumes, or say --all")
    says(volfs("export", "db", "--all"), 125, "name volumes, or say --all")
    assert api.asked == []


def test_export_of_a_volume_that_is_not_there(volfs, api):
    api.answers["GET", "/volumes/db"] = 404, {"message": "get db: no such volume"}
    says(volfs("export", "db"), 1, "volfs: get db: no such volume\n")


@pytest.mark.parametrize("state", ["missing", "damaged"])
def test_export_of_a_volume_without_data(volfs, api, state):
    api.answers["GET", "/volumes/db"] = 200, one("db", state)
    says(volfs("export", "db"), 125, f"volume db is {state}: mend it, leave it out, or say --no-data\n")
    assert volfs("export", "db", "--no-data").stdout.startswith("volfs/manifest.json")


def test_a_volume_that_cannot_be_held(volfs, api):
    api.answers["GET", "/volumes/db"] = 200, one("db", "unknown")
    api.answers["GET", "/volfs/hold"] = 503, {"message": "mount db: the plugin does not answer"}
    result = volfs("export", "db", "-o", "/dev/null")
    says(result, 125, "volfs: mount db: the plugin does not answer\n")
    assert api.asked[-1].query == {"name": ["db"], "for": ["export"]}


def test_a_daemon_that_knows_nothing_of_it(volfs, api):
    api.answers["GET", "/volumes/db"] = 200, one("db", "ok")
    api.answers["GET", "/volfs/hold"] = 200, b"OK"
    says(volfs("export", "db", "-o", "/dev/null"), 125, "--host right?")
    api.answers["GET", "/volfs/hold"] = 200, b"[]\n"
    says(volfs("export", "db", "-o", "/dev/null"), 125, "an older volfs?")


def test_a_hold_that_ends_at_once_is_no_export(volfs, api, tmp_path):
    (tmp_path / "data").mkdir()
    api.answers["GET", "/volumes/db"] = 200, one("db", "ok")
    api.answers["GET", "/volfs/hold"] = 200, b'{"Mountpoint": "%s"}\n' % str(tmp_path / "data").encode()
    says(volfs("export", "db", "-o", str(tmp_path / "out.tar")), 125, "the daemon went away")
    assert not (tmp_path / "out.tar").exists()


def test_the_socket_of_nobody(volfs, tmp_path):
    says(volfs("--host", str(tmp_path / "none"), "export", "--all"), 125, "no daemon on")


def test_import_of_a_file_that_is_not_there_and_of_none(volfs, tmp_path):
    says(volfs("import", str(tmp_path / "none.tar")), 125, "No such file")
    says(volfs("import", str(tmp_path)), 125, "volfs: the archive cannot be read: Is a directory\n")
    says(volfs("import", stdin=subprocess.DEVNULL), 125, "no archive of volfs export: the archive is cut short")


def test_import_takes_renames_as_pairs_and_one_driver(volfs, tmp_path):
    says(volfs("import", "--rename", "db", "x.tar"), 125, "expected KEY=VALUE")
    says(volfs("import", "--driver", "nfs", "x.tar"), 125, "'nfs' is not 'local'")


def test_names_that_exist_are_all_told_and_nothing_is_asked_for(volfs, api, tmp_path):
    archive = tmp_path / "a.tar"
    archive.write_bytes(manifest(entry("aa"), entry("bb"), entry("cc")))
    for name in ("aa", "cc"):
        api.answers["GET", f"/volumes/{name}"] = 200, one(name)
    says(volfs("import", str(archive)), 2, "volfs: aa, cc exist already, nothing was imported: ")
    assert {asked.method for asked in api.asked} == {"GET"}


def test_help_is_there(volfs):
    shown = volfs("--help").stdout
    assert "export" in shown and "import" in shown
    assert "ssh other volfs import" in volfs("export", "--help").stdout
    assert "--rename OLD=NEW" in volfs("import", "--help").stdout
