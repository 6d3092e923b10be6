"""Knows when the first thread of another process has ended, at once and without looking for it.

    keeper                                  daemon
    Vigil()      a mutex in a memfd   --->  keep(descriptor): its first thread locks it, and never unlocks
    watch(...)   a thread that waits  <---  the thread ends, however: the kernel gives the mutex up (EOWNERDEAD)

A process of which one thread waits in the kernel, for a store that hangs or for our own view, cannot be reaped after a
SIGKILL, its descriptors stay open, and neither SIGCHLD nor a pidfd tells of it. Its other threads end all the same, and
the list of a thread's robust mutexes is gone through when that thread ends: see set_robust_list(2) and
pthread_mutexattr_setrobust(3).

Law: only the process that is watched locks; who watches lets go of what it was given at once.
"""

import ctypes
import errno
import mmap
import os
import threading
from collections.abc import Callable

from volfs.errors import HostError

_ROBUST = _SHARED = 1  # PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_SHARED
_ATTRIBUTES = 64  # bytes, more than any pthread_mutexattr_t takes

_libc = ctypes.CDLL(None)


class Vigil:
    """One mutex for one process to be watched; `descriptor` is what that process needs for `keep`."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("volfs-vigil", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, mmap.PAGESIZE)
        self._memory = mmap.mmap(self.descriptor, mmap.PAGESIZE)
        attributes = ctypes.create_string_buffer(_ATTRIBUTES)
        _done(_libc.pthread_mutexattr_init(attributes))
        _done(_libc.pthread_mutexattr_setrobust(attributes, _ROBUST))
        _done(_libc.pthread_mutexattr_setpshared(attributes, _SHARED))
        _done(_libc.pthread_mutex_init(_address(self._memory), attributes))

    def watch(self, on_end: Callable[[], None]) -> None:
        """Calls `on_end`, in a thread of its own, when the one that keeps the mutex has ended. Kept it must be."""
        threading.Thread(target=self._wait, args=(on_end,), daemon=True, name="vigil").start()

    def _wait(self, on_end: Callable[[], None]) -> None:
        _libc.pthread_mutex_lock(_address(self._memory))  # EOWNERDEAD; ctypes lets the other threads go on meanwhile
        on_end()

    def close(self) -> None:
        """Gives the descriptor back; the memory goes with the last who waits."""
        os.close(self.descriptor)


def keep(descriptor: int) -> None:
    """Locks for as long as the calling thread lives. Takes the descriptor over."""
    memory = mmap.mmap(descriptor, mmap.PAGESIZE)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))  # mapped also when Python has cleared everything away
    os.close(descriptor)
    _done(_libc.pthread_mutex_lock(_address(memory)))


def _address(memory: mmap.mmap) -> ctypes.c_void_p:
    return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))


def _done(code: int) -> None:
    if code and code != errno.EOWNERDEAD:
        raise HostError(f"the keeper cannot watch its daemon: {os.strerror(code)}", code)
