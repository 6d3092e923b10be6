"""The command line as a whole: which commands there are, and `--host`, which every one of them that asks takes."""

import importlib

import click

from volfs import __version__
from volfs.cli import volumes
from volfs.cli.arguments import DEFAULT_SOCKET

# Imported when they are used, not for every `volfs ls`.
_LATER = {
    "adopt": ("volfs.cli.adopt", "adopt"),
    "check": ("volfs.cli.check", "check"),
    "container": ("volfs.cli.containers", "container"),
    "df": ("volfs.cli.usage", "df"),
    "export": ("volfs.cli.export", "export"),
    "import": ("volfs.cli.importing", "import_"),
    "serve": ("volfs.cli.serve", "serve"),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_LATER])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LATER:
            return super().get_command(ctx, cmd_name)
        module, name = _LATER[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.option(
    "--host",
    metavar="SOCKET",
    envvar="VOLFS_HOST",
    default=DEFAULT_SOCKET,
    show_default=True,
    show_envvar=True,
    help="The daemon's socket: a path, or unix:///path. Also taken after the command.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def app(context: click.Context, host: str) -> None:
    """Keeps container volumes and shows them as files.

    \b
    volfs serve                  keep the volumes of this host and show them under /mnt/volfs
    volfs create db              make a volume; its files are in /mnt/volfs/db/_data
    volfs ls                     see them all
    volfs df                     see how much is in them
    volfs check                  see what is wrong, and what to do about it
    volfs container mounts ID    mount the volumes of a container that came from a Docker host
    """
    context.obj = host


for command in (volumes.create, volumes.ls, volumes.inspect, volumes.rm, volumes.prune):
    app.add_command(command)
