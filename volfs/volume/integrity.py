"""Whether a whole catalogue says one thing: every record is read, and found where the others say that it is.

Law: only reads. It takes as long as there are records, so it is for a process of its own.
"""

import sys

from volfs.volume.encoding import DamagedStore
from volfs.volume.store import Store

READ_AT_ONCE = 1_000


def check(store: Store) -> None:
    """Raises DamagedStore; a catalogue that is damaged badly enough ends the process instead."""
    of_plugins = {(driver, one.name) for driver in store.drivers() for one in store.of_driver(driver)}
    serials = {}
    batch = store.volumes(limit=READ_AT_ONCE)
    while batch:
        for one in batch:
            _need(store.get(one.name) == one, f"{one.name} is not where its name is")
            _need(one.local or (one.driver, one.name) in of_plugins, f"the plugin of {one.name} has it not")
            serials[one.serial] = one.name
            store.figure(one.serial)
        _need(batch[-1].name > batch[0].name or len(batch) == 1, "the names have no order")
        batch = store.volumes(after=batch[-1].name, limit=READ_AT_ONCE)
    _need({serial: name for serial, _, name in store.numbers(0, sys.maxsize)} == serials, "the numbers are others")
    _need(len(store.entries().names) == len(serials), "some records are not read")
    found = sorted((name, one.id) for name, one in store.all_references())
    listed = sorted((name, one.id) for name in {name for name, _ in found} for one in store.references(name))
    _need(found == listed, "users are not where their volumes are")
    store.owed()
    store.unsynced()
    store.edition()


def _need(true: bool, what: str) -> None:
    if not true:
        raise DamagedStore(f"the catalogue contradicts itself: {what}")
