"""The look at a root: everything that the rules want to know, gathered without writing a byte there.

Law: no symlink is followed below the root, no fifo waited for, and what is mounted is touched by `silence` alone: its
server may be gone. Everything else asks the mount table about it.
"""

import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from volfs.adopt.containers import read_containers
from volfs.adopt.mark import Standing, standing
from volfs.check.catalogue import read_catalogue
from volfs.check.observation import Directory, Observation, Seen, Silence
from volfs.check.silence import silent_paths, silent_plugins
from volfs.dockerroot import owner
from volfs.dockerroot.metadata import Record
from volfs.dockerroot.source import read_metadata
from volfs.driver.local import LocalDriver
from volfs.driver.names import VolumeName, is_volume_name
from volfs.driver.notes import Notes
from volfs.driver.options import mount_source
from volfs.driver.record import meta_damage, read_record
from volfs.driver.registry import Registry
from volfs.driver.sweep import DIRECTORY
from volfs.errors import HostError, Invalid, NotFound
from volfs.findings import Finding
from volfs.keeper.claims import served_by
from volfs.keeper.fuse import FSTYPE
from volfs.mount.mountinfo import MountEntry, under
from volfs.mount.syscalls import read_mountinfo
from volfs.volume.recovery import boot_id
from volfs.volume.volume import LOCAL, Volume

CATALOGUE = "metadata.mdb"
_PRIVATE = (CATALOGUE, f"{CATALOGUE}-lock", "metadata.db", "metadata.adopted")


def look(root: Path, plugin_path: tuple[str, ...]) -> Observation:
    """Looks at a root of volfs' or Docker's. Raises NotFound for what is none, HostError where one cannot look."""
    if not (root / "volumes").is_dir():
        raise NotFound(f"{root} is no root of volfs' and no Docker data root: it has no directory called volumes")
    try:
        return _look(root, plugin_path)
    except OSError as error:
        raise HostError(f"{error.filename or root} cannot be looked at: {error.strerror}", error.errno) from error


def _look(root: Path, plugin_path: tuple[str, ...]) -> Observation:
    driver = LocalDriver(root)
    volumes, uid = driver.volumes, root.stat().st_uid
    who, view = served_by(str(root))
    locked = owner.locked_by(root)
    now = standing(root)
    docker = now is Standing.NEW or (bool(locked) and not who and (owner.runs_docker(locked) or now.due))
    scan = driver.scan()
    mounts = read_mountinfo()
    records, damage = _records(root) if docker or now.due else (None, ())
    containers, trouble = read_containers(root)
    catalogue = None if docker else read_catalogue(volumes / CATALOGUE)
    directories = _directories(volumes, {mount.mountpoint for mount in mounts}, uid)
    registry = Registry(plugin_path)
    return Observation(
        root=str(root),
        volumes=str(volumes),
        boot=boot_id(),
        uid=uid,
        standing=now,
        docker=docker,
        owner=who or locked,
        view=view,
        linked=(root / "volumes").is_symlink(),
        catalogue=catalogue,
        records=records,
        damage=damage,
        containers=containers,
        trouble=trouble,
        directories=directories,
        work=scan.work,
        strangers=[name for name in scan.ignored if not is_volume_name(name)],
        notes=Notes(volumes.parent).names(),
        files=_files(volumes),
        mounts=mounts,
        views=[one.mountpoint for one in mounts if one.fstype == FSTYPE and one.source == str(driver.root)],
        drivers=frozenset(registry.names()),
        silent=[
            *_silent_mounts(mounts, str(volumes)),
            *_silent_devices(directories),
            *_silent_plugins(catalogue.volumes if catalogue is not None else (), registry),
        ],
    )


def _silent_mounts(mounts: Sequence[MountEntry], volumes: str) -> list[Silence]:
    """What is mounted at a volume, or at its data, and does not answer."""
    of = {}
    for one in under(mounts, volumes):
        name, _, below = one.mountpoint[len(volumes) + 1 :].partition("/")
        if name and below in ("", "_data"):
            of[one.mountpoint] = Silence(name, one.mountpoint, one)
    silent = silent_paths(of)
    return [one for path, one in of.items() if path in silent]


def _silent_devices(directories: Sequence[Directory]) -> list[Silence]:
    """Where a volume is to be mounted from, and nobody answers: mount(2) would hang."""
    of = {one.name: one.device for one in directories if one.device.startswith("/")}
    silent = silent_paths(set(of.values()))
    return [Silence(name, device) for name, device in of.items() if device in silent]


def _silent_plugins(volumes: Sequence[Volume], registry: Registry) -> list[Silence]:
    silent = silent_plugins({one.driver for one in volumes if not one.local}, registry)
    return [Silence(one.name, plugin=one.driver) for one in volumes if one.driver in silent]


def _records(root: Path) -> tuple[list[Volume], tuple[Finding, ...]]:
    try:
        records, reading = read_metadata(root / owner.METADATA)
    except (NotFound, Invalid) as error:
        return [], (Finding("metadata-unreadable", str(error)),)
    return [_as_volume(record) for record in records], reading.findings


def _as_volume(record: Record) -> Volume:
    return Volume(VolumeName(record.name), 0, 0, record.driver or LOCAL, record.options, record.labels)


def _files(volumes: Path) -> dict[str, Seen]:
    found = {str(volumes): _seen(str(volumes), None)}
    found.update({str(volumes / name): _seen(str(volumes / name), None) for name in _PRIVATE})
    return {path: seen for path, seen in found.items() if seen is not None}


def _directories(volumes: Path, mounted: Collection[str], uid: int) -> list[Directory]:
    """Everything in ROOT/volumes that has a volume's name, and is none of the files there."""
    names = [name for name in os.listdir(volumes) if is_volume_name(name)]  # noqa: PTH208 (names are all that is wanted)
    found = []
    for name in sorted(names):
        if f"{volumes}/{name}" in mounted:
            found.append(_unseen(name, uid))
            continue
        itself = _seen(str(volumes / name), None)
        if itself is None or (name.startswith("metadata.") and stat.S_ISREG(itself.mode)):
            continue
        if stat.S_ISDIR(itself.mode):
            directory = _directory(volumes / name, name, itself, f"{volumes}/{name}/_data" in mounted)
            if directory is not None:
                found.append(directory)
        elif name != "backingFsBlockDev":
            found.append(Directory(name, itself))
    return found


def _unseen(name: str, uid: int) -> Directory:
    """A directory that something is mounted on is an administrator's, and taken to be as it must be."""
    folder, file = Seen(stat.S_IFDIR | 0o701, uid), Seen(stat.S_IFREG | 0o600, uid)
    return Directory(name, folder, folder, file, file)


def _directory(path: Path, name: str, itself: Seen, mounted: bool) -> Directory | None:
    """None for one that went meanwhile."""
    try:
        here = os.open(path, DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        description = read_record(here)
        source = mount_source(description.options)
        return Directory(
            name,
            itself,
            Seen(stat.S_IFDIR, itself.uid) if mounted else _seen("_data", here),
            _seen("opts.json", here),
            _seen("meta.json", here),
            description.damage or "",
            meta_damage(here),
            source is not None,
            "" if source is None or mounted else source.device,
        )
    finally:
        os.close(here)


def _seen(name: str, directory: int | None) -> Seen | None:
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Seen(status.st_mode, status.st_uid)
