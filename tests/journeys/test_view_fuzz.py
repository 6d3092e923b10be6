"""Odd names, sizes and numbers through a real view: a value or an errno, and the daemon lives."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
ATTACK = (
    "import sys; from tests.torture.view_fuzz import attack; print(sorted(attack(sys.argv[1], int(sys.argv[2]), 1500)))"
)


@pytest.mark.parametrize("plane", ["bind", "fuse"])
def test_any_call_with_any_name_and_number_is_answered(serve, tmp_path, plane):
    served = serve("--data-plane", plane)
    served.create("db")
    served.create("other")
    (served.view / "other" / "_data" / "file").write_text("kept")
    daemon = served.daemon
    for seed in range(4):
        ran = subprocess.run(
            [sys.executable, "-c", ATTACK, served.view, str(seed)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")
    assert served.daemon == daemon
    assert sorted(os.listdir(served.view)) == ["db", "other"]
    assert json.loads((served.view / "db" / "meta").read_text())["Name"] == "db"
    assert (served.view / "other" / "_data" / "file").read_text() == "kept"
    assert sorted(os.listdir(served.root / "volumes" / "db")) == ["_data", "meta.json"]
    assert served.request("DELETE", "/volumes/db") == (204, "")
    assert "failed" not in served.log()
