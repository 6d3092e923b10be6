"""scripts/bench [PART…] [--quick] [--compare OLD.json]: measures, prints a table, keeps the results and draws them."""

import argparse
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.benchmarks import plot
from scripts.benchmarks.lines import OURS, Line, Results, slower
from scripts.benchmarks.peers import kept

HERE = Path(__file__).resolve().parent
PARTS = ("cli", "http", "remove", "run", "usage", "browse", "downtime", "rest", "start", "data")
RESULTS = HERE / "results.json"
FIGURES = HERE.parent / "figures"


def main() -> int:
    """Runs the parts that were asked for; every one ends with its own table."""
    words = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    words.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without any, all")
    words.add_argument(
        "--quick", action="store_true", help="smaller sizes, fewer rounds: three minutes instead of twenty"
    )
    words.add_argument("--compare", metavar="OLD.json", type=Path, help="say what got slower since")
    words.add_argument("--output", type=Path, help=f"where the results go [{RESULTS.name} beside this, of a full run]")
    asked = words.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        words.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    if os.geteuid() != 0:
        words.error("it mounts, and starts dockerd: run it as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    results = Results(_machine())
    with kept:
        failed = [part for part in asked.parts or PARTS if not _measured(part, asked.quick, results)]
    _keep(results, asked.output or (RESULTS if not asked.quick and not asked.parts else None))
    if asked.compare:
        print("\n".join(slower(results.lines, _load(asked.compare))) or "nothing got slower")
    return 1 if failed else 0


def _measured(part: str, quick: bool, results: Results) -> bool:
    """One part, printed. Where it cannot be measured it says why, and the others are measured all the same."""
    print(f"measuring {part} …", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        found: list[Line] = importlib.import_module(f"scripts.benchmarks.{part}").measure(quick)
    except Exception:  # noqa: BLE001 it is printed
        traceback.print_exc()
        return False
    _print(f"{part}, measured in {time.monotonic() - began:.0f} s", found)
    results.lines += found
    return True


def _machine() -> dict[str, str]:
    processor = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    docker = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "kernel": platform.release(),
        "cores": str(os.cpu_count()),
        "processor": processor.partition(":")[2].strip(),
        "python": platform.python_version(),
        "dockerd": docker,
    }


def _print(title: str, lines: list[Line]) -> None:
    ours = [who for who in OURS if any(who in line.values for line in lines)]
    peers = list(dict.fromkeys(who for line in lines for who in line.values if who not in OURS))
    table = Table("what", "unit", *ours, *peers, "goals", title=title, title_justify="left")
    for line in lines:
        verdicts = "\n".join(filter(None, map(line.verdict, line.goals)))
        table.add_row(line.what, line.unit, *map(line.cell, [*ours, *peers]), verdicts)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _keep(results: Results, path: Path | None) -> None:
    """Results of a whole run are what the README shows; those of a part are kept where somebody says so."""
    if path is None:
        return
    path.write_text(json.dumps(asdict(results), indent=1) + "\n")
    if path == RESULTS:
        for name, picture in plot.pictures(results.lines).items():
            (FIGURES / f"bench-{name}.svg").write_text(picture)


def _load(path: Path) -> list[Line]:
    return [Line(**line) for line in json.loads(path.read_text())["lines"]]


if __name__ == "__main__":
    sys.exit(main())
