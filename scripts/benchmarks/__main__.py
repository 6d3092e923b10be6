"""scripts/bench [PART…] [--quick] [--compare OLD.json]: measures, prints a table, keeps the results and draws them."""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.benchmarks import plot
from scripts.benchmarks.lines import Line, Results, significant, slower

HERE = Path(__file__).resolve().parent
PARTS = ("start", "data", "http", "containers", "browse", "rest")
RESULTS = HERE / "results.json"
FIGURES = HERE.parent / "figures"


def main() -> int:
    """Runs the parts that were asked for; every one ends with its own table."""
    words = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    words.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without any, all")
    words.add_argument(
        "--quick", action="store_true", help="smaller sizes and fewer rounds: minutes instead of an hour"
    )
    words.add_argument("--compare", metavar="OLD.json", type=Path, help="say what got slower since")
    words.add_argument("--output", type=Path, default=None, help=f"where the results go [{RESULTS.name} of a full run]")
    asked = words.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        words.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    if os.geteuid() != 0:
        words.error("it mounts, and starts dockerd: run it as root")
    results = Results(_machine())
    for part in asked.parts or PARTS:
        print(f"measuring {part} …", file=sys.stderr, flush=True)
        found = importlib.import_module(f"scripts.benchmarks.{part}").measure(asked.quick)
        results.lines += found
        _print(part, found)
    _keep(results, asked.output or (RESULTS if not asked.quick and not asked.parts else None))
    if asked.compare:
        worse = slower(results.lines, _load(asked.compare))
        print("\n".join(worse) or "nothing got slower")
    return 0


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


def _print(part: str, lines: list[Line]) -> None:
    peers = sorted({who for line in lines for who in line.values} - {"volfs"})
    table = Table("what", "unit", "volfs", *peers, "ratio", "goal", title=part, title_justify="left")
    for line in lines:
        ratio = line.ratio()
        shown = significant(ratio) if ratio is not None else "-"
        table.add_row(line.what, line.unit, line.cell("volfs"), *map(line.cell, peers), shown, line.goal)
        if line.notes:
            table.add_row(f"  {line.notes}")
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _keep(results: Results, path: Path | None) -> None:
    """Results of a whole run are what the README shows; those of a part are kept where somebody says so."""
    if path is None:
        return
    path.write_text(json.dumps(asdict(results), indent=1) + "\n")
    for part in {line.part for line in results.lines}:
        lines = [line for line in results.lines if line.part == part]
        (FIGURES / f"bench-{part}.svg").write_text(plot.chart(f"{part}: shorter is better", lines))


def _load(path: Path) -> list[Line]:
    return [Line(**line) for line in json.loads(path.read_text())["lines"]]


if __name__ == "__main__":
    sys.exit(main())
