"""What a power cut took back of changes that had been answered is done again, before anything else is restored.

    made, and the directory is not there   made again, empty: what a container had not synced in it is lost, as anywhere
    made, and its files are torn           they are written again
    taken away, and it is there again      taken away again; another directory of its name is left alone
    made, and `.removing-SERIAL` is there  left to restore: a removal was under way

Law: the catalogue's record was durable when the change was answered, so it says what is right. Within a boot nothing
can have been taken back: what is not there then was taken away by somebody. Done again, it finds nothing to do.
"""

import logging
from collections.abc import Collection, Sequence

from volfs.driver.local import Description, LocalDriver
from volfs.errors import VolfsError
from volfs.volume.changes import Sealed, Unsynced
from volfs.volume.restore import removing_serial
from volfs.volume.sealing import living
from volfs.volume.store import Store
from volfs.volume.volume import Volume

log = logging.getLogger(__name__)


def recover(store: Store, driver: LocalDriver, boot: str, work: Sequence[str]) -> bool:
    """Returns whether a directory came or went. `work` are the work directories that are there."""
    rows = store.unsynced()
    if all(row.boot == boot for row in rows):
        return False
    of_names: dict[str, list[Unsynced]] = {}
    for row in rows:
        of_names.setdefault(row.name, []).append(row)
    removing = {removing_serial(one) for one in work}
    try:
        changed = [_recover(store.get(name), of_name, driver, removing) for name, of_name in of_names.items()]
        driver.seal(living(store, rows))
    except (VolfsError, FileExistsError) as error:  # what is not there is missing, until another start has more luck
        log.warning("what a power cut took back is not all done again", extra={"why": str(error)})
        return True
    store.commit([Sealed(rows[-1].number)])
    return any(changed)


def _recover(volume: Volume | None, rows: Sequence[Unsynced], driver: LocalDriver, removing: Collection[int]) -> bool:
    """One name's: who has it now decides, by the last that was done to that directory."""
    name = rows[0].name
    there = driver.identity(name)
    last = {row.identity: row for row in rows}.get(there)
    changed = last is not None and last.gone
    if last is not None and last.gone:
        driver.remove(name, last.serial)
        log.warning("a removal that a power cut took back is done again", extra={"volume": name})
    made = next((row for row in rows if volume and row.serial == volume.serial and not row.gone), None)
    if volume is None or made is None or made.serial in removing or (there and there != made.identity and not changed):
        return changed
    if driver.complete(name, Description(volume.created, "local", volume.labels, volume.options)):
        log.warning("a volume that a power cut took back is made again", extra={"volume": name})
        return True
    return changed
