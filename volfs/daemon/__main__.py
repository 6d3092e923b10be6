"""From a started process to a daemon that serves: loads, says so, takes what the keeper hands down, restores.

Law: nothing is touched before it is handed down: until then this process only stands by.
"""

import importlib
import logging
import select
import socket
import sys
import time

import trio

from volfs import logs
from volfs.daemon.restored import restored
from volfs.daemon.serving import HTTP, Daemon
from volfs.keeper import vigil
from volfs.keeper.child import LOADED, Held, announce
from volfs.settings import GIVE_UP, Settings

TURN = 0.0002  # seconds; a thread that comes back from the kernel waits for the event loop no longer than that

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Runs a daemon with what its keeper hands down, or, without a keeper, restores only; returns its exit code.

    `arguments`: the settings as JSON; from a keeper also the descriptors of its socket and of its vigil.
    """
    settings = Settings.from_json(arguments[0])
    logs.configure(settings.log_format)
    if len(arguments) == 1:
        return _restore_only(settings)
    control = socket.socket(fileno=int(arguments[1]))
    vigil.keep(int(arguments[2]))
    if not select.select([control], [], [], 0)[0]:
        importlib.import_module(HTTP)  # nobody waits for this process yet
    announce(control, LOADED)
    held = Held.receive(control)
    return 0 if held is None else _serve(settings, control, held)


def _restore_only(settings: Settings) -> int:
    if (found := restored(settings)) is None:
        return GIVE_UP
    found.store.close()
    return 0


def _serve(settings: Settings, control: socket.socket, held: Held) -> int:
    began = time.monotonic()
    sys.setswitchinterval(TURN)
    if (found := restored(settings)) is None:
        return GIVE_UP
    try:
        trio.run(Daemon(settings, control, held, found).run, began, strict_exception_groups=True)
    except Exception:
        log.exception("the daemon failed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
