"""Damage to the files of a root, a case for each seed; and what a start makes of it, seen from outside.

catalogue_case(seed)   a damaged metadata.mdb, whose restore must get past it
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from volfs.driver.local import Description, LocalDriver
from volfs.settings import Settings
from volfs.volume.changes import AddReference, Delete, Put
from volfs.volume.recovery import recover
from volfs.volume.suspicion import suspect
from volfs.volume.volume import Kind, Reference

FINE = {"as it was", "rebuilt", "rebuilt by the next daemon", "a text is another", "as it was, after a death"}
PAGE = 4096
VOLUMES = 60
PROJECT = Path(__file__).resolve().parents[2]


def make_root(root: Path) -> None:
    """A root with volumes that have labels, options and users, and some that were removed."""
    driver = LocalDriver(root)
    driver.prepare()
    for number in range(VOLUMES):
        options = {"type": "tmpfs", "device": "tmpfs"} if number % 3 == 0 else None
        labels = {"number": str(number), "text": "x" * (number * 40)}
        driver.create(f"v{number:02}", Description(1_700_000_000 + number, labels=labels, options=options))
    store, _ = recover(driver, str(root / "view"))
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    store.commit([AddReference(f"v{n:02}", Reference(f"user{n}", Kind.PLUGIN, boot, 1)) for n in range(0, 60, 2)])
    store.commit([Delete("v59")])
    store.commit([Put(store.get("v58"))])
    store.close()
    shutil.rmtree(driver.volumes / "v59")


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """The same bytes after an accident: bits, bytes, pages, lengths."""
    text = bytearray(whole)
    match chance.randrange(8):
        case 0:
            for _ in range(chance.choice((1, 1, 3, 20))):
                text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
        case 1:
            for _ in range(chance.choice((1, 5, 50))):
                text[chance.randrange(len(text))] = chance.randrange(256)
        case 2:
            start = chance.randrange(len(text))
            length = chance.randrange(1, 9000)
            text[start : start + length] = chance.randbytes(len(text[start : start + length]))
        case 3:
            page = chance.randrange(len(text) // PAGE) * PAGE
            text[page : page + PAGE] = chance.choice((bytes(PAGE), b"\xff" * PAGE, chance.randbytes(PAGE)))
        case 4:
            one, other = (chance.randrange(len(text) // PAGE) * PAGE for _ in range(2))
            text[one : one + PAGE], text[other : other + PAGE] = text[other : other + PAGE], text[one : one + PAGE]
        case 5:
            del text[chance.randrange(len(text)) :]
        case 6:  # the header of a page: its number, flags, bounds and pointers
            page = chance.randrange(len(text) // PAGE) * PAGE
            for _ in range(chance.choice((1, 2, 4))):
                text[page + chance.randrange(64)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        case 7:
            start = chance.randrange(max(len(text) - 8, 1))
            text[start : start + 8] = chance.choice((0, 1, 1 << 31, (1 << 64) - 1, chance.getrandbits(64))).to_bytes(
                8, "little"
            )
    return bytes(text)


def used(catalogue: bytes) -> bytes:
    """A catalogue without the room behind it that is only reserved."""
    text = catalogue.rstrip(b"\0")
    return text + bytes(-len(text) % PAGE)


# Restores a root as the keeper has it restored, in a fork for each case: starting an interpreter costs the most.
SERVER = """
import os, resource, signal, sys
from volfs.daemon import __main__ as daemon
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for line in sys.stdin:
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    else:
        signal.alarm(60)
        os._exit(daemon.main([line.strip()]))
"""

# What a daemon would find and do then: everything is read and something is written.
READER = """
import json, os, sys
from pathlib import Path
from volfs.driver.local import LocalDriver
from volfs.volume.changes import AddReference, Delete, DropReference, Put
from volfs.volume.integrity import check
from volfs.volume.recovery import recover
from volfs.volume.suspicion import suspect
from volfs.volume.volume import Kind, Reference, Volume

def read(root):
    store, plan = recover(LocalDriver(Path(root)), root + "/../view")
    volumes = store.volumes()
    check(store)
    for one in volumes:
        assert store.by_serial(one.serial) == one, one
    store.commit([AddReference(one.name, Reference("new", Kind.PLUGIN, "boot", 1)) for one in volumes])
    store.commit([Put(Volume(name="new", serial=0, created=1)), Delete("new")])
    store.commit([DropReference(one.name, "new") for one in volumes])
    store.close()
    return {"plan": "" if plan.empty else repr(plan), "names": [one.name for one in volumes],
            "labels": {one.name: (one.labels or {}).get("number") for one in volumes}}

for line in sys.stdin:
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)
    else:
        try:
            print(json.dumps(read(line.strip())), flush=True)
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
"""


class Restores:
    """Starts of a daemon on a root, restore only; a new one for each `run`, like the keeper's."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab")
        self._restore, self._read = self._start(SERVER), self._start(READER)

    def _start(self, text: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", text],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def restore(self, root: Path) -> int:
        """The exit code of one start."""
        settings = Settings(str(root), str(root.parent / "view"), str(root.parent), (), 0o750, 0, "auto", 60.0, "text")
        return int(self._ask(self._restore, settings.to_json()))

    def read(self, root: Path) -> dict[str, object]:
        """What the next one finds; `status` where it dies."""
        return json.loads(self._ask(self._read, str(root)))

    def _ask(self, process: "subprocess.Popen[str]", line: str) -> str:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process.stdout.readline()

    def close(self) -> None:
        for process in (self._restore, self._read):
            process.stdin.close()
            process.wait()
            process.stdout.close()
        self._log.close()


def catalogue_case(seed: int, root: Path, whole: bytes, restores: Restores) -> str:
    """Damages the catalogue of a root and starts until it is past it; returns what became of it, in a few words.

    A start may die of it, once: the next one must not. Whatever is lost, the directories and their labels are not.
    """
    chance = random.Random(seed)
    volumes = root / "volumes"
    for left in volumes.glob("metadata.mdb*"):
        left.unlink()
    (volumes / "metadata.mdb").write_bytes(damaged(whole, chance))
    codes = [restores.restore(root)]
    while codes[-1] != 0 and len(codes) < 3:
        codes.append(restores.restore(root))
    assert codes[-1] == 0, f"seed {seed}: {codes}"
    assert len(codes) <= 2, f"seed {seed}: {codes}"
    assert codes[0] in (0, -6, -7, -11), f"seed {seed}: {codes}"
    if (found := restores.read(root)).get("status"):  # a daemon that is ready has it looked at, as this does
        codes.append(0)
        suspect(volumes / "metadata.mdb")
        assert restores.restore(root) == 0, f"seed {seed}: marked, and not got past"
        found = restores.read(root)
    if found.get("status"):  # of a catalogue that a start has found whole, after a death in it
        return "died again"
    if found.get("plan"):  # it was this reading that came by the damage
        codes.append(0)
        found = restores.read(root)
    aside = list(volumes.glob("metadata.mdb.damaged-*"))
    expected = {f"v{n:02}": str(n) for n in range(59)}
    labels = found["labels"]
    lost = {name: labels.get(name) for name in expected if labels.get(name) != expected[name]}
    assert set(found["names"]) == set(expected), f"seed {seed}: {lost}"
    assert not found["plan"], f"seed {seed}: not a fixed point: {found['plan']}"
    if lost:
        return "a text is another"
    if aside:
        return "rebuilt" if len(codes) == 1 else "rebuilt by the next daemon"
    return "as it was" if len(codes) == 1 else "as it was, after a death"


def fine(outcome: str, seed: int) -> str:
    """The outcome, which is one of those that may be."""
    assert outcome in FINE, f"seed {seed}: {outcome}"
    return outcome


@contextmanager
def restoring(place: Path) -> Iterator[Callable[[int], str]]:
    """Makes a root in `place` and gives `catalogue_case` of it, by seed; no traceback may be in the log afterwards."""
    root = place / "root"
    make_root(root)
    whole = used((root / "volumes" / "metadata.mdb").read_bytes())
    restores = Restores(place / "log")
    try:
        yield lambda seed: catalogue_case(seed, root, whole, restores)
    finally:
        restores.close()
