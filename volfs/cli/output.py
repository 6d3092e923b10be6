"""How results reach people and pipes: lines, JSON, tables and complaints.

Law: what we write is whole or not at all, never an escape sequence from a volume's name or label, and a reader who has
left (`volfs ls | head -1`) ends the command without a word.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from volfs.errors import HostError

_STEPS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_COLOURS = {"missing": "red", "damaged": "red", "unknown": "yellow"}


class Gone(Exception):
    """Nobody reads our output any more."""


def on_terminal() -> bool:
    """Whether a person is looking at standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def say(text: str) -> None:
    """Writes a line to standard output and makes sure that it is out; raises Gone."""
    _write(sys.stdout, text)


def complain(text: str) -> None:
    """Writes one line to standard error."""
    complain_as_is(f"volfs: {printable(text)}")


def complain_as_is(text: str) -> None:
    """Writes text of our own making to standard error, which may be several lines."""
    _write(sys.stderr, text)


def say_json(value: object) -> None:
    """One JSON document, indented as `docker inspect` does it; everything beyond ASCII is escaped."""
    say(json.dumps(value, indent=4))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with lines and colours on a terminal, the same columns as aligned text anywhere else."""
    shown = [[printable(cell) for cell in row] for row in rows]
    if on_terminal():
        _rich_table(columns, shown)
    else:
        say(aligned([list(columns), *shown]))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text in which every column starts at the same place, three spaces after the widest cell before it."""
    widths = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def printable(text: str) -> str:
    """`text` with everything escaped that moves a cursor or breaks a line."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def human_size(size: int) -> str:
    """Bytes with four digits and a decimal unit, as Docker's CLI writes them: `1.049MB`."""
    value, step = float(size), 0
    while value >= 1000 and step < len(_STEPS) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.4g}{_STEPS[step]}"


def _rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    console = Console()
    with console.capture() as drawn:
        console.print(table)
    say(drawn.get().rstrip("\n"))


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None or stream.closed:  # None: it was closed when Python started
        return
    rest = memoryview((text + "\n").encode(stream.encoding, "backslashreplace"))
    try:
        while rest:  # with PYTHONUNBUFFERED a write may be a short one
            rest = rest[stream.buffer.write(rest) :]
        stream.flush()
    except OSError as error:
        # What is still buffered must not fail again when the interpreter flushes it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if isinstance(error, BrokenPipeError):
            raise Gone from None
        raise HostError(f"the output cannot be written: {error.strerror}", error.errno) from error
