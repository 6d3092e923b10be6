"""A daemon is known to have ended as soon as its first thread has, whatever its other threads wait for."""

import subprocess
import sys
import threading
from pathlib import Path

from volfs.keeper.vigil import Vigil

GRACE = 30.0  # seconds, for a machine that is busy
KEEP = """
import ctypes, sys, threading
from volfs.keeper import vigil
vigil.keep(int(sys.argv[1]))
print("kept", flush=True)
"""
WAIT_FOR_A_LINE = KEEP + "sys.stdin.readline()\n"
LEAVE_A_THREAD = (
    KEEP
    + """
threading.Thread(target=sys.stdin.readline).start()
ctypes.CDLL(None).pthread_exit(None)
"""
)


def started(program: str) -> tuple["subprocess.Popen[bytes]", threading.Event]:
    vigil = Vigil()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(vigil.descriptor)],
        pass_fds=[vigil.descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"kept\n"
    ended = threading.Event()
    vigil.watch(ended.set)
    vigil.close()
    return process, ended


def test_a_process_that_lives_is_not_taken_for_dead_and_one_that_is_killed_is_noticed():
    with (both := started(WAIT_FOR_A_LINE))[0] as process:
        assert not both[1].wait(0.2)
        process.kill()
        assert both[1].wait(GRACE)


def test_one_that_ends_in_order_is_noticed():
    process, ended = started(WAIT_FOR_A_LINE)
    process.communicate(b"\n")
    assert process.returncode == 0
    assert ended.wait(GRACE)


def test_one_whose_first_thread_has_ended_is_noticed_while_another_keeps_it_from_being_reaped():
    process, ended = started(LEAVE_A_THREAD)
    with process:
        assert ended.wait(GRACE)
        assert process.poll() is None
        assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) > 1
        process.kill()
