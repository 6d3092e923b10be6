"""`/sbin/mount.volfs`, which mount(8) runs for `mount -t volfs ROOT DIR` and for lines of fstab(5).

    mount.volfs    returns when the view answers, or says why it never will
    keeper         `volfs serve --until-unmounted` in the background
    log            what the keeper says from then on: the file of `log=`, else the system's log, else /var/log/volfs.log

Law: nothing that the keeper says is lost: until the view answers it is for whoever called, from then on for the log.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO

from volfs.cli.mount_codes import run
from volfs.cli.mount_words import MountWords, parse_mount
from volfs.cli.output import say
from volfs.errors import HostError, Invalid
from volfs.keeper.fuse import FSTYPE
from volfs.mount import mountinfo
from volfs.mount.syscalls import read_mountinfo

PROGRAM = "mount.volfs"
PATIENCE = 60.0  # seconds until a view answers; systemd gives a mount 90
ENDING = 30.0  # seconds that a keeper gets which is told to stop
LOG = "/var/log/volfs.log"
SYSLOG = "/dev/log"
# The keeper's own words for what is called otherwise in a line of fstab.
_WORDS = (
    ("another --run-dir", "another run-dir=…"),
    ("another --view", "another DIR"),
    ("another --root", "another ROOT"),
)


def main(words: Sequence[str]) -> int:
    """Mounts what the command line (without its name) asks for; returns the exit code."""
    return run(PROGRAM, lambda: _read(words), _mount)


def _read(words: Sequence[str]) -> MountWords:
    wanted = parse_mount(words)
    _check_values(wanted)
    if os.geteuid() != 0:
        raise Invalid("only root can mount a view; an ordinary user runs `volfs serve` with directories of their own")
    return wanted


def _check_values(wanted: MountWords) -> None:
    """As `volfs serve` will read them; raises Invalid."""
    import click

    from volfs.cli.serve import serve

    try:
        serve.make_context("mount.volfs", list(wanted.serve))
    except click.ClickException as error:
        raise Invalid(error.format_message().replace("'--", "'")) from None


def _check_directory(view: str) -> None:
    """Only what nothing is mounted on is looked at: a view that is dead fails, one that hangs blocks."""
    view = os.path.abspath(view)  # noqa: PTH100 (Path.absolute() would keep `..`)
    if mountinfo.at(read_mountinfo(), view) is None and not os.path.isdir(view):  # noqa: PTH112
        raise HostError(f"{view} is not a directory: make it first, or mount with x-mount.mkdir")


def _mount(wanted: MountWords) -> None:
    _check_directory(wanted.view)
    if wanted.fake:
        return
    os.umask(0o022)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log = _open_log(wanted.log)
    with (
        tempfile.TemporaryDirectory(prefix="volfs-mount-", dir="/run") as place,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        address = f"{place}/notify"
        manager.bind(address)
        output, theirs = os.pipe()
        keeper = _start(wanted, address, theirs)
        os.close(theirs)
        said = bytearray()
        try:
            ready = _await_ready(keeper, manager, output, said)
        except KeyboardInterrupt:
            _stop(keeper)
            raise
        if not ready:
            _stop(keeper)
            raise HostError(_explanation(output, said))
        _pass_on(output, bytes(said), log)
    _note_for_umount(wanted)
    if wanted.verbose:
        where = "the system's log" if log is None else log.name
        say(f"mount.volfs: {wanted.root} is served at {wanted.view} by pid {keeper.pid}, which logs to {where}")


def _start(wanted: MountWords, address: str, output: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "volfs", "serve", "--until-unmounted"]
    command += [f"--root={wanted.root}", f"--view={os.path.abspath(wanted.view)}", *wanted.serve]  # noqa: PTH100
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VOLFS_", "PYTHON"))}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env={**kept, "NOTIFY_SOCKET": address},
        start_new_session=True,
    )


def _await_ready(keeper: "subprocess.Popen[bytes]", manager: socket.socket, output: int, said: bytearray) -> bool:
    """Whether it got ready, before it ended and in time; collects what it says meanwhile."""
    ended = os.pidfd_open(keeper.pid)
    sources: list[socket.socket | int] = [manager, output, ended]
    deadline = time.monotonic() + PATIENCE
    try:
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select(sources, [], [], left)
            if output in readable:
                more = os.read(output, 1 << 16)
                said += more
                if not more:
                    sources.remove(output)
            if manager in readable and b"READY=1" in manager.recv(4096).split(b"\n"):
                return True
            if ended in readable and output not in readable:  # what it said last has been read
                return False
    finally:
        os.close(ended)
    said += f"volfs: the view does not answer after {PATIENCE:.0f} s\n".encode()
    return False


def _stop(keeper: "subprocess.Popen[bytes]") -> None:
    keeper.terminate()
    try:
        keeper.wait(ENDING)
    except subprocess.TimeoutExpired:
        keeper.kill()


def _explanation(output: int, said: bytearray) -> str:
    """The keeper's one line for people where there is one, else everything that it said."""
    os.set_blocking(output, False)
    with suppress(BlockingIOError):
        said += os.read(output, 1 << 16)
    os.close(output)
    lines = said.decode(errors="backslashreplace").splitlines()
    text = "\n".join([line.removeprefix("volfs: ") for line in lines if line.startswith("volfs: ")] or lines)
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    return text


def _note_for_umount(wanted: MountWords) -> None:
    """Has libmount note who unmounts this: umount(8) asks statfs(2) otherwise, which calls every FUSE "fuse"."""
    command = ["mount", "-i", "-f", "-t", FSTYPE, "-o", f"uhelper={FSTYPE}", "--", wanted.root, wanted.view]
    subprocess.run(command, check=False, capture_output=True)


# The log


def _open_log(path: str) -> BinaryIO | None:
    """The file that the log goes to; None for the system's log. Raises HostError."""
    if not path and _has_syslog():
        return None
    try:
        return open(path or LOG, "ab", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))
    except OSError as error:
        raise HostError(f"the log {path or LOG} cannot be written: {error.strerror}", error.errno) from error


def _has_syslog() -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        probe.connect(SYSLOG)
        return shutil.which("logger") is not None
    return False


def _pass_on(output: int, said: bytes, log: BinaryIO | None) -> None:
    """Writes what was said so far to the log; a small process does so from now on, until the keeper has ended."""
    if log is None:
        command = ["logger", "--tag", "volfs", "--priority", "daemon.info"]
        subprocess.run(command, input=said, check=False)
    else:
        command = ["cat"]
        log.write(said)
    sink = log or subprocess.DEVNULL  # nothing of whoever called: they may wait until their end of a pipe closes
    subprocess.Popen(command, stdin=output, stdout=sink, stderr=sink, cwd="/", start_new_session=True)
    os.close(output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
