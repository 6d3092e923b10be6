"""The end of a daemon: at once where it must be, and soon where a thread cannot be ended.

A thread that waits in the kernel for a store that hangs cannot be cancelled, and trio waits for it. Nobody else is to:
what was answered is durable, so the process may go under it. But the kernel keeps a process's descriptors open until
its last thread has ended, the view's among them, and whoever is inside of the view would wait for an answer as long: so
these are closed first.

Law: only descriptors that never block in close(2) are closed here.
"""

import logging
import os
import threading
import time
from contextlib import suppress

LINGER = 1.0  # seconds that threads get to come back, once nobody waits for an answer any more

log = logging.getLogger(__name__)


class Parting:
    """Ends this process. `held`: the descriptors of the view and of the sockets."""

    def __init__(self, *held: int) -> None:
        self._held = held

    def now(self, why: str) -> None:
        """Does not return."""
        log.warning(why)
        for one in self._held:
            with suppress(OSError):
                os.close(one)
        os._exit(0)

    def at_last(self, why: str) -> None:
        """Ends the process LINGER seconds from now, if it has not ended by itself."""

        def end() -> None:
            time.sleep(LINGER)
            self.now(why)

        with suppress(RuntimeError):  # no more threads: the keeper's patience ends it
            threading.Thread(target=end, daemon=True).start()
