"""What a daemon leaves that dies in the middle of an operation. All the places: `scripts/torture --only kill`."""

from random import Random

import pytest

from tests.torture.imports import IMPORTS, Importers
from tests.torture.kills import Killed
from tests.torture.operations import EXPIRY, OPERATIONS
from tests.torture.restores import ways_of
from tests.torture.steps import How
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
# Where each of these was wrong once: the operation, the step that was the last, and which of that name.
ONCE_BROKEN = [
    ("create in a plugin", "renameat", 0),  # the half written note stayed for ever
    ("remove what the view shows", "renameat2", 0),  # the view showed a tmpfs that nobody else could get at
    ("remove in a plugin", "pwrite", -1),  # the view showed data that the plugin believed to be left
]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    killed = Killed(tmp_path_factory.mktemp("killed"))
    try:
        yield killed
    finally:
        killed.close()
    assert "Traceback" not in killed.world.served.log()


def named(name):
    return next(one for one in OPERATIONS if one.name == name)


@pytest.mark.parametrize(("name", "step", "which"), ONCE_BROKEN)
def test_what_was_once_broken_by_a_kill_is_whole(killed, name, step, which):
    cuts = [cut for cut in killed.cuts_of(named(name)) if cut.step == step and cut.how is How.BEFORE]
    killed.cut(cuts[which])


@pytest.mark.parametrize("operation", OPERATIONS + IMPORTS, ids=lambda one: one.name)
def test_an_operation_that_is_cut_off_is_done_or_not_done_and_can_be_asked_for_again(killed, operation):
    before = killed.cuts
    cuts = [cut for cut in killed.cuts_of(operation) if cut.how is not How.WITH_PARENT]
    killed.cut(Random(operation.name).choice(cuts[: len(cuts) // 2]))
    assert killed.cuts == before + 1


def test_an_importer_that_dies_leaves_all_of_its_volumes_or_none(killed):
    importers = Importers(killed)
    ways = list(ways_of(importers.steps_of()))
    importers.cut(*Random(1).choice(ways))
    assert importers.cuts == 1


def test_a_kill_of_daemon_and_keeper_in_the_middle_of_a_mount_leaves_it_done_or_not_done(killed):
    cuts = [cut for cut in killed.cuts_of(named("mount")) if cut.how is How.WITH_PARENT]
    killed.cut(cuts[len(cuts) // 2])


def test_a_bind_whose_expiry_is_cut_off_expires_later(tmp_path):
    killed = Killed(tmp_path, "--idle", "1s")
    try:
        cuts = [cut for cut in killed.cuts_of(EXPIRY[1]) if cut.step == "umount2" and cut.how is How.AFTER]
        killed.cut(cuts[-1])
    finally:
        killed.close()
