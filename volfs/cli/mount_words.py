"""What mount(8) and umount(8) hand to their external helpers: command lines and the options of an fstab line, read.

    mount.volfs SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]
    umount.fuse.volfs DIR [-flnrv] [-N NAMESPACE] [-t TYPE]

An option is one of `volfs serve` without its dashes (`idle=10m`), `log=FILE`, or a word that is meant for mount(8).
Law: pure text to values. What is none of these is refused, with a line that quotes it.
"""

import getopt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from volfs.errors import Invalid

MOUNT_USAGE = "mount.volfs ROOT DIR [-fnsv] [-o OPTION[,OPTION]...]"
UMOUNT_USAGE = "umount.fuse.volfs DIR [-flnv]"
SERVE_OPTIONS = ("data-plane", "group", "idle", "log-format", "max-binds", "mode", "plugin-socket", "run-dir")

_OPTION = re.compile(r'(?:[^,"]|"[^"]*"?)+')
_FOR_MOUNT = frozenset(
    """
    defaults auto noauto nofail _netdev rw user nouser users owner group exec nosuid nodev async loud silent
    atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime
    shared rshared slave rslave private rprivate unbindable runbindable allow_other default_permissions
    """.split()  # noqa: SIM905 (a word a line would fill the screen)
)
_FOR_OTHERS = ("x-", "X-", "comment=", "user=", "uhelper=", "helper=")
_NEVER = {
    "ro": "a view is never read-only",
    "noexec": "a view is never mounted noexec",
    "suid": "set-user-ID files never have an effect in a view",
    "dev": "devices never have an effect in a view",
    "remount": "a view cannot be remounted: unmount it, change the options and mount it",
}


@dataclass(frozen=True)
class MountWords:
    """`serve` holds the words for `volfs serve`; `log` is a file's path, "" where none was given."""

    root: str
    view: str
    serve: tuple[str, ...] = ()
    log: str = ""
    fake: bool = False
    verbose: bool = False


@dataclass(frozen=True)
class UmountWords:
    """`lazy`: at once, whoever is inside may finish."""

    view: str
    lazy: bool = False
    verbose: bool = False


@dataclass
class _Options:
    serve: list[str] = field(default_factory=list)
    log: str = ""
    plugins: bool = False


def parse_mount(words: Sequence[str]) -> MountWords:
    """The command line of mount.volfs without its name; raises Invalid."""
    flags, places = _split(words, "fnsvN:o:t:", MOUNT_USAGE, 2)
    given = dict(flags)
    root, view = places
    if not root.startswith("/"):
        raise Invalid(f'"{root}" is not the absolute path of a root, such as /var/lib/volfs')
    options = _Options()
    for text in [value for flag, value in flags if flag == "-o"]:
        for word in _OPTION.findall(text):
            _take(options, word, sloppy="-s" in given)
    if not options.plugins:
        options.serve.append("--plugin-socket=none")
    return MountWords(root, view, tuple(options.serve), options.log, "-f" in given, "-v" in given)


def parse_umount(words: Sequence[str]) -> UmountWords:
    """The command line of umount.fuse.volfs without its name; raises Invalid."""
    flags, places = _split(words, "flnrvN:t:", UMOUNT_USAGE, 1)
    given = dict(flags)
    return UmountWords(places[0], "-l" in given, "-v" in given)


def _split(words: Sequence[str], letters: str, usage: str, count: int) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        flags, places = getopt.gnu_getopt(list(words), letters)
    except getopt.GetoptError as error:
        raise Invalid(f"{error.msg}; usage: {usage}") from None
    if len(places) != count or not all(places):
        raise Invalid(f"usage: {usage}")
    if "-N" in dict(flags):
        raise Invalid("another mount namespace (-N) is not for volfs: run mount inside of it, with nsenter(1)")
    return flags, places


def _take(options: _Options, word: str, sloppy: bool) -> None:
    name, equals, value = word.partition("=")
    value = value.replace('"', "")
    if word in _FOR_MOUNT or word.startswith(_FOR_OTHERS):
        return
    if word in _NEVER:
        raise Invalid(f'the option "{word}" is not for volfs: {_NEVER[word]}')
    if name == "log" or name in SERVE_OPTIONS:
        if not equals or not value:
            raise Invalid(f'the option "{word}" needs a value: {name}=…')
        if name == "log":
            options.log = _absolute(value)
        else:
            options.serve.append(f"--{name}={value}")
            options.plugins = options.plugins or name == "plugin-socket"
    elif not sloppy:
        known = ", ".join(sorted([*SERVE_OPTIONS, "log"]))
        raise Invalid(f'volfs knows no option "{word}"; its own are {known}')


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise Invalid(f"log={path}: a log is named by its absolute path, such as /var/log/volfs.log")
    return path
