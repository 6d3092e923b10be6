"""One check of a root, from the look to the last repair.

Law: while somebody runs on the root nothing is written, and only what two looks in a row show is a problem. A repair
has the root to itself, and goes on until nothing is left that it can mend.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from volfs.check.look import look
from volfs.check.observation import Observation
from volfs.check.problem import Problem, Repair
from volfs.check.repair import carry_out, ordered
from volfs.check.rules import lasting, problems
from volfs.dockerroot import owner
from volfs.errors import Conflict, VolfsError
from volfs.keeper.claims import lock_root

PAUSE = 0.5  # seconds between two looks at a root that somebody works on: a create or a removal takes milliseconds
ROUNDS = 4  # what one repair uncovers the next one mends: a catalogue, then a mode in it

Say = Callable[[str], None]


class Session:
    """A root under examination; `plugin_path` is where this host's plugins are found."""

    def __init__(self, root: Path, plugin_path: tuple[str, ...]) -> None:
        self.root = root
        self._plugin_path = plugin_path

    def problems(self) -> list[Problem]:
        """What is wrong now. Raises as `look` does."""
        seen = self._look()
        found = problems(seen)
        if not seen.owner or not found:
            return found
        time.sleep(PAUSE)
        return lasting(found, problems(self._look()))

    def repair(self, found: list[Problem], say: Say, complain: Say) -> list[Problem]:
        """Mends what it can, saying every step, and returns what is still wrong. Raises Conflict where it may not."""
        with self._alone():
            for _ in range(ROUNDS):
                repairs = ordered(found)
                if not sum(self._mend(one, say, complain) for one in repairs):
                    break
                found = problems(self._look())
        return problems(self._look())

    def _mend(self, repair: Repair, say: Say, complain: Say) -> bool:
        try:
            for step in carry_out(self.root, repair):
                say(step)
        except VolfsError as error:
            complain(str(error))
            return False
        return True

    def _look(self) -> Observation:
        return look(self.root, self._plugin_path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps every daemon out. A Docker root that volfs has nothing to do with gets no lock file of volfs'."""
        seen = self._look()
        if seen.owner:
            raise Conflict(
                f"{self.root} is in use by {seen.owner}, so nothing was repaired: stop that first. A start of "
                "`volfs serve` mends by itself what restore can mend"
            )
        held = [owner.claim(self.root), None if seen.docker else lock_root(str(self.root), "")]
        try:
            yield
        finally:
            for descriptor in held:
                if descriptor is not None:
                    os.close(descriptor)
