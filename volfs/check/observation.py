"""What a look at a root saw, as one value: what every rule is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from volfs.adopt.mark import Standing
from volfs.container.config import Container
from volfs.findings import Finding
from volfs.mount.mountinfo import MountEntry
from volfs.volume.volume import Reference, Volume


@dataclass(frozen=True, slots=True)
class Seen:
    """A name in a directory: its mode with the file's type (st_mode), and its owner."""

    mode: int
    uid: int


@dataclass(frozen=True, slots=True)
class Directory:
    """A volume's directory, or what is in its place. None for what is not there.

    `opts_damage` and `meta_damage` say why a file cannot be used. `mounts`: whether opts.json has something mounted,
    and `device` what, where it is not mounted now.
    """

    name: str
    itself: Seen
    data: Seen | None = None
    opts: Seen | None = None
    meta: Seen | None = None
    opts_damage: str = ""
    meta_damage: str = ""
    mounts: bool = False
    device: str = ""


@dataclass(frozen=True)
class Catalogue:
    """What metadata.mdb says; `damage` or `newer` where it cannot be read, and then nothing else."""

    volumes: Sequence[Volume] = ()
    references: Sequence[tuple[str, Reference]] = ()
    damage: str = ""
    newer: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """Something of a volume's that does not answer: a `plugin`, or what is at `path`, mounted or on its way."""

    volume: str
    path: str = ""
    mount: MountEntry | None = None
    plugin: str = ""


@dataclass(frozen=True)
class Observation:
    """A root. `catalogue` is None where there is none, `records` where metadata.db has no say here.

    `owner` is who runs on the root, "" for nobody, and `view` that volfs' view; `docker` tells whose root it is now.
    `views` are the mountpoints of views of this root.
    `files` are those of the root by path, `notes` the volumes of plugins that there are notes of, `drivers` the plugins
    of this host, `boot` the kernel's boot id.
    """

    root: str
    volumes: str
    boot: str
    uid: int
    standing: Standing = Standing.NONE
    docker: bool = False
    owner: str = ""
    view: str = ""
    linked: bool = False
    catalogue: Catalogue | None = None
    records: Sequence[Volume] | None = None
    damage: Sequence[Finding] = ()
    containers: Sequence[Container] = ()
    trouble: Sequence[Finding] = ()
    directories: Sequence[Directory] = ()
    work: Sequence[str] = ()
    strangers: Sequence[str] = ()
    notes: Sequence[str] = ()
    files: Mapping[str, Seen] = field(default_factory=dict)
    mounts: Sequence[MountEntry] = ()
    views: Sequence[str] = ()
    drivers: frozenset[str] = frozenset()
    silent: Sequence[Silence] = ()
