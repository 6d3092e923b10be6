"""What a person at a terminal sees of a long transfer: of what, how much, how fast. In a pipe, nothing."""

import sys
import time

from volfs.cli.output import human_size, printable

_EVERY = 0.2  # seconds


class Progress:
    """One line on standard error, written over and over; gone when the block ends."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._began = self._last = time.monotonic()
        self._count = 0
        self._what = ""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def of(self, what: str) -> None:
        """What the bytes are of from now on."""
        self._what = what
        self._write(self.line())

    def moved(self, count: int) -> None:
        """So many bytes more."""
        self._count += count
        if self._shown and time.monotonic() - self._last >= _EVERY:
            self._write(self.line())

    def line(self) -> str:
        """`db   1.234GB   210.5MB/s`"""
        seconds = max(time.monotonic() - self._began, 0.001)
        return f"{printable(self._what)}   {human_size(self._count)}   {human_size(int(self._count / seconds))}/s"

    def _write(self, line: str) -> None:
        if not self._shown:
            return
        self._last = time.monotonic()
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()
