"""Work directories of imports: whose they are, and how volumes in them get their names."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import PROJECT, until
from volfs.driver import importing
from volfs.driver.importing import Part, workplace
from volfs.driver.local import Description, LocalDriver
from volfs.errors import Invalid, NotFound
from volfs.volume.recovery import recover

PLAIN = Description(created=1_700_000_000, labels={"a": "1"})
IMPORTER = """
import sys, time
from pathlib import Path
from volfs.driver.importing import workplace
with workplace(Path(sys.argv[1])) as work:
    (work.new_part("0") / "file").write_text("x")
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def volumes(driver, root):
    return root / "volumes"


@pytest.fixture
def importer(volumes):
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORTER, volumes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(PROJECT)},
    )
    assert process.stdout.readline() == b"\n"
    yield process
    process.kill()
    process.stdin.close()
    process.stdout.close()
    process.wait()


def part(work, source, name):
    made = work.new_part(source)
    return Part(source, made.parent.stat().st_ino, name, PLAIN)


def hidden(volumes):
    return [name for name in os.listdir(volumes) if name.startswith(".")]


def test_a_work_directory_is_left_alone_while_its_importer_lives_and_swept_then(driver, volumes, importer):
    [work] = hidden(volumes)
    assert driver.scan().work == []
    driver.sweep(work)
    assert (volumes / work / "0" / "_data" / "file").read_text() == "x"
    importer.kill()
    until(lambda: driver.scan().work == [work])
    driver.sweep(work)
    driver.sweep(work)
    assert hidden(volumes) == [] and driver.scan().work == []


def test_a_work_directory_that_is_swept_before_it_is_locked_is_made_again(driver, volumes, monkeypatch):
    real, swept = os.open, []

    def swept_first(path, *arguments, **more):
        if str(path).startswith(".importing-") and not swept:
            swept.append(path)
            driver.sweep(path)
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", swept_first)
    with workplace(volumes) as work:
        assert hidden(volumes) == [work.name] != swept
    assert len(swept) == 1 and hidden(volumes) == []


def test_nobody_else_can_look_into_it(volumes, driver):
    with workplace(volumes) as work:
        assert work.path.stat().st_mode & 0o777 == 0o700


def test_volumes_get_their_names_all_at_once(driver, volumes):
    with workplace(volumes) as work:
        parts = [part(work, "0", "aa"), part(work, "1", "bb")]
        assert driver.are_shown(parts) == [False, False]
        driver.show(work.name, parts)
        assert driver.are_shown(parts) == [True, True]
        driver.show(work.name, parts)  # asked again
    assert sorted(driver.scan().names) == ["aa", "bb"] and driver.describe("bb") == PLAIN
    for name, mode in (("aa", 0o701), ("aa/_data", 0o755), ("aa/meta.json", 0o600)):
        assert (volumes / name).stat().st_mode & 0o7777 == mode


def test_one_name_that_is_taken_keeps_all_of_them_out_of_sight(driver, volumes):
    driver.create("bb", PLAIN)
    with workplace(volumes) as work:
        parts = [part(work, "0", "aa"), part(work, "1", "bb"), part(work, "2", "cc")]
        with pytest.raises(FileExistsError):
            driver.show(work.name, parts)
        assert driver.scan().names == ["bb"]
        assert sorted(os.listdir(work.path)) == ["0", "1", "2"]


def test_what_a_daemon_left_half_done_is_finished(driver, volumes):
    with workplace(volumes) as work:
        parts = [part(work, "0", "aa"), part(work, "1", "bb")]
        driver.show(work.name, parts[:1])
        directory = os.open(volumes, os.O_RDONLY)
        importing._describe(f"{work.name}/1", parts[1], directory)
        os.close(directory)
        assert driver.scan().names == ["aa"] and driver.are_shown(parts) == [True, False]
        driver.show(work.name, parts)
    assert sorted(driver.scan().names) == ["aa", "bb"] and driver.describe("bb") == PLAIN


def test_only_directories_of_imports_are_shown(driver, volumes):
    driver.create("db", PLAIN)
    with workplace(volumes) as work:
        good = part(work, "0", "aa")
        for wrong, source in (
            (work.name, "../db"),
            ("db", "0"),
            ("../volumes/" + work.name, "0"),
            (".importing-", "0"),
        ):
            with pytest.raises(Invalid, match="no import in progress"):
                driver.show(wrong, [Part(source, good.inode, "aa", PLAIN)])
        with pytest.raises(Invalid, match="another one"):
            driver.show(work.name, [Part("0", good.inode + 1, "aa", PLAIN)])
        with pytest.raises(NotFound, match="has gone"):
            driver.show(work.name, [Part("7", good.inode, "aa", PLAIN)])
    assert driver.scan().names == ["db"]


DIES = """
import os, sys
from pathlib import Path
from tests.driver.test_importing import part
from volfs.driver.importing import workplace
from volfs.driver.local import LocalDriver
from volfs.mount import syscalls

real, at = syscalls.rename_to_new, int(sys.argv[2])

def rename(*arguments, **more):
    global at
    at -= 1
    if at == 0:
        os._exit(9)
    real(*arguments, **more)

syscalls.rename_to_new = rename
driver = LocalDriver(Path(sys.argv[1]))
with workplace(driver.volumes) as work:
    driver.show(work.name, [part(work, "0", "aa"), part(work, "1", "bb")])
    os._exit(9)
"""


@pytest.mark.parametrize(("renames", "there"), [(0, []), (1, []), (2, ["aa", "bb"])])
def test_an_import_that_is_cut_off_while_it_is_shown_is_there_whole_or_not_at_all(root, volumes, renames, there):
    """Also where whoever imports gives up: nobody asks again."""
    command = [sys.executable, "-c", DIES, root, str(renames + 1)]
    assert subprocess.run(command, env={"PYTHONPATH": str(PROJECT)}, check=False).returncode == 9
    assert len([name for name in os.listdir(volumes) if not name.startswith(".")]) == renames
    store, plan = recover(LocalDriver(root), "/nowhere")
    assert sorted(store.entries().names) == there
    store.close()
    assert sorted(name for name in os.listdir(volumes) if not name.startswith((".importing-", "metadata."))) == there
    assert [work for work in plan.sweep if work.startswith(".importing-")] == hidden(volumes)


def test_what_is_taken_back_waits_for_an_importer_that_asks_again(driver, volumes):
    with workplace(volumes) as work, driver._open_volumes() as opened:
        parts = [part(work, "0", "aa"), part(work, "1", "bb")]
        importing._write_note(".publishing-" + work.name.removeprefix(".importing-"), parts, opened)
        (volumes / work.name / "0").rename(volumes / "aa")
        [note] = driver.scan().publishing
        driver.take_back(note, lambda _: False)
        assert driver.scan().names == [] and driver.scan().publishing == ()
        driver.show(work.name, parts)
    assert sorted(driver.scan().names) == ["aa", "bb"]


def test_a_volume_that_somebody_knows_is_not_taken_back(driver, volumes):
    with workplace(volumes) as work, driver._open_volumes() as opened:
        parts = [part(work, "0", "aa"), part(work, "1", "bb")]
        importing._write_note(".publishing-0123456789abcdef", parts, opened)
        (volumes / work.name / "0").rename(volumes / "aa")
        driver.take_back(".publishing-0123456789abcdef", {"aa"}.__contains__)
    assert driver.scan().names == ["aa"] and hidden(volumes) == []


ROWS = st.lists(
    st.tuples(st.sampled_from(["0", "1", "../../out", "/", ""]), st.integers(), st.sampled_from(["aa", "../x"]))
)


@given(text=st.binary(max_size=40) | st.sampled_from([b"5", b"null", b"[1]", b'[["0",null,"aa"]]', b"[" * 2000]) | ROWS)
def test_any_note_takes_back_what_it_may_or_nothing(text, tmp_path_factory):
    root = tmp_path_factory.mktemp("any")
    driver = LocalDriver(root / "root")
    driver.prepare()
    driver.create("aa", PLAIN)
    (driver.volumes / ".publishing-0123456789abcdef").write_bytes(
        text if isinstance(text, bytes) else json.dumps(text).encode()
    )
    store, _ = recover(driver, "/nowhere")
    store.close()
    assert driver.scan().names == ["aa"] and driver.scan().publishing == ()
    assert os.listdir(root) == ["root"]


def test_a_note_that_leads_out_or_is_no_file_moves_nothing(driver, volumes, root):
    driver.create("aa", PLAIN)
    inode = (volumes / "aa").stat().st_ino
    (volumes / ".publishing-0123456789abcdef").write_text(json.dumps([["../../../out", inode, "aa"], ["0", 1, "bb"]]))
    os.mkfifo(volumes / ".publishing-fifo")
    for note in driver.scan().publishing:
        driver.take_back(note, lambda _: False)
    assert driver.scan().names == ["aa"] and driver.scan().publishing == ()


def test_what_cannot_be_taken_back_is_said_and_keeps_no_daemon_from_starting(driver, volumes, caplog):
    driver.create("aa", PLAIN)
    inode = (volumes / "aa").stat().st_ino
    (volumes / ".importing-0123456789abcdef" / "0").mkdir(parents=True)
    (volumes / ".publishing-0123456789abcdef").write_text(json.dumps([["0", inode, "aa"], ["1", 1, "bb"]]))
    store, _ = recover(driver, "/nowhere")
    assert store.get("aa") is not None
    store.close()
    assert "an import that was cut off is not taken back" in caplog.text
    caplog.clear()
