"""`volfs check`: what is wrong with a root, and `--repair`, which mends what can be mended without loss.

Exit code: 0 nothing is wrong, 1 something is, 125 it could not be looked at, or not be repaired now.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volfs.cli.output import aligned, complain, printable, say, say_json
from volfs.settings import PLUGIN_PATH

if TYPE_CHECKING:
    from volfs.check.problem import Problem

WRONG, REFUSED = 1, 125


@click.command()
@click.option("--root", default="/var/lib/volfs", envvar="VOLFS_ROOT", show_default=True, help="volfs' or Docker's.")
@click.option("--repair", is_flag=True, help="Mend what can be mended without loss; no daemon may run on the root.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--plugin-path",
    multiple=True,
    default=PLUGIN_PATH,
    envvar="VOLFS_PLUGIN_PATH",
    help="Where the volume plugins of others are found; repeatable.",
)
def check(root: str, repair: bool, form: str, plugin_path: tuple[str, ...]) -> int:
    """Says what is wrong with a root, what it means and what to do, whether a daemon runs on it or not.

    Exit code: 0 nothing, 1 something is wrong, 125 it could not be looked at.
    """
    from volfs.check.session import Session
    from volfs.errors import VolfsError
    from volfs.keeper.claims import resolved

    logging.getLogger("volfs").setLevel(logging.CRITICAL)  # what happens is said here, step by step
    session = Session(Path(resolved(str(Path(root).absolute()))), plugin_path)
    found = session.problems()
    refused = ""
    if repair and found:
        try:
            found = session.repair(found, lambda step: say(step) if form == "table" else complain(step), complain)
        except VolfsError as error:
            refused = str(error)
    _show(found, session.root, form)
    if refused:
        complain(refused)
        return REFUSED
    return WRONG if found else 0


def _show(found: "list[Problem]", root: Path, form: str) -> None:
    if form == "json":
        say_json([_object(one) for one in found])
    elif found:
        say("\n".join(_lines(found)))
    else:
        say(f"nothing is wrong with {root}")


def _lines(found: "list[Problem]") -> Iterator[str]:
    """Two lines a problem: what it is, in columns, and what to do."""
    rows = [[one.severity.value, one.code, printable(one.volume) or "-", printable(one.meaning)] for one in found]
    for row, one in zip(aligned(rows).split("\n"), found, strict=True):
        yield row
        yield f"{'':10}{printable(one.remedy)}"


def _object(one: "Problem") -> dict[str, object]:
    return {
        "Severity": one.severity.value,
        "Code": one.code,
        "Volume": one.volume,
        "Path": one.path,
        "Meaning": one.meaning,
        "Remedy": one.remedy,
        "Repairable": one.repair is not None,
    }
