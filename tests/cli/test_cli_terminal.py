"""What a person sees who sits at a terminal."""

import os
import pty
import re
import subprocess
import sys

from tests.cli.fake_api import environment, one


def on_a_terminal(api, *words, typed=""):
    """(exit code, what the terminal shows, without colours); a terminal ends its lines with CR LF."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "volfs", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(VOLFS_HOST=api.socket, TERM="xterm-256color", COLUMNS="100"),
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # EIO: everybody at the other end has left
        pass
    os.close(ours)
    return process.wait(timeout=30), shown.decode()


def plain(shown):
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def test_ls_draws_a_table_with_colours(api):
    long = "v" * 255
    api.answers["GET", "/volumes"] = 200, {"Volumes": [one("db"), one("[red]x", "missing"), one(long)]}
    code, shown = on_a_terminal(api, "ls")
    assert code == 0
    assert "\x1b[31mmissing" in shown
    assert "─" in shown
    words = plain(shown).split()
    assert {"NAME", "USERS", "db", "[red]x"} <= set(words)
    assert plain(shown).count("v") == 255  # folded, not cut


def test_an_escape_sequence_in_an_answer_does_not_reach_the_terminal(api):
    api.answers["GET", "/volumes"] = 200, {"Volumes": [one("x1", Driver="\x1b]0;owned\x07")]}
    _, shown = on_a_terminal(api, "ls")
    assert "\x1b]0;" not in shown and "\\x1b]0;owned\\x07" in plain(shown)


def test_an_empty_list_says_how_to_make_the_first_volume(api):
    api.answers["GET", "/volumes"] = 200, {"Volumes": [], "Warnings": None}
    assert "volfs create NAME" in on_a_terminal(api, "ls")[1]
    assert "no volume matches" in on_a_terminal(api, "ls", "-f", "name=x")[1]


def test_prune_asks_and_takes_no_for_an_answer(api):
    for typed in "n\n", "\n", "\x04":
        code, shown = on_a_terminal(api, "prune", typed=typed)
        assert code == 1 and "[y/N]" in shown and "nothing was removed" in shown
    assert api.asked == []


def test_prune_asks_and_takes_yes_for_an_answer(api):
    api.answers["POST", "/volumes/prune"] = 200, {"VolumesDeleted": ["a1"], "SpaceReclaimed": 12}
    code, shown = on_a_terminal(api, "prune", "-a", typed="y\n")
    assert code == 0 and "every volume" in shown and "Total reclaimed space: 12B" in shown
