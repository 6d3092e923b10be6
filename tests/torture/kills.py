"""The daemon ended at each step of each operation, and what is there afterwards compared with what was answered.

first   the operation runs once, and its steps are counted
then    for each step: prepared, armed, asked; the daemon dies there, the keeper starts the next one
then    judged: answered means done; else each volume is as before or as after. Asked again, it is done
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.torture.operations import Operation
from tests.torture.steps import How, Steps
from tests.torture.world import LOST, TMPFS, Broken, Want, World

STANDING = {"standing": Want({"keep": "me"}, text="untouched"), "standing-too": Want(None, TMPFS)}
WRITES = ("write", "pwrite", "pwrite64", "writev", "pwritev", "send")


@dataclass(frozen=True)
class Cut:
    """Where an operation is cut off; the next daemon dies as well, at its step `again`, where that is not 0."""

    operation: Operation
    at: int
    step: str
    how: How
    again: int = 0

    def __str__(self) -> str:
        again = f", again at step {self.again}" if self.again else ""
        return f"{self.operation.name}, {self.how.name.lower().replace('_', ' ')} at step {self.at}, {self.step}{again}"


class Killed:
    """A world in which operations are cut off."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.steps = Steps(directory)
        self.world = World(directory / "world", *arguments, environment=self.steps.environment)
        for name, want in STANDING.items():
            self.world.make(name, want)
        self.cuts = 0
        self.longest = 0.0

    def close(self) -> None:
        """Takes everything away."""
        self.steps.disarm()
        self.world.close()

    def steps_of(self, operation: Operation) -> list[str]:
        """Carries it out once, whole; its steps, with those that come after its answer."""
        self._prepare(operation)
        self.steps.arm(self.world.served.daemon)
        operation.call(self.world)
        self.steps.settled()
        self.steps.disarm()
        self._judge(operation, answered=True)
        return self.steps.names()

    def cuts_of(self, operation: Operation) -> Iterator[Cut]:
        """Every way to cut it off."""
        for number, step in enumerate(self.steps_of(operation), 1):
            yield Cut(operation, number, step, How.BEFORE)
            yield Cut(operation, number, step, How.AFTER)
            if step in WRITES:
                yield Cut(operation, number, step, How.TORN)
            yield Cut(operation, number, step, How.WITH_PARENT)

    def cut(self, cut: Cut) -> None:
        """Cuts an operation off once, and judges. Raises Broken, saying where it was cut off."""
        try:
            self._prepare(cut.operation)
            answered = self._cut(cut)
            self._judge(cut.operation, answered=answered)
            cut.operation.call(self.world)
            self._judge(cut.operation, answered=True)
        except (AssertionError, OSError) as error:
            raise Broken(f"{cut}: {error}") from error

    def _prepare(self, operation: Operation) -> None:
        self.steps.disarm()
        if self.world.served.keeper.poll() is not None:  # something was broken, which is told already
            self.world.served.start()
        operation.prepare(self.world)
        self.world.check()

    def _cut(self, cut: Cut) -> bool:
        served = self.world.served
        ready = served.log().count(" ready ")
        self.steps.arm(served.daemon, cut.at, cut.how)
        began = time.monotonic()
        called = threading.Event()
        again = threading.Thread(target=self._strike_again, args=(cut, called))
        again.start()
        try:
            cut.operation.call(self.world)
            answered = True
        except LOST:
            answered = False
        except OSError:
            if cut.how is not How.WITH_PARENT:  # with its keeper the view goes as well
                raise
            answered = False
        finally:
            called.set()
            again.join()
        struck = self._struck or self.steps.settled()
        if struck and cut.how is How.WITH_PARENT:
            if not self._struck:
                self._start()
        elif struck:
            served.ready(ready + 1)
        self.steps.disarm()
        self.cuts += struck
        self.longest = max(self.longest, time.monotonic() - began)
        return answered

    def _strike_again(self, cut: Cut, called: threading.Event) -> None:
        """As soon as a daemon was ended, the next one is to end; without a keeper somebody has to start it."""
        while not (self.steps.struck or called.wait(0.005)):
            pass
        self._struck = self.steps.settled()
        if self._struck and cut.how is How.WITH_PARENT:
            self._start()
        elif self._struck and cut.again:
            self.steps.arm(-1, cut.again, spared=self.world.served.keeper.pid)

    def _start(self) -> None:
        self.world.served.keeper.wait()
        self.world.served.start()

    def _judge(self, operation: Operation, *, answered: bool) -> None:
        self.world.check()
        there = {name: self.world.found(name) for name in operation.after}
        for name, found in there.items():
            right = (operation.after[name],)
            right += () if answered else (operation.before[name], *operation.between)
            if found not in right:
                raise Broken(f"{name} is {found}, {'answered' if answered else 'unanswered'}, right is {right}")
        if operation.together and there not in (operation.after, operation.before):
            raise Broken(f"some are as before and others as after: {there}")
        self.check_standing()

    def check_standing(self) -> None:
        """The volumes that no operation is about are as they were."""
        for name, want in STANDING.items():
            if (found := self.world.found(name)) != want:
                raise Broken(f"{name} is {found}, nobody touched it")
