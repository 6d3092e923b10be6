"""What volfs costs while nothing happens, and what a volume costs."""

import time
from pathlib import Path

from scripts.benchmarks.lines import Line
from scripts.benchmarks.peers import Served, many, resident, volfs

PART = "rest"
SETTLED = 15.0  # seconds: threads of trio's that have nothing to do end after ten


def measure(quick: bool) -> list[Line]:
    """Memory with few and with many volumes, bytes in the catalogue; then CPU and wake-ups of who does nothing."""
    few, count = (100, 1_000) if quick else (1_000, 100_000)
    with volfs(many(few)) as served:
        little = _memory(served)
    with volfs(many(count)) as served:
        much = _memory(served)
        catalogue = (served.root / "volumes" / "metadata.mdb").stat().st_size
        lines = [
            Line(PART, f"resident with {few:,} volumes", "MB", {"volfs": [little]}),
            Line(PART, f"resident with {count:,} volumes", "MB", {"volfs": [much]}),
            Line(
                PART, "resident for 100,000 volumes more", "MB", {"volfs": [(much - little) * 100_000 / (count - few)]}
            ),
            Line(PART, "catalogue, a volume", "bytes", {"volfs": [catalogue / count]}),
        ]
        if quick:
            return lines
        time.sleep(SETTLED)
        return lines + _at_rest(served, 30)


def _memory(served: Served) -> float:
    time.sleep(2)  # what is put off to after the start belongs to it
    return resident(served.keeper.pid, served.daemon)


def _at_rest(served: Served, wait: int) -> list[Line]:
    pids = {"keeper": served.keeper.pid, "daemon": served.daemon}
    before = {who: _used(pid) for who, pid in pids.items()}
    time.sleep(wait)
    lines = []
    for who, pid in pids.items():
        (cpu, switches), (cpu_before, switches_before) = _used(pid), before[who]
        lines.append(Line(PART, f"{who} at rest, CPU", "% of one", {"volfs": [100 * (cpu - cpu_before) / wait]}))
        woken = sum(count - switches_before.get(thread, 0) for thread, count in switches.items())
        lines.append(Line(PART, f"{who} at rest, wake-ups in {wait} s", "", {"volfs": [woken]}, ("volfs <= 0",)))
    return lines


def _used(pid: int) -> tuple[float, dict[str, int]]:
    """Seconds of CPU, and how often each thread of it went to sleep."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    switches = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        text = status.read_text()
        switches[status.parent.name] = int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return (int(fields[11]) + int(fields[12])) / 100, switches
