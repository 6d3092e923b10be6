"""`/sbin/umount.fuse.volfs`, which umount(8) runs for a view: takes it away with the binds that lie on it.

    umount DIR       refused with "busy" while somebody is inside; containers that bound a volume's data are not
    umount -l DIR    at once; whoever is inside may finish

Returns when the keeper has ended, so that the root can be served again. One that was not started by mount.volfs mounts
its view again, and this says so.
Law: only the mount table is asked about a view.
"""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from volfs.cli.mount_codes import run
from volfs.cli.mount_words import UmountWords, parse_umount
from volfs.cli.output import say
from volfs.errors import HostError, InUse, NotFound
from volfs.keeper.claims import is_served, resolved
from volfs.keeper.fuse import FSTYPE
from volfs.mount import mountinfo
from volfs.mount.syscalls import UMOUNT_NOFOLLOW, can_mount, detach, mounts_under, read_mountinfo, unmount

PROGRAM = "umount.fuse.volfs"
SETTLING = 1.0  # seconds in which a bind may be placed while the others are taken away
ENDING = 15.0  # seconds that the keeper gets to end; its daemon gets 10
LOOK = 0.02


def main(words: Sequence[str]) -> int:
    """Unmounts what the command line (without its name) asks for; returns the exit code."""
    return run(PROGRAM, lambda: parse_umount(words), _umount)


def _umount(wanted: UmountWords) -> None:
    view = resolved(os.path.abspath(wanted.view))  # noqa: PTH100 (Path.absolute() would keep `..`)
    mounted = mountinfo.at(read_mountinfo(), view)
    if mounted is None or mounted.fstype != FSTYPE:
        raise NotFound(f"{view} is not a view of volfs that is mounted")
    if not can_mount():
        _ask_fusermount(view, wanted.lazy)
    elif wanted.lazy:
        detach(view)
    else:
        _take_away(view)
    _await_end(view, mounted.source, SETTLING if wanted.lazy else ENDING)
    if wanted.verbose:
        say(f"{PROGRAM}: {view} unmounted")


def _ask_fusermount(view: str, lazy: bool) -> None:
    """For an ordinary user, whose view has no binds on it."""
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", view]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise HostError(done.stderr.strip() or f"fusermount3 does not unmount {view}")


def _take_away(view: str) -> None:
    """The view and what is on it, the newest first; raises InUse, naming the path where somebody is inside."""
    deadline = time.monotonic() + SETTLING
    while True:
        for mount in reversed(mounts_under(view)):
            try:
                unmount(mount.mountpoint, UMOUNT_NOFOLLOW)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOENT):
                    continue  # somebody else took it away
                if error.errno != errno.EBUSY:
                    raise HostError(f"{mount.mountpoint}: {error.strerror}", error.errno) from error
                if time.monotonic() > deadline:
                    raise InUse(
                        f"{mount.mountpoint} is busy: `fuser -vm {mount.mountpoint}` shows who is inside, "
                        "`umount -l` does not wait for them"
                    ) from None
                time.sleep(LOOK)
                break
        else:
            return


def _await_end(view: str, root: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while is_served(root) and time.monotonic() < deadline:
        again = mountinfo.at(read_mountinfo(), view)
        if again is not None and again.fstype == FSTYPE:
            raise InUse(f"{view} was mounted again by the volfs that serves it: stop that one (systemctl stop volfs)")
        time.sleep(LOOK)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
