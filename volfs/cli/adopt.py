"""`volfs adopt DIR`: a Docker data root becomes a volfs root once, without serving it."""

import logging
import os
from pathlib import Path

import click

from volfs.cli.output import complain, say


@click.command()
@click.argument("directory", metavar="DIR")
def adopt(directory: str) -> None:
    """Takes over a Docker data root that no dockerd runs on, in place.

    The volumes stay where they are; their labels, options, drivers and users become volfs'. Docker's own files are not
    written. `volfs serve --root DIR --adopt` does the same and goes on to serve.
    """
    from volfs.adopt.adopt import adopt as take_over
    from volfs.adopt.mark import Standing, standing
    from volfs.dockerroot import owner
    from volfs.driver.local import LocalDriver
    from volfs.errors import Invalid
    from volfs.keeper.claims import lock_root, resolved
    from volfs.logs import configure

    configure("text")
    logging.getLogger("volfs").setLevel(logging.WARNING)
    logging.getLogger("volfs.adopt").setLevel(logging.CRITICAL)  # what it says is said below
    root = Path(resolved(str(Path(directory).absolute())))
    if not (root / "volumes").is_dir():
        raise Invalid(f"{root} is no Docker data root: it has no directory called volumes")
    claimed = owner.claim(root)
    lock = lock_root(str(root), "")
    try:
        now = standing(root)
        if not now.due:
            why = "was adopted already" if now is Standing.DONE else "has nothing of Docker's"
            say(f"{root} {why}: nothing to do")
            return
        driver = LocalDriver(root)
        driver.prepare()
        store, _, adopted = take_over(driver, "")
        store.close()
    finally:
        for descriptor in (lock, claimed):
            if descriptor is not None:
                os.close(descriptor)
    for finding in adopted.findings:
        complain(f"{finding.code}: {finding.text}")
    for name, containers in adopted.missing.items():
        needed = f"needed by {', '.join(containers)}" if containers else "which no container needs"
        complain(f"volume {name} is missing, {needed}: put {root}/volumes/{name} back, and it is there again")
    say(
        f"adopted {adopted.directories + adopted.plugins + len(adopted.missing)} volumes of {root}: "
        f"{adopted.directories} with their data, {adopted.plugins} of plugins, {len(adopted.missing)} missing; "
        f"{adopted.users} times in use by containers"
    )
    say(f"next: volfs serve --root {root}")
