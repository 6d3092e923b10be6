"""Which volumes the kernel may have an entry of: those it has asked for, and all that a daemon before this one had.

Law: who answers with a volume's entry notes it before the answer, and before anything else has its turn: a volume that
nobody has noted was never seen, and the kernel need not be told that it is gone. The kernel knows names, and serials
tell which volume had one: with a catalogue that is new, an old view may have any name.
"""

ALL = 1 << 63


class Shown:
    """Serials. All before `first` count as shown; `ALL` counts every one."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._noted = set[int]()

    def note(self, serial: int) -> None:
        """The kernel is about to have an entry of it."""
        if serial >= self._first:
            self._noted.add(serial)

    def note_all(self, last: int) -> None:
        """The kernel is about to have an entry of each one up to this, in a listing: which may be a million."""
        if last >= self._first:
            self._first = last + 1
            self._noted = {serial for serial in self._noted if serial > last}

    def forget(self, serial: int) -> bool:
        """The volume is gone; returns whether the kernel may still have an entry of it."""
        if serial < self._first:
            return True
        there = serial in self._noted
        self._noted.discard(serial)
        return there
