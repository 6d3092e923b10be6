"""What the data plane promises by itself, asked without a kernel."""

import errno
import os
import resource
import threading
from collections.abc import Iterator
from typing import Any

import pyfuse3
import pytest
import trio

from volfs.view import passthrough, passthrough_nodes

NOBODY: Any = None  # nothing here depends on who asks


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    """Passthrough raises this process's limit of descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_crowd_before_a_store_that_answers_nobody_is_turned_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each waiting request takes one of pyfuse3's tasks; the view stands still when all are taken."""
    hung, missing = threading.Event(), 11
    monkeypatch.setattr(passthrough_nodes, "_SILENCE", 0.05)

    def open_data(inode: int) -> int:
        if inode == missing:
            hung.wait()
        return os.open("/", os.O_PATH | os.O_DIRECTORY)

    async def crowd() -> None:
        data = passthrough.Passthrough(open_data)
        async with trio.open_nursery() as nursery:
            for _ in range(passthrough_nodes._CROWD):
                nursery.start_soon(data.getattr, missing, NOBODY)
            await trio.sleep(0.1)
            with pytest.raises(pyfuse3.FUSEError) as turned_away:
                await data.getattr(missing, NOBODY)
            assert turned_away.value.errno == errno.ETIMEDOUT
            assert (await data.getattr(19, NOBODY)).st_ino == 19
            hung.set()
        assert (await data.getattr(missing, NOBODY)).st_ino == missing
        data.close()

    try:
        trio.run(crowd)
    finally:
        hung.set()


def test_numbers_of_others_and_names_that_are_paths_are_refused() -> None:
    async def ask() -> None:
        data = passthrough.Passthrough(lambda inode: os.open("/", os.O_PATH | os.O_DIRECTORY))
        for name, code in ((b"..", "EINVAL"), (b".", "EINVAL"), (b"etc/passwd", "EINVAL"), (b"", "EINVAL")):
            with pytest.raises(pyfuse3.FUSEError) as refused:
                await data.lookup(11, name, NOBODY)
            assert errno.errorcode[refused.value.errno] == code
        for call in (
            data.getattr((1 << 62) + 5, NOBODY),
            data.read((1 << 62) + 5, 0, 1),
            data.opendir((1 << 62) + 5, NOBODY),
        ):
            with pytest.raises(pyfuse3.FUSEError) as stale:
                await call
            assert stale.value.errno == errno.ESTALE
        data.forget([((1 << 62) + 5, 3)])
        data.close()

    trio.run(ask)
