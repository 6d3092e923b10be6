"""A catalogue after any accident: a start gets past it, no volume is lost. More: scripts/torture --only damage."""

from collections import Counter

import pytest

from tests.torture.damage import FINE, PAGE, restoring, used
from volfs.mount import syscalls

SEEDS = (*range(30), 81001818)  # and one in which a page of LMDB's tree is its own descendant


def test_a_start_gets_past_any_damage_and_the_directories_bring_back_what_it_hit(tmp_path):
    with restoring(tmp_path) as case:
        found = Counter(case(seed) for seed in SEEDS)
    assert set(found) <= FINE
    assert found["rebuilt"] > 3, "the accidents were harmless"
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.skipif(not syscalls.can_mount(), reason="needs a daemon")
def test_a_page_that_ends_the_daemon_in_lmdb_ends_one_only_and_the_keepers_next_one_is_ready(served):
    """LMDB aborts, or the kernel sends SIGBUS: nothing in the daemon can catch that."""
    for number in range(40):
        served.create(f"v{number:02}", Labels={"text": "x" * 300})
    assert served.stop() == 0
    catalogue = served.root / "volumes" / "metadata.mdb"
    whole = used(catalogue.read_bytes())
    for page in range(2 * PAGE, len(whole), PAGE):
        catalogue.write_bytes(whole[:page] + bytes(PAGE) + whole[page + PAGE :])
        said = len(served.log())
        served.start()
        answer = served.request("GET", "/volumes")[1]["Volumes"]
        assert {one["Name"]: one["Labels"] for one in answer} == {f"v{n:02}": {"text": "x" * 300} for n in range(40)}
        if "daemon ended" in (new := served.log()[said:]):
            break
        assert served.stop() == 0
    assert new.count("daemon ended") == 1, "no page was fatal"
    assert "the catalogue is rebuilt from the directories" in new
