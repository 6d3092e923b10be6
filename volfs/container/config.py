"""A container as Docker keeps it: config.v2.json and hostconfig.json of containers/ID, read into one frozen Container.

    config.v2.json    who it is, whether it runs, its network files, MountPoints {destination: …}
    hostconfig.json   what was asked for: Tmpfs, ReadonlyRootfs, Binds, VolumesFrom

Law: any bytes give a Container or Invalid. As in Go, `null` and what is missing stand for nothing, and unknown fields
are ignored; what older Dockers left out is derived as Docker does. A mount that cannot be made is left out and is a
finding. What `--volumes-from` brought lies among the MountPoints already.
"""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, TypeVar

import msgspec

from volfs.container.paths import clean
from volfs.errors import Invalid
from volfs.findings import Finding, Findings

_ID = re.compile("[0-9a-f]{64}")
_VOLUME_PATH = re.compile(r".*/volumes/([a-zA-Z0-9][a-zA-Z0-9_.-]+)/_data")
_GO_NAMES = {"rw": "RW", "id": "ID"}
T = TypeVar("T")


def _go_name(field: str) -> str:
    return _GO_NAMES.get(field) or "".join(word.capitalize() for word in field.split("_"))


class MountType(Enum):
    """What is mounted; Docker has more kinds, for other systems and for clusters."""

    VOLUME = "volume"
    BIND = "bind"
    TMPFS = "tmpfs"


class _GoStruct(msgspec.Struct, frozen=True, rename=_go_name):
    pass


class BindOptions(_GoStruct, frozen=True):
    """Of a mount of type bind."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class DriverConfig(_GoStruct, frozen=True):
    """How a volume is made where it does not exist."""

    name: str = ""
    options: dict[str, str] = {}


class VolumeOptions(_GoStruct, frozen=True):
    """Of a mount of type volume."""

    no_copy: bool = False
    labels: dict[str, str] = {}
    subpath: str = ""
    driver_config: DriverConfig = DriverConfig()


class TmpfsOptions(_GoStruct, frozen=True):
    """Of a mount of type tmpfs; each of `options` is a word, or a key and its value."""

    size_bytes: int = 0
    mode: int = 0
    options: tuple[tuple[str, ...], ...] = ()


class Spec(_GoStruct, frozen=True):
    """What was asked for; empty in files from before Docker 1.13, and for the volumes of an image."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions = BindOptions()
    volume_options: VolumeOptions = VolumeOptions()
    tmpfs_options: TmpfsOptions = TmpfsOptions()


class MountPoint(msgspec.Struct, frozen=True):
    """One mount of a container. `destination` is absolute and clean, `name` and `driver` are a volume's.

    `mode` are the words behind a bind's second colon, `id` is what the volume's driver was told when it mounted,
    and `skip_creation` says that a missing source of a bind is an error.
    """

    destination: str
    type: MountType
    source: str = ""
    name: str = ""
    driver: str = ""
    rw: bool = False
    mode: str = ""
    propagation: str = ""
    id: str = ""
    skip_creation: bool = False
    spec: Spec = Spec()

    @property
    def subpath(self) -> str:
        """The part of the volume that is mounted; empty for the whole."""
        return self.spec.volume_options.subpath

    @property
    def relabel(self) -> str:
        """`z` for a label that containers share, `Z` for one of this container's own, empty for none (SELinux)."""
        return next((word for word in self.mode.split(",") if word in ("z", "Z")), "")


class Container(msgspec.Struct, frozen=True):
    """A container. The paths of its network files are empty until it has been started once, and may lie anywhere.

    `tmpfs` are destinations, clean, and the text of their options.
    """

    id: str
    name: str = ""
    running: bool = False
    pid: int = 0
    mount_label: str = ""
    process_label: str = ""
    resolv_conf_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    mount_points: tuple[MountPoint, ...] = ()
    tmpfs: Mapping[str, str] = {}
    binds: tuple[str, ...] = ()
    volumes_from: tuple[str, ...] = ()
    readonly_rootfs: bool = False
    findings: tuple[Finding, ...] = ()


class _State(_GoStruct, frozen=True):
    running: bool = False
    pid: int = 0


class _MountPoint(_GoStruct, frozen=True):
    source: str = ""
    destination: str = ""
    rw: bool = False
    name: str = ""
    driver: str = ""
    type: str = ""
    relabel: str = ""
    propagation: str = ""
    id: str = ""
    spec: Spec = Spec()
    skip_mountpoint_creation: bool = False


class _Config(_GoStruct, frozen=True):
    id: str = ""
    name: str = ""
    state: _State = _State()
    mount_label: str = ""
    process_label: str = ""
    resolv_conf_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    mount_points: dict[str, _MountPoint] = {}


class _HostConfig(_GoStruct, frozen=True):
    tmpfs: dict[str, str] = {}
    binds: tuple[str, ...] = ()
    volumes_from: tuple[str, ...] = ()
    readonly_rootfs: bool = False


def parse(config: bytes, hostconfig: bytes | None) -> Container:
    """The container that both files describe; None for a hostconfig.json that is not there. Raises Invalid."""
    findings = Findings()
    read = _decode("config.v2.json", config, _Config)
    if not _ID.fullmatch(read.id):
        raise Invalid("config.v2.json: holds no container's ID")
    if any("\0" in path for path in _paths(read)):
        raise Invalid("config.v2.json: a path has a zero byte in it")
    if hostconfig is None:
        findings.note(
            "container-no-hostconfig", "hostconfig.json is missing: tmpfs and a read-only root are lost", read.id
        )
    host = _HostConfig() if hostconfig is None else _decode("hostconfig.json", hostconfig, _HostConfig)
    return Container(
        id=read.id,
        name=read.name.removeprefix("/"),
        running=read.state.running,
        pid=read.state.pid,
        mount_label=read.mount_label,
        process_label=read.process_label,
        resolv_conf_path=read.resolv_conf_path,
        hostname_path=read.hostname_path,
        hosts_path=read.hosts_path,
        mount_points=tuple(_mount_points(read, findings)),
        tmpfs={clean(destination): options for destination, options in host.tmpfs.items()},
        binds=host.binds,
        volumes_from=host.volumes_from,
        readonly_rootfs=host.readonly_rootfs,
        findings=findings.all(),
    )


def _paths(config: _Config) -> Iterator[str]:
    yield from (config.resolv_conf_path, config.hostname_path, config.hosts_path)
    for key, mount in config.mount_points.items():
        yield from (key, mount.destination, mount.source, mount.name, mount.spec.volume_options.subpath)


def _mount_points(config: _Config, findings: Findings) -> Iterator[MountPoint]:
    seen = {"/"}
    for key, mount in config.mount_points.items():
        destination = clean(mount.destination or key)
        type_ = _type(mount)
        if type_ is None:
            text = (
                f"the mount at {destination} is of type {mount.type!r}, which is not for Linux containers of one host"
            )
            findings.note("container-mount-type", text, config.id)
        elif destination in seen:
            findings.note("container-mount-destination", f"the mount at {destination} is over another one", config.id)
        else:
            seen.add(destination)
            yield _mount_point(destination, type_, mount, config.id, findings)


def _type(mount: _MountPoint) -> MountType | None:
    """The type; where Docker before 1.13 wrote none, what has a driver or a name is a volume. None for another."""
    written = mount.type or mount.spec.type
    if not written:
        return MountType.VOLUME if mount.driver or mount.name else MountType.BIND
    return next((kind for kind in MountType if kind.value == written), None)


def _mount_point(destination: str, type_: MountType, mount: _MountPoint, id_: str, findings: Findings) -> MountPoint:
    name = mount.name
    if type_ is MountType.VOLUME and not name:
        found = _VOLUME_PATH.fullmatch(mount.source) if mount.driver in ("", "local") else None
        name = found[1] if found else ""
        told = f"its path says {name}" if name else "which volume it was is not recorded"
        findings.note("container-volume-without-name", f"the volume at {destination} has no name: {told}", id_)
    return MountPoint(
        destination=destination,
        type=type_,
        source=mount.source,
        name=name,
        driver=mount.driver or ("local" if type_ is MountType.VOLUME else ""),
        rw=mount.rw,
        mode=mount.relabel,
        propagation=mount.propagation,
        id=mount.id,
        skip_creation=mount.skip_mountpoint_creation,
        spec=mount.spec,
    )


def _decode(file: str, text: bytes, kind: type[T]) -> T:
    try:
        value = msgspec.json.decode(text.decode("utf-8", "replace"))
        return msgspec.convert({} if value is None else _without_nulls(value), kind)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Invalid(f"{file}: {error}") from None
    except RecursionError:
        raise Invalid(f"{file}: nested too deeply") from None


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 (any JSON)
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value
