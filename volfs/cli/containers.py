"""`volfs container mounts, release`: the volumes of a container, mounted for a runtime and given back.

Law: the bundle is looked at before anything is mounted, and written whole or not at all.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from volfs.cli import answers, arguments
from volfs.cli.client import Client
from volfs.cli.output import complain, say, say_json, say_table
from volfs.errors import HostError, Invalid, NotFound

COLUMNS = ("DESTINATION", "TYPE", "SOURCE", "OPTIONS")
_OWNER = re.compile("([0-9]{1,10}):([0-9]{1,10})", re.ASCII)


@click.group()
def container() -> None:
    """What the containers of a Docker data root need of this host."""


def _owner(_context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, int] | None:
    found = _OWNER.fullmatch(text) if text is not None else None
    if text is not None and found is None:
        raise click.BadParameter(f'"{text}" is not UID:GID', param=option)
    return (int(found[1]), int(found[2])) if found else None


@container.command()
@click.argument("which", metavar="CONFIG_DIR_OR_ID")
@click.option("--bundle", metavar="DIR", help="Write them into DIR/config.json, an OCI runtime spec.")
@click.option(
    "--owner",
    metavar="UID:GID",
    callback=_owner,
    help="Who the container's root is on this host.  [default: as the bundle's spec maps it, else 0:0]",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), help="[default: json; with --bundle one line]")
@arguments.host_option
@click.pass_obj
def mounts(host: str, which: str, bundle: str | None, owner: tuple[int, int] | None, form: str | None) -> int:
    """Mounts the volumes of a container that Docker made, and prints what its runtime is to mount.

    CONFIG_DIR holds its config.v2.json and hostconfig.json; an ID, or its beginning, is looked for in the daemon's root
    and then in /var/lib/docker. The container is a user of its volumes until "volfs container release".

    \b
    runc spec --bundle web && tar -C web/rootfs -xf image.tar
    volfs container mounts /srv/old/containers/3f2a… --bundle web
    runc run --bundle web web
    """
    from volfs.container import bundle as bundles

    spec = _read(Path(bundle)) if bundle is not None else None
    body = {**_wanted(which), "Owner": owner or (bundles.root_of(spec) if spec is not None else (0, 0))}
    answer = Client(arguments.socket_path(host)).request("POST", "/volfs/containers/mounts", body=body)
    found = answers.set_up(answer)
    for warning in found.warnings:
        complain(f"warning: {warning}")
    if bundle is not None and spec is not None:
        _write(Path(bundle), bundles.text_of(bundles.with_mounts(spec, found.mounts, found.propagation)))
    if form == "table":
        say_table(COLUMNS, [answers.mount_row(one) for one in found.mounts])
    elif form == "json" or bundle is None:
        say_json(found.mounts)
    else:
        say(f"{bundle}/config.json: {len(found.mounts)} mounts of container {found.container}")
    return 0


@container.command()
@click.argument("which", metavar="ID")
@arguments.host_option
@click.pass_obj
def release(host: str, which: str) -> int:
    """Gives back the volumes that were mounted for a container, and prints their names.

    ID may be the beginning of one. A container that has none is no error.
    """
    path = "/volfs/containers/" + quote(which, safe="")
    found = answers.released(Client(arguments.socket_path(host)).request("DELETE", path))
    for warning in found.warnings:
        complain(f"warning: {warning}")
    if found.volumes:
        say("\n".join(found.volumes))
    else:
        complain(f"container {which} has no volume of this daemon: nothing to release")
    return 0


def _wanted(which: str) -> dict[str, Any]:
    if "/" in which or Path(which).is_dir():
        return {"Directory": os.path.abspath(which)}  # noqa: PTH100 (a symlink in it may be meant)
    return {"Id": which}


def _read(bundle: Path) -> dict[str, Any]:
    from volfs.container import bundle as bundles

    path = bundle / "config.json"
    try:
        return bundles.parse(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(f'{path} does not exist: make one with "runc spec --bundle {bundle}"') from None
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}", error.errno) from error
    except Invalid as error:
        raise Invalid(f"{path} {error}; it was left as it is") from None


def _write(bundle: Path, text: bytes) -> None:
    path = (bundle / "config.json").resolve()
    new = path.with_name(f".config.json-{os.urandom(8).hex()}")
    try:
        status = path.stat()
        with new.open("xb") as file:
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise HostError(
            f"{path} cannot be written: {error.strerror}; the container's volumes are mounted: try again, "
            "or give them back with volfs container release",
            error.errno,
        ) from error
