"""Notes of plugins' volumes, written by several threads at once."""

from pathlib import Path

from volfs.driver.local import Description
from volfs.driver.notes import Notes

NOTE = Description(1_700_000_000, "fake", {"a": "b"}, None)


def test_two_that_make_the_first_note_at_once_both_write_theirs(tmp_path, monkeypatch):
    """One looks before the other has made the directory, and makes it afterwards."""
    Notes(tmp_path).write("aa", NOTE)
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    Notes(tmp_path).write("bb", NOTE)
    monkeypatch.undo()
    assert Notes(tmp_path).names() == ["aa", "bb"]
    assert Notes(tmp_path).read("bb") == NOTE
