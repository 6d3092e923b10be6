"""Imports that are cut off: the daemon at each step of showing what was imported, and the importer at each of its own.

Law: of an archive's plain volumes all are there, whole, or none is, whoever dies. One that died itself leaves nothing
after the next start.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

from tests.archive.archives import directory, entry, manifest, member, sealed
from tests.conftest import PROJECT
from tests.torture.kills import Killed
from tests.torture.operations import FORGOTTEN, FOUND, OF_PLUGIN, OPTIONS, PLAIN, Operation
from tests.torture.steps import How
from tests.torture.world import TMPFS, Broken, Want, World

LABELLED = Want({"team": "two"}, text="also kept")
TAKEN, FAILED = 2, 125  # exit codes of `volfs import`
GONE = ("ended before it answered", "went away meanwhile", "no daemon on")  # what it says where the daemon died
PLUGINS = Want(OF_PLUGIN.labels, OF_PLUGIN.options, "fake", text="far")
NONE = {"aa": None, "bb": None}
BOTH = {"aa": PLAIN, "bb": LABELLED}


@dataclass(frozen=True)
class Import:
    """`volfs import` of these volumes, as the call of an operation."""

    volumes: tuple[tuple[str, Want], ...]

    def archive(self, world: World) -> Path:
        """An archive of `volfs export`'s shape."""
        said = [
            entry(name, Driver=one.driver, Labels=one.labels, Options=one.options, Data=one.text is not None)
            for name, one in self.volumes
        ]
        body = manifest(*said)
        for name, one in self.volumes:
            if one.text is not None:
                body += directory(f"volumes/{name}/") + member(f"volumes/{name}/file", data=one.text.encode())
        path = world.directory / "archive.tar"
        path.write_bytes(sealed(body))
        return path

    def start(self, world: World, **environment: str) -> "Popen[str]":
        """The importer, running."""
        command = [sys.executable, "-m", "volfs", "--host", str(world.served.socket), "import", self.archive(world)]
        variables = {**os.environ, "PYTHONPATH": str(PROJECT), **environment}
        return Popen(command, env=variables, cwd="/", stdout=DEVNULL, stderr=PIPE, text=True)

    def __call__(self, world: World) -> None:
        """Asked again, its volumes may be there; one of a plugin perhaps without its data, which a person would see."""
        if self._run(world) == TAKEN and any(one.driver != "local" for _, one in self.volumes):
            for name, _ in self.volumes:
                world.gone(name)
            self._run(world)

    def _run(self, world: World) -> int:
        """Raises ConnectionError where it says that the daemon went."""
        with self.start(world) as process:
            said = process.communicate(timeout=60)[1]
        if process.returncode == FAILED and any(one in said for one in GONE):
            raise ConnectionResetError(said)
        if process.returncode not in (0, TAKEN):
            raise Broken(f"the import ended with {process.returncode}: {said}")
        return process.returncode


IMPORTS = (
    Operation("import", NONE, BOTH, Import(tuple(BOTH.items())), together=True),
    Operation("import with options", {"aa": None}, {"aa": OPTIONS}, Import((("aa", OPTIONS),))),
    Operation(
        "import into a plugin",
        {"aa": None},
        {"aa": PLUGINS},
        Import((("aa", PLUGINS),)),
        (FOUND, FORGOTTEN, OF_PLUGIN),  # made and not filled, or half taken back, by one that has no daemon any more
    ),
)


class Importers:
    """Importers that die, in the world of `killed`, whose daemon does not."""

    def __init__(self, killed: Killed) -> None:
        self.killed, self.cuts = killed, 0
        self._import = Import((*BOTH.items(), ("cc", Want({"team": "db"}, TMPFS))))
        self._before: dict[str, Want | None] = {**NONE, "cc": None}
        self._after = dict(self._import.volumes)

    def steps_of(self) -> list[str]:
        """What it does when it is not cut off."""
        self._run(0, How.BEFORE)
        return self.killed.steps.names()

    def cut(self, at: int, how: How) -> None:
        """Cuts one off, has a daemon start, and judges. Raises Broken."""
        try:
            self._run(at, how)
            self._judge()
        except (AssertionError, OSError) as error:
            raise Broken(f"importer, {how.name.lower()} at step {at}: {error}") from error

    def _run(self, at: int, how: How) -> None:
        world, steps = self.killed.world, self.killed.steps
        for name in self._before:
            world.gone(name)
        world.check()
        with self._import.start(world, **steps.environment) as process:
            steps.arm(process.pid, at, how)
            process.communicate(timeout=60)
        struck = steps.struck
        steps.disarm()
        self.cuts += struck
        if struck != (process.returncode != 0):
            raise Broken(f"the importer ended with {process.returncode}")

    def _judge(self) -> None:
        world = self.killed.world
        ready = world.served.log().count(" ready ")
        world.served.kill_daemon()
        world.served.ready(ready + 1)
        world.check()
        found = {name: world.found(name) for name in self._after}
        for name, one in found.items():
            if one not in (None, self._after[name]):
                raise Broken(f"{name} is {one}, right is {self._after[name]} or nothing")
        if (found["aa"] is None) != (found["bb"] is None):
            raise Broken(f"of two that come together there is {found}")
        self.killed.check_standing()
