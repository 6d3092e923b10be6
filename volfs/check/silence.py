"""Which stores of volumes do not answer, asked in a process of its own: a thread of it may wait in the kernel for good.

Law: whoever asks here is back PATIENCE seconds after the last answer came, whatever hangs, and never waits for the
process that it has left behind. Nothing is written, mounted or opened: statfs(2) and listxattr(2) are asked.
"""

import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial

import trio

from volfs.driver.plugin import Plugin
from volfs.driver.registry import Registry
from volfs.errors import VolfsError

PATIENCE = 5.0  # seconds without any answer
AT_ONCE = 64  # paths asked about at once; as many may hang before the next round
_BEGUN, _ANSWERED = b"?", b"!"


def silent_paths(paths: Collection[str], patience: float = PATIENCE) -> set[str]:
    """Those of which the file system does not answer."""
    silent: set[str] = set()
    left = sorted(paths)
    while left:
        begun, answered = _asked(left, patience)
        silent.update(left[number] for number in begun - answered)
        left = [path for number, path in enumerate(left) if number not in begun] if begun - answered else []
    return silent


def silent_plugins(names: Collection[str], registry: Registry, patience: float = PATIENCE) -> set[str]:
    """Those that take a call and do not answer it; one that cannot be reached, or refuses, is not silent."""
    return trio.run(_ask_plugins, sorted(names), registry, patience) if names else set()


def _asked(paths: Sequence[str], patience: float) -> tuple[set[int], set[int]]:
    """Numbers of the paths that were asked about, and of those that answered."""
    command = [sys.executable, "-P", "-m", "volfs.check.silence"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, suppress(BrokenPipeError):
        child.stdin.write(b"\0".join(map(os.fsencode, paths)))
    begun, answered = set[int](), set[int]()
    with child.stdout:
        for line in _lines(child.stdout.fileno(), patience):
            (begun if line[:1] == _BEGUN else answered).add(int(line[1:]))
    child.kill()
    with suppress(subprocess.TimeoutExpired):
        child.wait(0.1)  # else it is the kernel's: it ends when its store answers
    return begun, answered


def _lines(descriptor: int, patience: float) -> Iterator[bytes]:
    rest = b""
    while select.select([descriptor], [], [], patience)[0] and (said := os.read(descriptor, 1 << 16)):
        *whole, rest = (rest + said).split(b"\n")
        yield from whole


async def _ask_plugins(names: Sequence[str], registry: Registry, patience: float) -> set[str]:
    silent = set(names)

    async def ask(name: str) -> None:
        with trio.move_on_after(patience):
            with suppress(VolfsError):
                await Plugin(name, partial(registry.find, name)).list()
            silent.remove(name)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(ask, name)
    return silent


def _ask(paths: Sequence[bytes], say: Callable[[bytes], None]) -> None:
    """The process: says the number of each path before and after it was asked about."""
    numbers = iter(range(len(paths)))
    turn = threading.Lock()

    def work() -> None:
        while True:
            with turn:
                number = next(numbers, None)
            if number is None:
                return
            say(b"%s%d\n" % (_BEGUN, number))
            with suppress(OSError):  # an error is an answer
                os.statvfs(paths[number])
                os.listxattr(paths[number])
            say(b"%s%d\n" % (_ANSWERED, number))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(paths)))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def _say(text: bytes) -> None:
    os.write(1, text)


if __name__ == "__main__":
    _ask(sys.stdin.buffer.read().split(b"\0"), _say)
