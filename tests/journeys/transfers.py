"""For the journeys of export and import: `volfs` as a process, a tree of every kind of file, and what a tree is."""

import hashlib
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT

NANOSECONDS = 1_234_567_890_123_456_789
SPARSE = 200 << 20


def start(served, *words, **how):
    """`volfs` with this daemon, running; its errors are to be read."""
    command = [sys.executable, "-m", "volfs", "--host", str(served.socket), *map(str, words)]
    settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(PROJECT)}, cwd="/", **settings)


def volfs(served, *words, stdin=b""):
    """(exit code, standard output, standard error) of `volfs`; `stdin` comes through a pipe."""
    process = start(served, *words, stdin=subprocess.PIPE)
    out, errors = process.communicate(stdin, timeout=60)
    return process.returncode, out, errors.decode()


def exported(served, *words):
    """An archive."""
    code, archive, errors = volfs(served, "export", *words)
    assert code == 0, errors
    return archive


def data_of(served, name):
    return served.root / "volumes" / name / "_data"


def names(served):
    return sorted(one["Name"] for one in served.request("GET", "/volumes")[1]["Volumes"])


def in_progress(served):
    """The work directories of imports."""
    return [one for one in (served.root / "volumes").iterdir() if one.name.startswith(".")]


def users(served, name):
    return served.request("GET", f"/volumes/{name}")[1]["UsedBy"]


def acl(*entries):
    """A POSIX ACL as the kernel keeps it, of (tag, permissions, id); see linux/posix_acl_xattr.h."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


_OPEN = (0x01, 7, 0xFFFFFFFF), (0x02, 5, 1234), (0x04, 5, 0xFFFFFFFF), (0x10, 5, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)
_NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # struct vfs_cap_data: cap_net_raw+ep


def make_every_kind(place: Path) -> None:
    """Every kind of file, with everything that a file can have."""
    (place / "empty").mkdir()
    (place / "file").write_bytes(os.urandom(70_000))
    (place / "setuid").write_text("#!/bin/sh\n")
    (place / "capable").write_text("x")
    (place / "attributes").write_text("y")
    (place / "mode 0").touch(mode=0)
    (place / ("n" * 255)).write_text("long")
    with open(os.fsencode(place) + b'/bad\xff\xfename\nwith a newline \\ " * \x01', "wb") as file:
        file.write(b"odd")
    (place / "-leading dash").write_text("-")
    deep = place / "deep"
    for depth in range(30):
        deep = deep / (f"{depth:02}" * 20)
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("down")
    with open(place / "sparse", "wb") as file:
        file.truncate(SPARSE)
        for where in (0, 17 << 20, SPARSE - 5000):
            file.seek(where)
            file.write(b"z" * 5000)
    with open(place / "only a hole", "wb") as file:
        file.truncate(1 << 20)
    os.link(place / "file", deep / "hard")
    os.link(place / "file", place / "aaa hard")
    (place / "absolute").symlink_to("/etc/passwd")
    (place / "dangling").symlink_to("../" * 20 + "nowhere")
    (place / "long link").symlink_to("l" * 1000)
    (place / "to a directory").symlink_to("deep")
    os.link(place / "dangling", place / "hard link to a symlink", follow_symlinks=False)
    os.mkfifo(place / "fifo", 0o640)
    os.mknod(place / "character", 0o20600, os.makedev(1, 3))
    os.mknod(place / "block", 0o60660, os.makedev(259, 70_000))
    os.chown(place / "file", 12345, 54321)
    os.chown(place / "empty", 3_000_000_000, 4_000_000_000)
    os.lchown(place / "dangling", 7, 8)
    os.chmod(place / "setuid", 0o6755)
    os.chmod(place / "empty", 0o1777)
    os.setxattr(place / "attributes", "user.binary = odd", bytes(range(256)))
    os.setxattr(place / "attributes", "trusted.overlay.opaque", b"y")
    os.setxattr(place / "capable", "security.capability", _NET_RAW)
    os.setxattr(place / "attributes", "system.posix_acl_access", acl(*_OPEN))
    os.setxattr(place / "empty", "system.posix_acl_default", acl(*_OPEN))
    os.setxattr(place, "user.root", b"of the volume")
    os.chown(place, 999, 998)
    os.chmod(place, 0o2750)
    os.utime(place / "file", ns=(1, NANOSECONDS))
    os.utime(place / "empty", ns=(1, -1_500_000_000))
    os.utime(place / "dangling", ns=(1, 4_102_444_800_000_000_001), follow_symlinks=False)
    os.utime(place / "deep", ns=(1, NANOSECONDS + 1))
    os.utime(place, ns=(1, NANOSECONDS + 2))


def make_socket(place: Path) -> None:
    here = os.getcwd()
    os.chdir(place)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(here)


def fingerprint(place: Path) -> dict[bytes, tuple[object, ...]]:
    """All that makes a tree what it is, by path; times of access and of status change are nobody's."""
    found: dict[bytes, tuple[object, ...]] = {}
    first: dict[int, bytes] = {}
    top = os.fsencode(place)
    paths = [top]
    for directory, below, files in os.walk(top):
        paths += [os.path.join(directory, name) for name in below + files]
    for path in sorted(paths):
        status = os.lstat(path)
        kind = status.st_mode & 0o170000
        regular, link = kind == 0o100000, kind == 0o120000
        name = path[len(top) :]
        found[name] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_nlink,
            status.st_size if regular else None,
            status.st_rdev if kind in (0o20000, 0o60000) else None,
            {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)},
            hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest() if regular else None,
            os.readlink(path) if link else None,
            first.setdefault(status.st_ino, name) if kind != 0o40000 else None,
        )
    return found
