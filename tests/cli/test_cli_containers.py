"""`volfs container mounts` and `release`, the command on a real daemon: what is printed, what a bundle gets."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from tests.container.conftest import ID, bind, volume, write_container
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
SPEC = {
    "ociVersion": "1.0.2",
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/data", "type": "tmpfs"}],
}


@pytest.fixture
def volfs(served):
    def run(*words, cwd="/"):
        command = [sys.executable, "-m", "volfs", "--host", str(served.socket), "container", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)

    return run


@pytest.fixture
def directory(served, tmp_path):
    """The files of a container that has the volume db at /data and a bind."""
    served.create("db")
    (tmp_path / "src").mkdir()
    place = served.root / "containers" / ID
    return write_container(place, volume("/data"), bind("/b", tmp_path / "src", rw=False))


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "config.json").write_text(json.dumps(SPEC))
    return tmp_path / "bundle"


def users(served):
    return [one["Id"] for one in served.request("GET", "/volumes/db")[1]["UsedBy"]]


def test_the_mounts_are_printed_as_a_runtime_wants_them(served, volfs, directory, tmp_path):
    result = volfs("mounts", directory)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == [
        {"destination": "/data", "type": "bind", "source": f"{served.root}/volumes/db/_data", "options": ["rbind"]},
        {"destination": "/b", "type": "bind", "source": f"{tmp_path}/src", "options": ["rbind", "ro", "rprivate"]},
    ]
    table = volfs("mounts", ID[:5], "--format", "table").stdout.splitlines()
    assert table[0].split() == ["DESTINATION", "TYPE", "SOURCE", "OPTIONS"]
    assert table[2].split() == ["/b", "bind", f"{tmp_path}/src", "rbind,ro,rprivate"]


def test_a_directory_is_taken_for_one_wherever_somebody_stands(volfs, directory):
    for which, cwd in ((ID, directory.parent), (".", directory), (f"../{ID}", directory)):
        assert volfs("mounts", which, cwd=cwd).returncode == 0
    result = volfs("mounts", "web")
    assert (result.returncode, result.stderr) == (
        125,
        'volfs: "web" is neither a container\'s ID nor the path of its directory\n',
    )


def test_a_bundle_gets_the_mounts_and_keeps_the_rest(volfs, directory, bundle):
    (bundle / "config.json").chmod(0o640)
    result = volfs("mounts", ID, "--bundle", bundle)
    assert (result.returncode, result.stdout) == (0, f"{bundle}/config.json: 2 mounts of container web\n")
    written = json.loads((bundle / "config.json").read_text())
    assert [one["destination"] for one in written["mounts"]] == ["/proc", "/data", "/b"]
    assert (bundle / "config.json").stat().st_mode & 0o777 == 0o640
    assert os.listdir(bundle) == ["config.json"]
    assert json.loads(volfs("mounts", ID, "--bundle", bundle, "--format", "json").stdout) == written["mounts"][1:]


def test_a_bundle_without_a_spec_is_told_how_to_get_one_and_nothing_is_mounted(served, volfs, directory, tmp_path):
    result = volfs("mounts", ID, "--bundle", tmp_path)
    assert result.returncode == 125
    assert f'make one with "runc spec --bundle {tmp_path}"' in result.stderr
    assert users(served) == []


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"mounts": []}', '{"ociVersion": "1", "mounts": [1]}'])
def test_a_config_that_is_no_spec_is_left_as_it_is(served, volfs, directory, bundle, text):
    (bundle / "config.json").write_text(text)
    result = volfs("mounts", ID, "--bundle", bundle)
    assert result.returncode == 125
    assert "it was left as it is" in result.stderr
    assert ((bundle / "config.json").read_text(), users(served)) == (text, [])


def test_a_bundle_that_cannot_be_written_is_told_with_what_to_do(served, volfs, directory, bundle):
    subprocess.run(["mount", "--bind", bundle, bundle], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", bundle], check=True)
        result = volfs("mounts", ID, "--bundle", bundle)
    finally:
        subprocess.run(["umount", bundle], check=True)
    assert result.returncode == 125
    assert "give them back with volfs container release" in result.stderr
    assert json.loads((bundle / "config.json").read_text()) == SPEC
    assert users(served) == [ID]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_network_files_go_to_the_root_of_the_bundle_or_to_who_is_said(volfs, directory, bundle):
    write_container(directory, HostsPath=f"/old/containers/{ID}/hosts")
    hosts = directory / "hosts"
    hosts.touch()
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    spec = {**SPEC, "linux": {"uidMappings": mapping, "gidMappings": mapping}}
    (bundle / "config.json").write_text(json.dumps(spec))
    for words, owner in (
        (["--bundle", bundle], (100000, 100000)),
        (["--bundle", bundle, "--owner", "7:8"], (7, 8)),
        ([], (0, 0)),
    ):
        assert volfs("mounts", ID, *words).returncode == 0
        assert (hosts.stat().st_uid, hosts.stat().st_gid) == owner
    result = volfs("mounts", ID, "--owner", "root")
    assert (result.returncode, '"root" is not UID:GID' in result.stderr) == (125, True)


def test_the_error_names_the_volume_the_container_and_the_destination(served, volfs, directory):
    write_container(directory, volume("/var/lib/data", "web-data"))
    result = volfs("mounts", ID)
    assert (result.returncode, result.stdout) == (125, "")
    where = served.root / "volumes" / "web-data"
    assert result.stderr == (
        f"volfs: volume web-data of container web (at /var/lib/data) is missing: put its directory {where} back, "
        "or make it anew: volfs create web-data\n"
    )


def test_warnings_go_to_standard_error(volfs, directory, tmp_path):
    write_container(directory, bind("/b", tmp_path / "new"))
    result = volfs("mounts", ID)
    assert json.loads(result.stdout)[0]["source"] == f"{tmp_path}/new"
    assert result.stderr == (
        f"volfs: warning: {tmp_path}/new, bound at /b, did not exist on this host: it was made, empty\n"
    )


def test_what_is_released_is_printed_and_one_that_has_nothing_is_told(served, volfs, directory):
    volfs("mounts", ID)
    assert users(served) == [ID]
    result = volfs("release", ID[:4])
    assert (result.returncode, result.stdout, result.stderr) == (0, "db\n", "")
    result = volfs("release", ID[:4])
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "volfs: container cccc has no volume of this daemon: nothing to release\n"
    assert volfs("release", "web").returncode == 125
