"""Every problem made for real, found by the command, and repaired where it can be."""

import json
import os
import shutil
import stat
import subprocess
import sys

import lmdb
import pytest

from tests.adopt.conftest import entry
from tests.check.conftest import TMPFS
from tests.dockerroot.bolt_file import whole_file
from volfs.driver.notes import Notes
from volfs.driver.record import Description
from volfs.mount import syscalls
from volfs.volume.changes import AddReference, Delete, Put
from volfs.volume.recovery import boot_id
from volfs.volume.volume import Kind, Reference, State, Volume

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
C1 = "c1" * 32


def test_a_root_with_nothing_wrong_is_clean(root, docker_root, checked):
    for one in (root, checked(docker_root.path)):
        done = one.run()
        assert (done.returncode, done.stdout, done.stderr) == (0, f"nothing is wrong with {one.path}\n", "")


def test_what_is_no_root_cannot_be_looked_at(checked, tmp_path):
    done = checked(tmp_path / "none").run()
    assert done.returncode == 125
    assert done.stderr.startswith("volfs: ")
    assert done.stderr.count("\n") == 1


def test_checking_writes_nothing(root, docker_root, checked):
    def everything(path):
        found = {}
        for place, directories, names in os.walk(path):
            for name in (*directories, *names):
                one = os.path.join(place, name)
                status = os.lstat(one)
                found[one] = status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino
        return {key: value for key, value in found.items() if not key.endswith("-lock")}

    (root.volumes / "db" / "opts.json").write_text("{")
    shutil.rmtree(docker_root.volumes / "db")
    for one in (root, checked(docker_root.path)):
        before = everything(one.path)
        assert one.check()
        assert everything(one.path) == before


# Volumes


def container(path, id_=C1, name="db", destination="/data"):
    directory = path / "containers" / id_
    directory.mkdir(parents=True)
    point = {"Destination": destination, "Type": "volume", "Name": name, "Driver": "local", "RW": True}
    config = {"ID": id_, "Name": "/web", "MountPoints": {destination: point}}
    (directory / "config.v2.json").write_text(json.dumps(config))
    (directory / "hostconfig.json").write_text("{}")
    (path / "volumes" / "metadata.adopted").write_text("none\n")
    (path / "volumes" / "metadata.adopted").chmod(0o600)
    return directory


def test_a_missing_volume_is_told_with_container_and_destination_until_it_is_back(root):
    container(root.path)
    aside = (root.volumes / "db").rename(root.path / "aside")
    found = root.only("volume-missing")
    assert (found["Severity"], found["Volume"], found["Repairable"]) == ("error", "db", False)
    assert found["Meaning"].startswith("needed by web (c1c1c1c1c1c1) at /data")
    assert f"{root.volumes}/db" in found["Remedy"]
    aside.rename(root.volumes / "db")
    assert root.check() == []


def test_a_missing_volume_of_dockers_is_told_before_docker_forgets_it(docker_root, checked):
    docker_root.entry("gone")
    docker_root.container(C1, ("gone", "/data"), ("never", "/never"))
    found = checked(docker_root.path).check()
    assert [(one["Code"], one["Volume"]) for one in found] == [("volume-missing", "gone"), ("volume-missing", "never")]
    assert "before Docker starts again" in found[0]["Remedy"]


def test_an_entry_without_a_directory_stays_after_a_repair_with_what_to_do(root):
    shutil.rmtree(root.volumes / "db")
    found = root.only("entry-without-directory")
    assert "`volfs rm db`" in found["Remedy"]
    done = root.run("--repair")
    assert done.returncode == 1
    root.only("entry-without-directory")


def test_a_directory_without_an_entry_is_adopted(root):
    root.commit(Delete("db"))
    root.only("directory-without-entry")
    assert root.repair() == ["adopted the directory of volume db"]
    assert root.get("db").labels == {"team": "web"}


def test_a_directory_that_docker_does_not_know_is_a_note(docker_root, checked):
    docker_root.directory("copied")
    found = checked(docker_root.path).only("directory-without-entry")
    assert (found["Severity"], found["Volume"]) == ("note", "copied")


def test_a_note_of_a_plugins_volume_is_recalled(root):
    Notes(root.path).write("remote", Description(1, "nfs"))
    found = root.only("directory-without-entry")
    assert found["Volume"] == "remote"
    assert root.run("--repair").stdout.startswith("recalled volume remote by its note\n")
    assert root.only("driver-unknown")["Volume"] == "remote"


def test_a_driver_that_this_host_has_not_is_told(root):
    root.commit(Put(Volume("remote", 0, 1, "nfs", state=State.UNKNOWN)))
    found = root.only("driver-unknown")
    assert (found["Volume"], found["Repairable"]) == ("remote", False)
    assert "plugin nfs" in found["Remedy"]


def test_a_driver_that_is_there_is_no_problem(root):
    root.commit(Put(Volume("remote", 0, 1, "nfs", state=State.UNKNOWN)))
    (root.path / "none").mkdir()
    (root.path / "none" / "nfs.spec").write_text("tcp://127.0.0.1:1")
    assert root.check() == []


@pytest.mark.parametrize(
    "reference",
    [Reference("m1", Kind.PLUGIN, "another boot", 1), Reference(C1, Kind.CONTAINER, "", 1)],
    ids=["another boot", "container gone"],
)
def test_a_reference_by_nobody_is_dropped(root, reference):
    root.commit(AddReference("db", reference))
    assert root.only("reference-stale")["Volume"] == "db"
    assert root.repair() == [f"dropped {reference.id}, which used volume db"]


def test_a_reference_by_a_container_that_is_there_is_none_by_nobody(root):
    container(root.path)
    root.commit(AddReference("db", Reference(C1, Kind.CONTAINER, "", 1)))
    assert root.check() == []


# Files


@pytest.mark.parametrize("text", ["", "{", "[]", '{"MountType":7}'])
def test_a_damaged_opts_json_is_told_and_left_for_a_person(root, text):
    path = root.volumes / "db" / "opts.json"
    path.write_text(text)
    path.chmod(0o600)
    found = root.only("opts-damaged")
    assert found["Volume"] == "db"
    assert root.run("--repair").returncode == 1
    assert path.read_text() == text


def test_a_lost_opts_json_is_damage_too(root):
    directory = root.create("scratch", options=TMPFS)
    (directory / "opts.json").unlink()
    (directory / "meta.json").unlink()
    assert root.codes() == [("opts-damaged", "scratch")]


def test_options_that_docker_never_applied_are_told(docker_root, checked):
    docker_root.volume("share", options={"type": "nfs", "device": ":/x", "o": "addr=h"})
    assert checked(docker_root.path).codes() == [("opts-damaged", "share")]


def test_a_damaged_meta_json_is_written_anew_and_kept(root):
    path = root.volumes / "db" / "meta.json"
    before = json.loads(path.read_text())
    path.write_text("{broken")
    assert root.only("meta-damaged")["Volume"] == "db"
    kept, wrote = root.repair()
    assert wrote == "wrote the meta.json of volume db"
    assert (root.volumes / "db" / kept.split()[-1]).read_text() == "{broken"
    assert json.loads(path.read_text()) == before


def test_a_damaged_meta_json_that_nobody_else_knows_is_left(docker_root, checked):
    (docker_root.volumes / "db" / "meta.json").write_text("{")
    (docker_root.volumes / "db" / "meta.json").chmod(0o600)
    assert checked(docker_root.path).only("meta-damaged")["Repairable"] is False


def test_labels_that_only_the_catalogue_knows_are_written_beside_the_data(root):
    path = root.volumes / "db" / "meta.json"
    path.unlink()
    root.only("meta-missing")
    assert root.repair() == ["wrote the meta.json of volume db"]
    assert json.loads(path.read_text())["Labels"] == {"team": "web"}


@pytest.mark.parametrize("what", ["_data", "volume"])
def test_a_symlink_where_a_directory_must_be_is_told_and_not_followed(root, tmp_path, what):
    path = root.volumes / "db" / "_data" if what == "_data" else root.volumes / "db"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    found = [one for one in root.check() if one["Code"] == "not-a-directory"]
    assert [(one["Volume"], one["Severity"], one["Path"]) for one in found] == [("db", "error", str(path))]
    assert root.run("--repair").returncode == 1
    assert path.is_symlink()


def test_volumes_behind_a_symlink_are_a_warning(root, tmp_path):
    root.volumes.rename(tmp_path / "elsewhere")
    root.volumes.symlink_to(tmp_path / "elsewhere")
    assert root.only("not-a-directory")["Severity"] == "warning"


def test_a_file_in_place_of_a_volume_or_of_its_data_is_told(root):
    (root.volumes / "file").write_text("")
    (root.volumes / "db" / "_data").rmdir()
    (root.volumes / "db" / "_data").write_text("")
    assert root.codes() == [("not-a-directory", "db"), ("not-a-directory", "file")]


def test_a_volume_without_data_is_told(root):
    (root.volumes / "db" / "_data").rmdir()
    assert root.only("data-missing")["Volume"] == "db"


def test_what_cannot_be_a_volume_is_a_note(root):
    (root.volumes / "bad name").mkdir()
    assert root.only("stranger")["Severity"] == "note"


@pytest.mark.parametrize("file", ["volumes", "volumes/db", "volumes/db/meta.json", "volumes/metadata.mdb"])
def test_a_mode_that_is_too_open_is_set_right(root, file):
    path = root.path / file
    right = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o755)
    found = root.only("mode-wrong")
    assert found["Path"] == str(path)
    assert root.repair() == [f"gave {path} the mode {right:04o}"]
    assert stat.S_IMODE(path.stat().st_mode) == right


def test_the_modes_of_the_data_are_the_users(root):
    (root.volumes / "db" / "_data").chmod(0o777)
    os.chown(root.volumes / "db" / "_data", 999, 999)
    assert root.check() == []


def test_modes_of_dockers_files_are_set_right_too(docker_root, checked):
    (docker_root.volumes / "metadata.db").chmod(0o644)
    one = checked(docker_root.path)
    one.only("mode-wrong")
    assert one.repair() == [f"gave {docker_root.volumes}/metadata.db the mode 0600"]
    assert not (docker_root.path / "volfs.lock").exists()


def test_an_owner_that_is_not_the_roots_is_set_right(root):
    os.chown(root.volumes / "db", 1234, 77)
    assert root.only("owner-wrong")["Volume"] == "db"
    assert root.repair() == [f"gave {root.volumes}/db to user 0"]
    assert (root.volumes / "db").stat().st_gid == 77


# The catalogue and Docker's store


DAMAGES = {
    "junk": lambda text: b"junk" * 5000,
    "cut": lambda text: text[: 3 * 4096],  # behind the last page the file has room in reserve
    "zeroed": lambda text: text[:8192] + bytes(len(text) - 8192),
    "empty": lambda text: b"",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_catalogue_is_moved_aside_and_rebuilt(root, damage):
    path = root.volumes / "metadata.mdb"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    assert root.only("catalogue-damaged")["Severity"] == "error"
    steps = root.repair()
    assert steps[-1] == "adopted the directory of volume db"
    assert root.get("db").labels == {"team": "web"}
    if damaged:
        [kept] = root.volumes.glob("metadata.mdb.damaged-*")
        assert kept.read_bytes()[: len(damaged)] == damaged


def test_a_catalogue_of_another_format_is_told_and_left_alone(root):
    env = lmdb.open(str(root.volumes / "metadata.mdb"), subdir=False, max_dbs=8, map_size=1 << 26)
    with env.begin(write=True) as write:
        write.put(b"format", b"99", db=env.open_db(b"system", txn=write))
    env.close()
    found = root.only("catalogue-newer")
    assert "99" in found["Meaning"]
    done = root.run("--repair")
    assert done.returncode == 1
    root.only("catalogue-newer")


def test_a_catalogue_that_is_gone_is_rebuilt(root):
    (root.volumes / "metadata.mdb").unlink()
    root.only("catalogue-missing")
    assert root.repair() == ["adopted the directory of volume db"]


def test_a_damaged_store_of_dockers_is_told(docker_root, checked):
    path = docker_root.volumes / "metadata.db"
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])
    found = checked(docker_root.path).only("docker-store-damaged")
    assert f"volfs adopt {docker_root.path}" in found["Remedy"]
    path.write_bytes(b"junk" * 3000)
    assert ("docker-store-damaged", "") in checked(docker_root.path).codes()


def test_what_docker_knows_and_volfs_does_not_is_told_until_it_is_adopted(root):
    (root.volumes / "metadata.db").write_bytes(bytes(whole_file({b"db": entry("db").encode()})))
    (root.volumes / "metadata.db").chmod(0o600)
    root.only("adoption-due")
    subprocess.run([sys.executable, "-m", "volfs", "adopt", root.path], check=True, capture_output=True)
    assert root.check() == []


def test_a_container_that_cannot_be_read_is_told(root):
    (container(root.path) / "config.v2.json").write_text("{")
    assert root.only("container-damaged")["Path"].startswith(C1)


# The host


def tmpfs(path):
    syscalls.mount("tmpfs", str(path), "tmpfs", 0, "size=64k")


def test_a_mount_that_nobody_uses_is_unmounted(root):
    directory = root.create("scratch", options=TMPFS)
    tmpfs(directory / "_data")
    found = root.only("mount-leaked")
    assert (found["Volume"], found["Path"]) == ("scratch", f"{directory}/_data")
    assert root.repair() == [f"unmounted {directory}/_data"]


def test_a_mount_that_somebody_uses_is_no_problem(root):
    directory = root.create("scratch", options=TMPFS)
    tmpfs(directory / "_data")
    root.commit(AddReference("scratch", Reference("m1", Kind.PLUGIN, boot_id(), 1)))
    assert root.check() == []


@pytest.mark.parametrize("where", ["db/_data", "db"])
def test_a_disk_that_an_administrator_mounted_is_no_problem(root, where):
    tmpfs(root.volumes / where)
    assert root.check() == []


def test_a_mount_of_a_stopped_docker_is_leaked_unless_a_container_runs_with_it(docker_root, checked):
    text = '{"MountType":"tmpfs","MountOpts":"","MountDevice":"tmpfs","Quota":{"Size":0}}'
    directory = docker_root.volume("scratch", text, options={"type": "tmpfs", "device": "tmpfs"})
    tmpfs(directory / "_data")
    docker_root.container(C1, ("scratch", "/data"), Running=True)
    one = checked(docker_root.path)
    assert one.check() == []
    docker_root.container(C1, ("scratch", "/data"), Running=False)
    one.only("mount-leaked")
    assert one.repair() == [f"unmounted {directory}/_data"]


def test_work_that_was_cut_off_is_ended(root):
    (root.volumes / ".creating-0123" / "_data").mkdir(parents=True)
    (root.volumes / "db").rename(root.volumes / f".removing-{root.get('db').serial}")
    assert {code for code, _ in root.codes()} == {"work-left"}
    steps = root.repair()
    assert "ended the removal of volume db" in steps
    assert root.get("db") is None
    assert [one for one in os.listdir(root.volumes) if one.startswith(".")] == []


def test_a_second_problem_that_a_repair_uncovers_is_mended_in_the_same_run(root):
    (root.volumes / "db" / "meta.json").unlink()
    (root.volumes / "db").chmod(0o755)
    (root.volumes / "metadata.mdb").chmod(0o644)
    assert len(root.repair()) == 3


def test_the_table_is_for_people(root):
    (root.volumes / "db").chmod(0o755)
    done = root.run()
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.split()[:3] == ["warning", "mode-wrong", "db"]
    assert second.strip() == f"`chmod 0701 {root.volumes}/db`"
