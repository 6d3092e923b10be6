"""The operations that are cut off at each of their steps: how the world is before, how one is asked for, what is right.

To add one: an `Operation` in `OPERATIONS`. `before` and `after` are the volumes that it is about; while it is not
answered each of them may be either. `call` raises one of LOST where the answer did not come, and is asked again. Those
of `volfs import` are in imports.py.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tests.conftest import until
from tests.torture.world import TMPFS, Broken, Want, World

Volumes = Mapping[str, Want | None]
ANONYMOUS = "com.docker.volume.anonymous"

PLAIN = Want({"team": "web", "empty": ""}, text="kept")
OPTIONS = Want({"team": "db"}, TMPFS)
OF_PLUGIN = Want({"team": "far"}, {"a": "b"}, "fake")


@dataclass(frozen=True)
class Operation:
    """`between`: what else may be found of a volume before somebody asked again. `touched`: the view was looked at.
    `together`: all volumes are as before or all as after.
    """

    name: str
    before: Volumes
    after: Volumes
    call: Callable[[World], None]
    between: tuple[Want, ...] = ()
    touched: bool = False
    together: bool = False

    def prepare(self, world: World) -> None:
        """Makes it so that the operation can be asked for."""
        for name, want in self.before.items():
            if want is None:
                world.gone(name)
            else:
                world.make(name, want)
        if self.touched:
            for name in self.before:
                os.stat(world.served.view / name / "_data")
        os.listdir(world.served.view)
        world.served.view.joinpath("aa").exists()


def _said(answer: tuple[int, object], *right: int) -> None:
    if answer[0] not in right:
        raise Broken(f"answered {answer}")


def _create(name: str, want: Want) -> Callable[[World], None]:
    return lambda world: _said(world.ask("POST", "/volumes/create", want.request(name)), 201)


def _remove(name: str) -> Callable[[World], None]:
    """Asked again it may be gone: then that is the answer."""
    return lambda world: _said(world.ask("DELETE", f"/volumes/{name}"), 204, 404)


def _plug(call: str, name: str, user: str) -> Callable[[World], None]:
    return lambda world: _said(world.plug(call, Name=name, ID=user), 200)


def _touch(name: str) -> Callable[[World], None]:
    """Nobody who looks at the view is ever told that a daemon died."""

    def call(world: World) -> None:
        os.listdir(world.served.view / name / "_data")
        (world.served.view / name / "_data" / "touched").write_text("x")

    return call


def _expire(world: World) -> None:
    """Looked at, and then left alone until the bind is gone, and what was mounted for it."""
    os.stat(world.served.view / "aa" / "_data")
    until(lambda: not any("/aa/" in mount for mount in world.served.mounts()))


def _prune(world: World) -> None:
    _said(world.ask("POST", "/volumes/prune"), 200)


def _used(want: Want, *users: str) -> Want:
    return replace(want, users=frozenset(users))


LOOSE = Want({ANONYMOUS: ""}, text="nobody's")
FOUND = Want(None, None, "fake")  # the plugin has it, and volfs does not know yet that it was asked for
FORGOTTEN = replace(OF_PLUGIN, state="missing")  # the plugin has removed it, and was not heard

OPERATIONS = (
    Operation("create", {"aa": None}, {"aa": replace(PLAIN, text=None)}, _create("aa", PLAIN)),
    Operation("create with options", {"aa": None}, {"aa": OPTIONS}, _create("aa", OPTIONS)),
    Operation("create in a plugin", {"aa": None}, {"aa": OF_PLUGIN}, _create("aa", OF_PLUGIN), (FOUND,)),
    Operation("remove", {"aa": PLAIN}, {"aa": None}, _remove("aa")),
    Operation("remove what the view shows", {"aa": OPTIONS}, {"aa": None}, _remove("aa"), touched=True),
    Operation("remove in a plugin", {"aa": OF_PLUGIN}, {"aa": None}, _remove("aa"), (FORGOTTEN,), touched=True),
    Operation("mount", {"aa": OPTIONS}, {"aa": _used(OPTIONS, "c1")}, _plug("Mount", "aa", "c1")),
    Operation(
        "mount for a second",
        {"aa": _used(OPTIONS, "c1")},
        {"aa": _used(OPTIONS, "c1", "c2")},
        _plug("Mount", "aa", "c2"),
        touched=True,
    ),
    Operation("mount in a plugin", {"aa": OF_PLUGIN}, {"aa": _used(OF_PLUGIN, "c1")}, _plug("Mount", "aa", "c1")),
    Operation("unmount", {"aa": _used(OPTIONS, "c1")}, {"aa": OPTIONS}, _plug("Unmount", "aa", "c1")),
    Operation(
        "unmount for one of two",
        {"aa": _used(OPTIONS, "c1", "c2")},
        {"aa": _used(OPTIONS, "c2")},
        _plug("Unmount", "aa", "c1"),
        touched=True,
    ),
    Operation("unmount in a plugin", {"aa": _used(OF_PLUGIN, "c1")}, {"aa": OF_PLUGIN}, _plug("Unmount", "aa", "c1")),
    Operation("touch", {"aa": PLAIN}, {"aa": PLAIN}, _touch("aa")),
    Operation("touch of options", {"aa": OPTIONS}, {"aa": OPTIONS}, _touch("aa")),
    Operation("touch in a plugin", {"aa": OF_PLUGIN}, {"aa": OF_PLUGIN}, _touch("aa")),
    Operation("prune", {"a1": LOOSE, "a2": LOOSE, "aa": PLAIN}, {"a1": None, "a2": None, "aa": PLAIN}, _prune),
)

# For a world with a short --idle.
EXPIRY = (
    Operation("expire", {"aa": PLAIN}, {"aa": PLAIN}, _expire),
    Operation("expire of options", {"aa": OPTIONS}, {"aa": OPTIONS}, _expire),
    Operation("expire in a plugin", {"aa": OF_PLUGIN}, {"aa": OF_PLUGIN}, _expire),
)
