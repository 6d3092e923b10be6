"""A catalogue after any accident: a start gets past it, no volume is lost. More: scripts/torture --only strangers."""

from collections import Counter

from tests.torture.damage import FINE, restoring

SEEDS = range(30)


def test_a_start_gets_past_any_damage_and_the_directories_bring_back_what_it_hit(tmp_path):
    with restoring(tmp_path) as case:
        found = Counter(case(seed) for seed in SEEDS)
    assert set(found) <= FINE
    assert found["rebuilt"] > 3, "the accidents were harmless"
    assert "Traceback" not in (tmp_path / "log").read_text()
