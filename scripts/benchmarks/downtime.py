"""What a client waits when the daemon is killed, or replaced for an upgrade, with very many volumes."""

import os
import signal
import threading
import time

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import Served, many, seconds, volfs

PART = "downtime"


def measure(quick: bool) -> list[Line]:
    """The longest wait of one who looks at volumes all the time, over several kills."""
    count, kills = (1_000, 3) if quick else (100_000, 8)
    with volfs(many(count)) as served:
        ways = {"killed": lambda: served.kill_daemon(), "replaced": lambda: served.keeper.send_signal(signal.SIGHUP)}
        waits = {how: [_longest_wait(served, count, end) for _ in range(kills)] for how, end in ways.items()}
    return [
        Line(PART, f"longest wait when the daemon is {how}, {count:,} volumes", "s", {"volfs": found}, ("volfs < 0.5",))
        for how, found in waits.items()
    ]


def _longest_wait(served: Served, count: int, end) -> float:
    stop, waits = threading.Event(), []

    def look() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 7919) % count
            waits.append(seconds((served.view / f"volume-{number:06}" / "meta").read_bytes))

    looking = threading.Thread(target=look)
    times = served.log().count(" ready ")
    looking.start()
    try:
        time.sleep(0.2)
        end()
        served.ready(times + 1)
        os.stat(served.view)
    finally:
        stop.set()
        looking.join()
    time.sleep(1)  # the keeper waits longer where daemons die one after another
    return max(waits)
