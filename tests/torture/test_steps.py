"""That the steps are all that volfs does: strace sees no change which they do not."""

import re
import subprocess
from collections import Counter

import pytest

from tests.conftest import until
from tests.torture.kills import Killed
from tests.torture.operations import OPERATIONS
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
CHANGES = (
    "mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,chmod,"
    "fchmod,fchmodat,chown,fchown,lchown,fchownat,fsync,fdatasync,msync,sync,syncfs,sync_file_range,ftruncate,truncate,"
    "fallocate,mount,umount2,open_tree,move_mount,mount_setattr,fsopen,fsmount,bind,listen,connect,write,pwrite64,writev,"
    "pwritev,pwritev2,sendto,sendmsg,sendmmsg,sendfile,splice,vmsplice,copy_file_range,setxattr,fsetxattr,utimensat,"
    "openat,creat,execve,fork,vfork"
)


@pytest.fixture
def killed(tmp_path):
    killed = Killed(tmp_path)
    try:
        yield killed
    finally:
        killed.close()


def traced(text):
    """How often each call was made that changes something: logs and wakings of threads are none."""
    calls = re.findall(r"^\d+ +(\w+)\((.*)$", text, re.MULTILINE)
    return Counter(
        name
        for name, rest in calls
        if (name != "openat" or re.search("O_CREAT|O_TRUNC", rest))
        and not (name == "write" and rest.startswith("2,"))
        and not (name == "sendto" and ", 1, " in rest)
    )


def as_strace_says(step):
    return {"send": "sendto", "pwrite": "pwrite64", "openat64": "openat"}.get(step, step)


@pytest.mark.parametrize("name", ["create with options", "touch in a plugin", "unmount", "prune"])
def test_no_change_of_the_world_escapes_the_steps(killed, tmp_path, name):
    operation = next(one for one in OPERATIONS if one.name == name)
    operation.prepare(killed.world)
    killed.world.check()
    daemon, said = killed.world.served.daemon, tmp_path / "said"
    command = [
        "strace",
        "-f",
        "-o",
        tmp_path / "trace",
        "-e",
        "signal=none",
        "-e",
        f"trace={CHANGES}",
        "-p",
        str(daemon),
    ]
    with said.open("w") as output:
        strace = subprocess.Popen(command, stderr=output)
    try:
        until(lambda: "attached" in said.read_text())
        killed.steps.arm(daemon)
        operation.call(killed.world)
        killed.steps.settled()
        killed.steps.disarm()
    finally:
        strace.terminate()
        strace.wait()
    assert traced((tmp_path / "trace").read_text()) == Counter(map(as_strace_says, killed.steps.names()))
