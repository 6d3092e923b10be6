"""What POSIX and Linux say of files, as cases: each takes an empty directory and yields results, step by step.

Run on a plain directory the results are the oracle: `cases.py DIRECTORY NAME...` prints them as JSON, `cases.py` the
names of the cases. Nothing here says what is right, only what is asked. Root runs it; other users come in as processes
of theirs.
"""

import json
import os
import sys
from pathlib import Path

import cases_attributes
import cases_contents
import cases_names
import cases_rights
from steps import CASES

__all__ = ["cases_attributes", "cases_contents", "cases_names", "cases_rights"]  # what they define is in CASES


def run(name: str, at: Path) -> list[object]:
    at.mkdir()
    at.chmod(0o755)
    return json.loads(json.dumps(list(CASES[name](at)), default=str))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(json.dumps(list(CASES)))
        sys.exit()
    os.umask(0o022)
    only = sys.argv[2:]
    results = {}
    for name in only:
        try:
            results[name] = run(name, Path(sys.argv[1], name))
        except Exception as failure:  # noqa: BLE001  a case that breaks off is a result as well
            results[name] = [f"broke off: {failure!r}"]
    json.dump(results, sys.stdout)
