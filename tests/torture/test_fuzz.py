"""What the campaign says of a text that no parser may answer so, and where it cannot fuzz at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.torture import __main__ as torture
from tests.torture import fuzz
from tests.torture.parsers import PARSERS

CRASH = """
INFO: Seed: 1
 === Uncaught Python exception: ===
AssertionError: it has no end
Traceback (most recent call last):
SUMMARY: libFuzzer: fuzz target exited
"""


def told(tmp_path, said, code):
    text = tmp_path / "crash-1"
    text.write_bytes(b'{"a":\xff')
    return fuzz._told("opts.json", said, code, [text])


def test_a_crash_is_a_line_with_the_parser_the_reason_and_a_command_that_reads_the_text_again(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz.tempfile, "gettempdir", lambda: str(tmp_path))
    line = told(tmp_path, CRASH, 77)
    assert line.startswith(
        "opts.json: AssertionError: it has no end; again with: .venv/bin/python -m tests.torture.fuzz "
    )
    words = line.partition("again with: ")[2].split()
    assert Path(words[-1]).read_bytes() == b'{"a":\xff'
    ran = subprocess.run([sys.executable, *words[1:]], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, "a value or a refusal" in ran.stdout) == (0, True), ran.stderr


@pytest.mark.parametrize(
    "said", ["==5== ERROR: libFuzzer: timeout after 10 seconds\n#12 DONE\n", "Segmentation fault", ""]
)
def test_what_ends_without_an_exception_is_told_too(tmp_path, monkeypatch, said):
    monkeypatch.setattr(fuzz.tempfile, "gettempdir", lambda: str(tmp_path))
    assert (said.strip().split("\n")[0] or "ended with -11") in told(tmp_path, said, -11)


def test_each_parser_gets_its_share_and_the_seed_says_which_come_first(tmp_path, monkeypatch):
    shares = []
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(fuzz.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(fuzz, "_one", lambda name, seeds, place, seed, seconds, done: shares.append((name, seconds)))
    fuzz.campaign(tmp_path, 1, 20 * len(PARSERS))
    assert sorted(name for name, _ in shares) == sorted(PARSERS)
    assert all(fuzz.SHORTEST <= seconds <= 21 for _, seconds in shares)
    few = [name for name, _ in shares][:3]
    shares.clear()
    clock = iter(range(0, 10_000, 20))
    fuzz.campaign(tmp_path, 1, 50)
    assert [name for name, _ in shares] == few


def test_where_there_is_no_fuzzer_the_campaign_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "is_possible", lambda: False)
    turn = torture.Turn(tmp_path, 1, 0.0)
    torture.parsers(turn)
    assert turn.figures.startswith("not done: atheris has no build")
