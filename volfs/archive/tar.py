"""GNU tar as a child: it reads a volume's tree into a stream, and makes a tree of a stream that was checked.

    pack      owners, modes, times of change, xattrs, ACLs, holes, hard links, devices; sockets are left out with a word
    unpack    in a mount namespace of its own where everything but the one directory is read only and has no devices

Law: whatever a stream holds and whoever swaps a symlink into the tree meanwhile, unpacking changes nothing outside of
the directory: the kernel refuses it with EROFS, and a hard link across the border with EXDEV. What tar says becomes
warnings or one error; nothing steers it from the environment.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from volfs.archive.header import END
from volfs.errors import HostError
from volfs.mount import syscalls
from volfs.mount.options import MS_BIND, MS_PRIVATE, MS_REC

_FIDELITY = ("--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls")
# Times of access and of status change are none that tar could set again.
_RECORDS = "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"
_SOME_DIFFER = 1  # tar's exit code for files that changed while it read them
_MOST_WARNINGS = 20
_LONGEST_LINE = 400  # characters; the reason is at the end
_BUFFER = 1 << 20  # bytes in a pipe, the most that Linux allows anybody
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass
class Tar:
    """A running tar and our end of its pipe."""

    process: "subprocess.Popen[bytes]"
    pipe: IO[bytes]
    warnings: list[str] = field(default_factory=list)


@contextmanager
def pack(directory: str, prefix: str) -> Iterator[Tar]:
    """Reads the tree of a directory as members below `prefix`; at the end of the block, tar has to be done.

    `warnings` are filled then. Raises HostError where something could not be read.
    """
    rename = f"--transform=s,^\\.,{prefix},S"  # S: the targets of symlinks stay
    words = ["--create", "--format=posix", "--sparse", "--atime-preserve=system", _RECORDS, *_FIDELITY, rename, "."]
    with _running(words, directory, subprocess.PIPE, subprocess.DEVNULL) as (process, told):
        assert process.stdout is not None
        tar = Tar(process, process.stdout)
        yield tar
        tar.pipe.close()
        tar.warnings = _ended(process, told, f"{directory} cannot be read", fine=_SOME_DIFFER)


@contextmanager
def unpack(directory: str, keep_open: Sequence[int] = ()) -> Iterator[Tar]:
    """Makes a tree in a directory of members below any `volumes/DIRECTORY`, which are written to `pipe`.

    `keep_open` are descriptors that tar inherits, so that a lock lasts as long as anybody writes. Raises HostError.
    """
    rename = "--transform=s,^volumes/[^/]*,.,S"
    words = ["--extract", "--same-owner", "--same-permissions", "--warning=no-timestamp", *_FIDELITY, rename]
    with _running(words, directory, subprocess.DEVNULL, subprocess.PIPE, keep_open) as (process, told):
        assert process.stdin is not None
        tar = Tar(process, process.stdin)
        fine = 0
        try:
            yield tar
            tar.pipe.write(2 * END)
            tar.pipe.close()
        except BrokenPipeError:  # it says why; whatever its code, it did not read all
            fine = -1
        tar.warnings = _ended(process, told, "the data cannot be unpacked", fine=fine)


def copy(source: str, target: str) -> list[str]:
    """Makes the tree of one directory in another, over what is there; returns tar's warnings."""
    with unpack(target) as into, pack(source, "volumes/0") as out:
        while piece := out.pipe.read(1 << 20):
            into.pipe.write(piece)
    return out.warnings + into.warnings


@contextmanager
def _running(
    words: Sequence[str], directory: str, stdout: int, stdin: int, keep_open: Sequence[int] = ()
) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes]]]:
    confined = partial(_confine, directory) if stdin == subprocess.PIPE else None
    with tempfile.TemporaryFile() as told:
        try:
            process = subprocess.Popen(
                ["tar", "--file=-", *words],
                stdin=stdin,
                stdout=stdout,
                stderr=told,
                bufsize=_BUFFER,
                pipesize=_BUFFER,
                pass_fds=keep_open,
                env=_ENVIRONMENT,
                cwd=None if confined else directory,
                preexec_fn=confined,
            )
        except OSError as error:
            what = "there is no GNU tar on this host" if error.filename == "tar" else f"{directory} cannot be read"
            raise HostError(f"{what}: {error.strerror}", error.errno) from None
        except subprocess.SubprocessError:
            raise HostError(f"tar cannot be started for {directory}: it needs root and Linux 5.12 or later") from None
        try:
            yield process, told
        finally:
            process.kill()
            process.wait()
            for pipe in filter(None, (process.stdin, process.stdout)):
                _close(pipe)


def _confine(directory: str) -> None:
    """What the child that unpacks does before it becomes tar."""
    syscalls.unshare_mounts()
    syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)
    syscalls.mount(directory, directory, "", MS_BIND)
    nothing = syscalls.ATTRIBUTE_RDONLY | syscalls.ATTRIBUTE_NODEV | syscalls.ATTRIBUTE_NOSUID
    syscalls.change_attributes("/", set_=nothing, below=True)
    syscalls.change_attributes(directory, clear=syscalls.ATTRIBUTE_RDONLY)
    os.chdir(directory)


def _ended(process: "subprocess.Popen[bytes]", told: IO[bytes], what: str, *, fine: int) -> list[str]:
    code = process.wait()
    told.seek(0)
    lines = told.read(1 << 20).decode(errors="backslashreplace").splitlines()
    said = [line.removeprefix("tar: ")[-_LONGEST_LINE:] for line in lines if "Exiting with failure" not in line]
    if not 0 <= code <= fine:
        why = said[0] if said else f"tar ended with code {code}"
        full = ", no space is left" if "Wrote only" in why else ""
        raise HostError(f"{what}: {why}{full}")
    more = len(said) - _MOST_WARNINGS
    return said[:_MOST_WARNINGS] + ([f"and {more} more like these"] if more > 0 else [])


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:  # what it had buffered for a child that is dead
        return
