"""What Docker's files say against what the catalogue has: the changes that make it a mirror. Pure.

directory and entry                 ok, or damaged where its opts.json is lost or cannot be read
directory, options, nothing mounted unmounted: the empty directory below is not the data
entry without directory             missing
another directory of the same name  another volume: the one before is taken out, with what was bound of it
neither                             taken out
container, running or not           a user of each of its volumes, with its name and state
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from volfs.volume.changes import AddReference, Change, Delete, DropReference, Put
from volfs.volume.volume import VIEW_REFERENCE, Kind, Reference, State, Volume

References = Mapping[tuple[str, str], Reference]


@dataclass(frozen=True)
class Sight:
    """A Docker root at one moment: volumes by name, without serials, and references by (volume, id).

    `why` it could not be looked at, "" where it could. `settled`: nothing in it is half done, as far as one can see.
    """

    volumes: Mapping[str, Volume]
    references: References
    why: str = ""
    settled: bool = field(default=True, compare=False)

    @property
    def there(self) -> bool:
        """Whether Docker's volumes could be looked at."""
        return not self.why

    def used_by(self) -> dict[str, list[Reference]]:
        """The references to each volume."""
        result: dict[str, list[Reference]] = {}
        for (name, _), one in self.references.items():
            result.setdefault(name, []).append(one)
        return result


def volume_changes(before: Volume | None, seen: Volume | None, used_by: Sequence[Reference] = ()) -> list[Change]:
    """From the catalogue's volume of a name (None: none) to the one that was seen, a new one with its users."""
    if before is None:
        return [Put(seen), *_used(seen, used_by)] if seen is not None else []
    if seen is None:
        return [Delete(before.name)]
    now = mirrored(before, seen)
    if now == before:
        return []
    if now.serial == 0:
        return [Delete(before.name), Put(now), *_used(now, used_by)]
    lost = before.state.has_data and not now.state.has_data
    return [Put(now), *([DropReference(now.name, VIEW_REFERENCE)] if lost else [])]


def _used(volume: Volume, used_by: Sequence[Reference]) -> list[Change]:
    return [AddReference(volume.name, one) for one in used_by]


def mirrored(before: Volume, seen: Volume) -> Volume:
    """The record for what was seen; its serial is 0 where that is another volume. One that is missing is the same."""
    if seen.state is State.MISSING:
        return msgspec.structs.replace(seen, serial=before.serial, created=before.created, identity=before.identity)
    return msgspec.structs.replace(seen, serial=before.serial if before.identity in (seen.identity, "") else 0)


def differing(known: Iterable[Volume], seen: Mapping[str, Volume]) -> Iterator[str]:
    """The names of the catalogue's volumes that were seen to be otherwise, or not at all."""
    for volume in known:
        now = seen.get(volume.name)
        if now is None or mirrored(volume, now) != volume:
            yield volume.name


def reference_changes(known: Iterable[tuple[str, Reference]], sight: Sight) -> list[Change]:
    """From the containers that the catalogue has as users to those that were seen to use a volume that there is."""
    wanted = {key: one for key, one in sight.references.items() if key[0] in sight.volumes}
    changes: list[Change] = []
    for name, one in known:
        if one.kind is not Kind.CONTAINER:
            continue
        now = wanted.pop((name, one.id), None)
        if now is None:
            changes.append(DropReference(name, one.id))
        elif now != one:
            changes.append(AddReference(name, now))
    changes.extend(AddReference(name, one) for (name, _), one in wanted.items())
    return changes
