"""`volfs create, ls, inspect, rm, prune`: Docker's volume commands over the daemon's API.

Law: several names are several requests; one that fails is told on standard error, the others go on, and the worst code
is the exit code (see `__main__`).
"""

import sys
from urllib.parse import quote

import click

from volfs.cli import answers, arguments
from volfs.cli.client import ApiError, Client
from volfs.cli.output import complain, human_size, on_terminal, say, say_json, say_table

FAILED = 125
MISSING = 1
IN_USE = 2
CANCELLED = 1

COLUMNS = ("NAME", "DRIVER", "STATE", "USERS", "CREATED")
_CODES = {404: MISSING, 409: IN_USE}


@click.command()
@click.argument("name", required=False, default="")
@click.option("-d", "--driver", default="", help="Who keeps the data.  [default: local]")
@click.option("-o", "--opt", "options", multiple=True, metavar="K=V", help="An option for the driver; repeatable.")
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help="A label; repeatable.")
@arguments.host_option
@click.pass_obj
def create(host: str, name: str, driver: str, options: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Makes a volume and prints its name; without NAME the daemon chooses one.

    A volume that exists already stays as it is, and that is no error.

    \b
    volfs create db
    volfs create -o type=tmpfs -o device=tmpfs -o o=size=100m scratch
    """
    body = {
        "Name": name,
        "Driver": driver,
        "DriverOpts": arguments.pairs("option", options),
        "Labels": arguments.pairs("label", labels, bare=True),
    }
    answer = _client(host).request("POST", "/volumes/create", body=body)
    say(str(answers.volume(answer)["Name"]))


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@click.option(
    "-f",
    "--filter",
    "words",
    multiple=True,
    metavar="FILTER",
    help="name=…, driver=…, label=KEY[=VALUE] or dangling=true|false; repeatable.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@arguments.host_option
@click.pass_obj
def ls(host: str, quiet: bool, words: tuple[str, ...], form: str) -> None:
    """Lists volumes: a table on a terminal, aligned text in a pipe."""
    query = arguments.query(arguments.filters(words))
    volumes, warnings = answers.listing(_client(host).request("GET", "/volumes", query))
    for warning in warnings:
        complain(f"warning: {warning}")
    if quiet:
        if volumes:
            say("\n".join(one["Name"] for one in volumes))
    elif form == "json":
        say_json(volumes)
    elif not volumes and on_terminal():
        say("no volume matches" if query else "no volumes yet: make the first one with `volfs create NAME`")
    else:
        say_table(COLUMNS, [answers.row(one) for one in volumes])


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@arguments.host_option
@click.pass_obj
def inspect(host: str, names: tuple[str, ...]) -> int:
    """Prints all that is known about volumes, as a JSON array."""
    client, found, worst = _client(host), [], 0
    for name in names:
        try:
            found.append(answers.volume(client.request("GET", _path(name))))
        except ApiError as error:
            complain(str(error))
            worst = max(worst, MISSING if error.status == 404 else FAILED)
    say_json(found)
    return worst


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-f", "--force", is_flag=True, help="A volume that is not there is no error.")
@arguments.host_option
@click.pass_obj
def rm(host: str, names: tuple[str, ...], force: bool) -> int:
    """Removes volumes and their data, and prints the names of those that went.

    Exit code: 1 there was none, 2 somebody uses it, 125 anything else; the highest one of several.
    """
    client, worst = _client(host), 0
    for name in names:
        try:
            client.request("DELETE", _path(name), {"force": "1"} if force else None)
            say(name)
        except ApiError as error:
            complain(str(error))
            worst = max(worst, _CODES.get(error.status, FAILED))
    return worst


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also volumes with a name of their own.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "words", multiple=True, metavar="FILTER", help="label=… or label!=…; repeatable.")
@arguments.host_option
@click.pass_obj
def prune(host: str, everything: bool, force: bool, words: tuple[str, ...]) -> int:
    """Removes volumes that nobody uses, and their data: the anonymous ones, or with -a all of them."""
    values = arguments.filters(words)
    if everything:
        values.setdefault("all", []).append("true")
    if not force and not _agreed(everything):
        complain("nothing was removed")
        return CANCELLED
    deleted, size = answers.pruned(_client(host).request("POST", "/volumes/prune", arguments.query(values)))
    say("\n".join([*deleted, f"Total reclaimed space: {human_size(size)}"]))
    return 0


def _client(host: str) -> Client:
    return Client(arguments.socket_path(host))


def _path(name: str) -> str:
    return "/volumes/" + quote(name, safe="", errors="surrogateescape")


def _agreed(everything: bool) -> bool:
    """Asks on the terminal; raises UsageError where there is none to ask on."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("prune asks before it removes anything; there is no terminal here, so say --force")
    which = "every volume" if everything else "every anonymous volume"
    click.echo(f"This removes {which} that nobody uses, with its data. Go on? [y/N] ", nl=False, err=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
