"""From a container to the `mounts` of an OCI runtime spec: what Docker's setupMounts decides, and nothing done yet.

    MountPoints ── tmpfs? ──────────────┐
        │ no                            │    hostconfig's Tmpfs ┐
    /etc/resolv.conf, hostname, hosts?  ├─→ tmpfs ──────────────┤
        │ no              │ yes         │                       ├─→ by depth of destination ─→ network files last
        └─→ bind ─────────┼─────────────┴───────────────────────┘                                    ↑
                          └─→ source and RW of the network file ─────────────────────────────────────┘

Law: pure and stable: mounts of one depth stay in the order of the files, binds before tmpfs. No mount is made of a path
that the caller has not named or the container has not asked for. `/dev/shm`, secrets and the mounts of every container
(/proc, /sys, /dev) are for who writes the rest of the spec. Source: moby's volumes_unix.go, oci_linux.go.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypedDict

from volfs.container.config import Container, MountPoint, MountType, TmpfsOptions
from volfs.container.paths import clean, depth, split
from volfs.container.tmpfs import merged
from volfs.errors import Invalid, NotFound
from volfs.findings import Finding

RESOLV_CONF, HOSTNAME, HOSTS = "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


class OciMount(TypedDict):
    """One element of `mounts` in an OCI runtime spec's config.json."""

    destination: str
    type: str
    source: str
    options: list[str]


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A file that takes the place of one in /etc. `own` ones lie in the container's directory and are its root's."""

    destination: str
    source: str
    rw: bool
    own: bool


@dataclass(frozen=True, slots=True)
class Mounts:
    """What to mount, in order; which files must belong to `owner` first (no symlink followed); what had to be left out.

    `rootfs_propagation` is what `linux.rootfsPropagation` of the spec must be, for the mounts that ask for it; else "".
    """

    mounts: tuple[OciMount, ...]
    chown: tuple[str, ...]
    owner: tuple[int, int]
    rootfs_propagation: str
    warnings: tuple[Finding, ...]


def volumes_of(container: Container) -> tuple[MountPoint, ...]:
    """The volumes that must be mounted for the container, in the order of its file: none below a tmpfs' name."""
    hidden = _tmpfs(container)
    return tuple(
        mount for mount in container.mount_points if mount.type is MountType.VOLUME and mount.destination not in hidden
    )


def binds_of(container: Container) -> tuple[MountPoint, ...]:
    """The mounts whose source is a path of the host: none below a tmpfs' name."""
    return tuple(mount for mount in _binds(container) if mount.type is MountType.BIND)


def network_files(container: Container, sources: Mapping[str, str], directory: str) -> tuple[NetworkFile, ...]:
    """The network files that the container has; whether they exist is for the caller to find out.

    `directory` is the container's own one now. A path in any Docker's directory of a container is looked for beside
    it, because the root may have moved since the path was written. A mount of the user's takes the file's place.
    """
    asked = {mount.destination: mount for mount in _binds(container)}
    paths = {RESOLV_CONF: container.resolv_conf_path, HOSTNAME: container.hostname_path, HOSTS: container.hosts_path}
    found = []
    for destination, path in paths.items():
        if destination in asked:
            mount = asked[destination]
            found.append(NetworkFile(destination, _source(container, mount, sources), mount.rw, own=False))
        elif path:
            source = _moved(path, clean(directory))
            own = split(source)[0] == clean(directory)
            found.append(NetworkFile(destination, source, not container.readonly_rootfs, own))
    return tuple(found)


def mounts(
    container: Container,
    sources: Mapping[str, str],
    network: Collection[NetworkFile],
    present: Collection[str],
    root: tuple[int, int] = (0, 0),
) -> Mounts:
    """The mounts of `container`.

    `sources` says, by destination, where its volumes are mounted (with the subpath); a bind may be there as well, and
    then wins over what the file says. `network` are its `network_files`, of which those whose source is in `present`
    exist. `root` is the user and group that the container's root is mapped to. Raises NotFound for a volume that
    `sources` lacks and Invalid for a bind without a source or for options that tmpfs does not have.
    """
    replaced = {file.destination for file in network}
    binds = [
        _bind(_source(container, mount, sources), mount.destination, mount.rw, mount)
        for mount in _binds(container)
        if mount.destination not in replaced
    ]
    tmpfs = [_tmpfs_mount(container, at, options) for at, options in _tmpfs(container).items()]
    ordered = sorted(binds + tmpfs, key=lambda mount: depth(mount["destination"]))
    there = [file for file in network if file.source in present]
    return Mounts(
        mounts=(*ordered, *(_bind(file.source, file.destination, file.rw, None) for file in there)),
        chown=tuple(file.source for file in there if file.own),
        owner=root,
        rootfs_propagation=_rootfs_propagation(binds),
        warnings=tuple(_lost(container, file) for file in network if file.source not in present),
    )


def _binds(container: Container) -> Iterator[MountPoint]:
    hidden = _tmpfs(container)
    return (mount for mount in container.mount_points if mount.destination not in hidden)


def _tmpfs(container: Container) -> dict[str, str]:
    """The text of the options of every tmpfs, by destination."""
    result = dict(container.tmpfs)
    for mount in container.mount_points:
        if mount.type is MountType.TMPFS:
            result[mount.destination] = _tmpfs_text(mount.spec.tmpfs_options, mount.spec.read_only)
    return result


def _tmpfs_text(options: TmpfsOptions, read_only: bool) -> str:
    words = ["ro"] if read_only else []
    if options.mode:
        words.append(f"mode={options.mode:o}")
    if options.size_bytes:
        units = (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10), ("", 1))
        unit, size = next((unit, size) for unit, size in units if options.size_bytes % size == 0)
        words.append(f"size={options.size_bytes // size}{unit}")
    return ",".join([*words, *("=".join(option) for option in options.options)])


def _tmpfs_mount(container: Container, destination: str, options: str) -> OciMount:
    try:
        words = merged(options)
    except Invalid as error:
        raise Invalid(f"container {container.id}, tmpfs at {destination}: {error}") from None
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": words}


def _source(container: Container, mount: MountPoint, sources: Mapping[str, str]) -> str:
    if mount.destination in sources:
        return sources[mount.destination]
    if mount.type is MountType.VOLUME:
        raise NotFound(
            f"volume {mount.name!r}, which container {container.id} has at {mount.destination}, is not mounted"
        )
    if not mount.source.startswith("/"):
        raise Invalid(f"container {container.id}: the bind at {mount.destination} has no absolute path for its source")
    return mount.source


def _bind(source: str, destination: str, rw: bool, mount: MountPoint | None) -> OciMount:
    """A mount of type bind; without a `mount`, that of a network file."""
    options = ["bind" if mount and mount.spec.bind_options.non_recursive else "rbind"]
    if not rw:
        options.append("rro" if mount and mount.spec.bind_options.read_only_force_recursive else "ro")
    propagation = mount.propagation if mount else "rprivate"
    if propagation in _PROPAGATIONS:
        options.append(propagation)
    return {"destination": destination, "type": "bind", "source": source, "options": options}


def _rootfs_propagation(binds: list[OciMount]) -> str:
    asked = {word for mount in binds for word in mount["options"]}
    if asked & {"shared", "rshared"}:
        return "shared"
    return "rslave" if asked & {"slave", "rslave"} else ""


def _moved(path: str, directory: str) -> str:
    """`path`, or where it is now: the same file of the same container, beside `directory`."""
    there, name = split(clean(path))
    above, container = split(there)
    if split(above)[1] != "containers":
        return clean(path)
    own_above, own = split(directory)
    return clean(f"{directory}/{name}" if container == own else f"{own_above}/{container}/{name}")


def _lost(container: Container, file: NetworkFile) -> Finding:
    text = f"{file.destination} is left as it is in the image: {file.source} does not exist"
    return Finding("container-network-file-missing", text, container.id)
