"""The parsers under atheris: bytes that reach something new are kept and changed further, until one is no value.

    python -m tests.torture.fuzz PARSER FILE…      reads files with one parser, as the campaign does: to see it again

Law: each parser has a process of its own, which its deadline ends; one text takes it PATIENCE seconds and ROOM
megabytes at most. What was found is kept outside of the campaign's directory, which goes.
"""

import hashlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from random import Random

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 10  # seconds; a parser takes milliseconds
ROOM = 2048  # megabytes
SHORTEST = 12.0  # seconds for a parser, some of which it needs to start: rather some of them than none properly
LONGEST = 1 << 16  # bytes of a text
MISSING = "atheris has no build for this Python or processor: PyPI has it for Python 3.11 to 3.13 on x86_64"
_RUNS = re.compile(r"^#(\d+)", re.MULTILINE)


@dataclass
class Fuzzed:
    """What a campaign did; `found` has a line for each text that no parser may answer so."""

    tried: dict[str, int] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{sum(self.tried.values())} texts for {len(self.tried)} parsers"


def is_possible() -> bool:
    """Whether atheris is there."""
    return find_spec("atheris") is not None


def campaign(place: Path, seed: int, deadline: float) -> Fuzzed:
    """Each parser for its share of the time, in an order of the seed's."""
    from tests.torture.parsers import PARSERS

    waiting = sorted(PARSERS)
    Random(seed).shuffle(waiting)
    done = Fuzzed()
    while waiting and (left := deadline - time.monotonic()) > SHORTEST / 2:
        name = waiting.pop()
        seconds = max(left / (len(waiting) + 1), min(SHORTEST, left))
        _one(name, PARSERS[name].seeds, place / f"{len(waiting)}", seed, seconds, done)
    return done


def _one(name: str, seeds: Sequence[bytes], place: Path, seed: int, seconds: float, done: Fuzzed) -> None:
    texts, artifacts = place / "texts", place / "artifacts"
    for directory in (texts, artifacts):
        directory.mkdir(parents=True)
    for number, text in enumerate(seeds):
        (texts / f"seed{number}").write_bytes(text)
    command = [
        sys.executable, "-m", "tests.torture.fuzz", "--hunt", name, str(texts), f"-artifact_prefix={artifacts}/",
        f"-seed={seed}", f"-timeout={PATIENCE}", f"-rss_limit_mb={ROOM}", f"-max_len={LONGEST}",
        f"-max_total_time={max(1, round(seconds - 4))}",
    ]  # fmt: skip
    with (place / "log").open("w+b") as log:
        ran = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            code = ran.wait(seconds + 60)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            ran.kill()
            ran.wait()
        log.seek(0)
        said = log.read().decode(errors="replace")
    done.tried[name] = max(map(int, _RUNS.findall(said)), default=0)
    if code != 0:
        done.found.append(_told(name, said, code, sorted(artifacts.iterdir())))


def _told(name: str, said: str, code: int | None, artifacts: Sequence[Path]) -> str:
    """One line: the parser, what it did, the text, and the command to see it again."""
    lines = [line for line in said.splitlines() if line.strip()]
    uncaught = lines.index(marks[0]) if (marks := [one for one in lines if "Uncaught Python exception" in one]) else -1
    why = (
        lines[uncaught + 1]
        if 0 <= uncaught < len(lines) - 1
        else next((line for line in lines if "ERROR: libFuzzer" in line), lines[-1] if lines else f"ended with {code}")
    )
    if not artifacts:
        return f"{name}: {why} (no text of it was kept)"
    text = artifacts[0].read_bytes()
    kept = Path(tempfile.gettempdir()) / f"volfs-fuzz-{hashlib.sha256(text).hexdigest()[:12]}"
    kept.write_bytes(text)
    again = f".venv/bin/python -m tests.torture.fuzz {shlex.quote(name)} {kept}"
    return f"{name}: {why.strip()}; again with: {again}"


def _reader(name: str) -> Callable[[bytes], None]:
    from tests.torture.parsers import PARSERS

    return PARSERS[name].try_on


def _hunt(name: str, arguments: Sequence[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["volfs"], enable_loader_override=False):
        read = _reader(name)
    atheris.Setup([sys.argv[0], *arguments], read)
    atheris.Fuzz()


def main(words: Sequence[str]) -> int:
    """Returns the exit code; an exception that must not be is its own message."""
    match words:
        case ["--hunt", name, *arguments]:
            _hunt(name, arguments)
        case [name, *files] if files:
            read = _reader(name)
            for file in files:
                began = time.monotonic()
                read(Path(file).read_bytes())
                print(f"{file}: a value or a refusal, after {time.monotonic() - began:.3f} s")
        case _:
            print("usage: python -m tests.torture.fuzz PARSER FILE…", file=sys.stderr)
            return os.EX_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
