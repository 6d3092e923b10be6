"""One keeper for a root, one for a view: who is first says so, and who comes second is told who that is.

    ROOT/volfs.lock   locked (flock) by the keeper and its daemon, names the keeper and its view
    VIEW              its mount's source is ROOT, so the lock of a view that is found mounted can be looked up

Law: only the mount table is asked about a view; stat(2) on a dead one fails and on a hung one blocks.
"""

import fcntl
import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from volfs.errors import Conflict, HostError, Invalid
from volfs.keeper.fuse import FSTYPE, detach_view
from volfs.mount import mountinfo
from volfs.mount.syscalls import MNT_DETACH, MNT_FORCE, UMOUNT_NOFOLLOW, read_mountinfo, unmount

LOCK = "volfs.lock"
PATIENCE = 5.0  # seconds that the daemon of a killed keeper gets to end

log = logging.getLogger(__name__)


def lock_root(root: str, view: str) -> int:
    """Makes the root where it is missing, locks it and returns the lock's descriptor.

    Raises Conflict, naming who has it; Invalid for a root that is no directory; HostError.
    """
    try:
        Path(root).mkdir(mode=0o711, parents=True, exist_ok=True)
        descriptor = os.open(f"{root}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except (FileExistsError, NotADirectoryError):
        raise Invalid(f"the root {root} is not a directory: give another --root") from None
    except OSError as error:
        raise HostError(
            f"the root {root} cannot be used: {error.strerror}; make it writable or give another --root", error.errno
        ) from error
    deadline = time.monotonic() + PATIENCE
    aborted = False
    while not _try_lock(descriptor):
        holder = _holder(root)
        if not aborted and not _alive(holder.get("pid")) and time.monotonic() > deadline - PATIENCE / 2:
            aborted = True
            _abort(str(holder.get("view")), root)
        if _alive(holder.get("pid")) or time.monotonic() > deadline:
            os.close(descriptor)
            raise Conflict(f"the root {root} is served already, by {_described(holder)}: stop that one first")
        time.sleep(0.05)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "view": view}).encode() + b"\n", 0)
    except OSError:  # a full disk: the lock holds all the same, only who has it cannot be told
        log.warning("the lock does not name its holder", extra={"root": root})
    return descriptor


def is_served(root: str) -> bool:
    """Whether a keeper or a daemon has the root at this moment."""
    try:
        descriptor = os.open(f"{root}/{LOCK}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def served_by(root: str) -> tuple[str, str]:
    """Who has the root at this moment, for people, and the view; two empty texts where nobody has."""
    if not is_served(root):
        return "", ""
    holder = _holder(root)
    return _described(holder), str(holder.get("view") or "")


def resolved(path: str) -> str:
    """The path without symlinks, as the mount table has it. readlink(2) asks a view for nothing; lstat(2) would."""
    for _ in range(40):
        parent, _, name = path.rstrip("/").rpartition("/")
        path = os.path.join(os.path.realpath(parent or "/"), name)  # noqa: PTH118 (absolute targets win, as they should)
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH118, PTH120
        except OSError:
            return path
    raise Invalid(f"{path} is a symlink that leads to itself")


def claim_view(view: str, root: str) -> int:
    """Makes the view's directory where it is missing, takes away a dead view of ours, and locks what is below.

    Returns a descriptor of the directory that will be mounted on. Raises Conflict, naming who has the view; Invalid for
    one that is not an empty directory or has to do with the root; HostError.
    """
    _check_apart(view, root)
    while (mounted := mountinfo.at(read_mountinfo(), view)) is not None and mounted.fstype == FSTYPE:
        if not _same_lock(mounted.source, root):
            _refuse_living(view, mounted.source)
        _detach_dead(view)
    try:
        Path(view).mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(view, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileExistsError, NotADirectoryError):
        raise Invalid(f"the view {view} is not a directory: give another --view") from None
    except OSError as error:
        raise HostError(f"the view {view} cannot be used: {error.strerror}", error.errno) from error
    if os.listdir(descriptor):  # noqa: PTH208 (a descriptor: the path may be something else by now)
        os.close(descriptor)
        raise Invalid(f"the view {view} is not empty: give an empty directory, what is in this one would be hidden")
    if not _try_lock(descriptor):
        os.close(descriptor)
        raise Conflict(f"the view {view} is being taken by another volfs at this moment")
    return descriptor


def _check_apart(view: str, root: str) -> None:
    if view == "/" or view == root or view.startswith(root + "/"):
        raise Invalid(f"the view {view} is inside of the root {root}: give a directory elsewhere")
    if root.startswith(view + "/"):
        raise Invalid(f"the root {root} is inside of the view {view}, which would hide it: give a directory elsewhere")


def check_observed(observed: str, view: str, run_dir: str) -> None:
    """Raises Invalid where a path of ours is inside of the Docker root that is only looked at, or the view hides it."""
    for path in (view, run_dir):
        if f"{resolved(path)}/".startswith(observed.rstrip("/") + "/"):
            raise Invalid(f"{path} is inside of {observed}, where nothing is to be changed: give a directory elsewhere")
    if observed.startswith(view + "/"):
        raise Invalid(f"{observed} is inside of the view {view}, which would hide it: give a directory elsewhere")


def _same_lock(root: str, ours: str) -> bool:
    """Whether a view is from the root that is locked already: then nobody else serves it."""
    try:
        return Path(root, LOCK).samefile(Path(ours, LOCK))
    except OSError:
        return False


def _refuse_living(view: str, root: str) -> None:
    try:
        descriptor = os.open(f"{root}/{LOCK}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # the root is gone, and nobody serves what is gone
    try:
        deadline = time.monotonic() + PATIENCE
        while not _try_lock(descriptor):
            holder = _holder(root)
            if _alive(holder.get("pid")) or time.monotonic() > deadline:
                raise Conflict(
                    f"the view {view} is served already, by {_described(holder)} from {root}: "
                    "stop that one first, or give another --view"
                )
            time.sleep(0.05)
    finally:
        os.close(descriptor)


def _abort(view: str, root: str) -> None:
    """Ends a view whose keeper is dead and whose daemon does not end.

    A thread of a killed daemon that waits for its own view holds the lock and the FUSE descriptor, and so waits, and
    everybody on the view with it, for ever.
    """
    mounted = mountinfo.at(read_mountinfo(), view)
    if mounted is not None and mounted.fstype == FSTYPE and _same_lock(mounted.source, root):
        log.warning("a view whose daemon is stuck is ended", extra={"view": view})
        with suppress(OSError):
            unmount(view, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW)


def _detach_dead(view: str) -> None:
    log.warning("detached a dead view with all that was bound on it", extra={"view": view})
    detach_view(view)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(root: str) -> dict[str, object]:
    with suppress(OSError):
        return _parse_holder(Path(root, LOCK).read_bytes())
    return {}


def _parse_holder(text: bytes) -> dict[str, object]:
    try:
        holder = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _alive(pid: object) -> bool:
    return isinstance(pid, int) and Path(f"/proc/{pid}").exists()


def _described(holder: dict[str, object]) -> str:
    return f"volfs with pid {holder.get('pid', 'unknown')} at {holder.get('view', 'an unknown view')}"
