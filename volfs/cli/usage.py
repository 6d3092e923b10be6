"""`volfs df`: how much is in the volumes, with a line that moves while they are measured.

Law: progress goes to a terminal on standard error only, and is gone when the table comes. A volume whose figure could
not be renewed shows its last one, and why on standard error.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from volfs.cli import answers, arguments
from volfs.cli.client import PAUSE, TRIES, Client, Ended
from volfs.cli.output import complain, human_size, say, say_json, say_table

COLUMNS = ("NAME", "SIZE", "ALLOCATED", "FILES", "USERS", "MEASURED")
MISSING = 1
_CLEAR = "\r\x1b[K"
_BAR = 24  # characters


class Sums(NamedTuple):
    """All volumes together."""

    volumes: int
    size: int
    allocated: int
    files: int
    unknown: int


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@click.option("--cached", is_flag=True, help="The last figures, at once; nothing is measured.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@arguments.host_option
@click.pass_obj
def df(host: str, names: tuple[str, ...], quiet: bool, cached: bool, form: str) -> int:
    """Measures volumes, all without a NAME, and lists them with the biggest first.

    SIZE is what the files say, ALLOCATED what they take on the disk; a file with several names counts once. A volume
    with mount options is measured while it is mounted; otherwise its last figure is shown. Ctrl-C only ends the
    waiting: the daemon goes on and remembers the figures.
    """
    query = [("name", name) for name in names] + ([("cached", "1")] if cached else [])
    volumes, code = _asked(Client(arguments.socket_path(host)), query)
    volumes.sort(key=lambda one: (-answers.measure(one).size, str(one["Name"])))
    if quiet:
        if volumes:
            say("\n".join(one["Name"] for one in volumes))
    elif form == "json":
        say_json(volumes)
    elif volumes or not names:
        _table(volumes)
    return code


def _asked(client: Client, query: Sequence[tuple[str, str]]) -> tuple[list[answers.Volume], int]:
    """Asks again where the daemon was replaced meanwhile, as for everything that changes nothing."""
    for _ in range(TRIES - 1):
        try:
            return _followed(client, query)
        except Ended:
            time.sleep(PAUSE)
    return _followed(client, query)


def _followed(client: Client, query: Sequence[tuple[str, str]]) -> tuple[list[answers.Volume], int]:
    """The volumes of a whole answer, and the exit code."""
    volumes: list[answers.Volume] = []
    problems: list[str] = []
    code, whole, progress = 0, False, ProgressLine()
    try:
        for line in client.lines("/volfs/usage", query):
            answer = answers.line(line)
            if "End" in answer:
                whole = True
            elif "Progress" in answer:
                progress.show(answers.progress(answer["Progress"]))
            elif "Error" in answer:
                problems.append(str(answer["Error"]))
                code = MISSING
            else:
                volumes.append(answers.volume(answer))
                if "Warning" in answer:
                    problems.append(f"warning: {answer['Name']} is not measured: {answer['Warning']}")
    finally:
        progress.clear()
    if not whole:
        raise client.ended()
    for problem in problems:
        complain(problem)
    return volumes, code


def _table(volumes: Sequence[Mapping[str, Any]]) -> None:
    rows = []
    for one in volumes:
        found = answers.measure(one)
        known = found.size >= 0
        rows.append(
            (
                str(one["Name"]),
                human_size(found.size) if known else "-",
                human_size(found.allocated) if known else "-",
                str(found.files) if known else "-",
                str(found.users),
                found.measured,
            )
        )
    say_table(COLUMNS, rows)
    say(total_line(sums([answers.measure(one) for one in volumes])))


def sums(measures: Sequence[answers.Measure]) -> Sums:
    """What is known, added up. Pure."""
    known = [one for one in measures if one.size >= 0]
    return Sums(
        len(measures),
        sum(one.size for one in known),
        sum(one.allocated for one in known),
        sum(one.files for one in known),
        len(measures) - len(known),
    )


def total_line(found: Sums) -> str:
    """`3 volumes, 1.2GB in 34 files, 1.3GB on the disk`. Pure."""
    line = f"{_count(found.volumes, 'volume')}, {human_size(found.size)} in {_count(found.files, 'file')}"
    line += f", {human_size(found.allocated)} on the disk"
    return line + (f"; {found.unknown} without a figure" if found.unknown else "")


def progress_line(found: answers.Progress, seconds: float, columns: int) -> str:
    """A bar, volumes, bytes and files a second, not longer than a line of the terminal. Pure."""
    filled = _BAR * found.done // found.total if found.total else 0
    rate = f", {found.files / seconds:,.0f} files/s" if seconds >= 1 else ""
    line = f"[{'#' * filled}{'.' * (_BAR - filled)}] {found.done} of {_count(found.total, 'volume')}"
    return f"{line}, {human_size(found.size)}{rate}"[: columns - 1]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class ProgressLine:
    """The line on standard error; where that is no terminal, nothing."""

    def __init__(self) -> None:
        self._drawn = sys.stderr is not None and sys.stderr.isatty()
        self._began = time.monotonic()
        self._shown = False

    def show(self, found: answers.Progress) -> None:
        """Draws it anew."""
        if self._drawn:
            import shutil

            columns = shutil.get_terminal_size().columns
            self._write(_CLEAR + progress_line(found, time.monotonic() - self._began, columns))
            self._shown = True

    def clear(self) -> None:
        """Takes it away."""
        if self._shown:
            self._write(_CLEAR)
            self._shown = False

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # nobody sees it any more; the table's own trouble is told where it is written
            self._drawn = self._shown = False
