"""`volfs serve`: reads and checks what the daemon is to do, then becomes the keeper.

Every option has an environment variable, for units and containers: VOLFS_ROOT, VOLFS_VIEW and so on.
"""

import grp
import os
import re
from dataclasses import replace
from pathlib import Path

import click

from volfs.cli import arguments
from volfs.settings import MAX_BINDS, PLUGIN_PATH, Settings

OFF = "none"
OBSERVED_VIEW = "/mnt/docker-volumes"


def _absolute(_context: click.Context, option: click.Parameter, path: str) -> str:
    if not path:
        raise click.BadParameter("an empty path", param=option)
    return os.path.abspath(path)  # noqa: PTH100 Path.absolute() would keep `..`, and the checks compare prefixes


def _paths(context: click.Context, option: click.Parameter, paths: tuple[str, ...]) -> tuple[str, ...]:
    if OFF not in paths:
        return tuple(_absolute(context, option, path) for path in paths)
    if len(paths) > 1:
        raise click.BadParameter(f'"{OFF}" switches them off and goes with no other', param=option)
    return ()


def _mode(_context: click.Context, option: click.Parameter, text: str) -> int:
    if not re.fullmatch("0?o?[0-7]{3}", text):
        raise click.BadParameter(f'"{text}" is not an octal mode such as 0750', param=option)
    return int(text.replace("o", ""), 8)


def _gid(_context: click.Context, option: click.Parameter, group: str | None) -> int:
    if group is None:
        return os.getegid()
    try:
        return int(group) if re.fullmatch("[0-9]{1,9}", group) else grp.getgrnam(group).gr_gid
    except KeyError:
        raise click.BadParameter(f'there is no group "{group}" on this host', param=option) from None


def _optional(context: click.Context, option: click.Parameter, path: str) -> str:
    return _absolute(context, option, path) if path else ""


def _observing(settings: Settings) -> Settings:
    """The settings of a daemon that observes: it has no volumes of its own, and so nothing for Docker to use."""
    for name in ("root", "adopt", "plugin_sockets", "plugin_path"):
        if _given(name):
            option = name.removesuffix("s").replace("_", "-")
            raise click.UsageError(f"--{option} does not go with --observe, which only shows what a Docker has")
    view = settings.view if _given("view") else OBSERVED_VIEW
    root = f"{settings.run_dir}/observed"
    return replace(settings, root=root, view=view, plugin_sockets=(), plugin_path=())


def _given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) in (
        click.core.ParameterSource.COMMANDLINE,
        click.core.ParameterSource.ENVIRONMENT,
    )


def _idle(_context: click.Context, _option: click.Parameter, text: str) -> float:
    return arguments.seconds(text)


@click.command(context_settings={"show_default": True})
@click.option("--root", default="/var/lib/volfs", envvar="VOLFS_ROOT", callback=_absolute, help="Where the data is.")
@click.option("--view", default="/mnt/volfs", envvar="VOLFS_VIEW", callback=_absolute, help="Where it is shown.")
@click.option(
    "--run-dir", default="/run/volfs", envvar="VOLFS_RUN_DIR", callback=_absolute, help="Where volfs.sock is made."
)
@click.option(
    "--plugin-socket",
    "plugin_sockets",
    multiple=True,
    default=["/run/docker/plugins/volfs.sock"],
    envvar="VOLFS_PLUGIN_SOCKET",
    callback=_paths,
    help=f"Where Docker or Podman finds the volume plugin; repeatable, {OFF} switches it off.",
)
@click.option(
    "--plugin-path",
    multiple=True,
    default=PLUGIN_PATH,
    envvar="VOLFS_PLUGIN_PATH",
    callback=_paths,
    help=f"Where the volume plugins of others are found; repeatable, {OFF} for no plugins.",
)
@click.option(
    "--group", "gid", envvar="VOLFS_GROUP", callback=_gid, show_default="your own", help="Whose the view's root is."
)
@click.option("--mode", default="0750", envvar="VOLFS_MODE", callback=_mode, help="The view's root, in octal.")
@click.option(
    "--data-plane",
    type=click.Choice(["auto", "bind", "fuse"]),
    default="auto",
    envvar="VOLFS_DATA_PLANE",
    help="How _data is shown: bind mounts, through FUSE, or what this host allows.",
)
@click.option(
    "--idle", default="5m", envvar="VOLFS_IDLE", callback=_idle, help="An unused bind goes after: 30s, 5m, 1h."
)
@click.option(
    "--max-binds",
    type=click.IntRange(min=1),
    default=MAX_BINDS,
    metavar="N",
    envvar="VOLFS_MAX_BINDS",
    help="With more binds than that, unused ones go earlier.",
)
@click.option(
    "--observe",
    default="",
    metavar="DIR",
    envvar="VOLFS_OBSERVE",
    callback=_optional,
    help="Show the volumes of a running Docker instead, from its data root: /var/lib/docker. Nothing is changed there.",
)
@click.option("--writable", is_flag=True, envvar="VOLFS_WRITABLE", help="With --observe: _data can be written to.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", envvar="VOLFS_LOG_FORMAT")
@click.option(
    "--until-unmounted",
    is_flag=True,
    envvar="VOLFS_UNTIL_UNMOUNTED",
    help="End when somebody unmounts the view, instead of mounting it afresh.",
)
@click.option("--adopt", is_flag=True, envvar="VOLFS_ADOPT", help="Take a Docker data root over, if it is one.")
def serve(
    root: str,
    view: str,
    run_dir: str,
    plugin_sockets: tuple[str, ...],
    plugin_path: tuple[str, ...],
    gid: int,
    mode: int,
    data_plane: str,
    idle: float,
    max_binds: int,
    observe: str,
    writable: bool,
    log_format: str,
    until_unmounted: bool,
    adopt: bool,
) -> int:
    """Keeps the volumes of a root and shows them as files, until SIGTERM or Ctrl-C.

    SIGHUP replaces the daemon; users of the view only wait a moment. Every option can come from the environment too:
    VOLFS_ROOT for --root, VOLFS_RUN_DIR for --run-dir, and so on.
    """
    from volfs import keeper
    from volfs.adopt import mark
    from volfs.dockerroot import owner

    if not observe:
        owner.refuse_owned(Path(root))
    if not observe and not adopt:
        mark.refuse_unadopted(Path(root))
    settings = Settings(
        root=root,
        view=view,
        run_dir=run_dir,
        plugin_sockets=plugin_sockets,
        plugin_path=plugin_path,
        mode=mode,
        gid=gid,
        data_plane=data_plane,
        idle=idle,
        max_binds=max_binds,
        log_format=log_format,
        until_unmounted=until_unmounted,
        adopt=adopt,
        observe=observe,
        writable=writable,
    )
    if observe:
        settings = _observing(settings)
    elif writable:
        raise click.UsageError("--writable goes with --observe: the data of a root can always be written to")
    return keeper.serve(settings)
