"""Whether the files of a root are what they must be: kinds, contents, modes and owners. Pure.

volumes/  NAME/                                          0701
opts.json  meta.json  metadata.mdb  metadata.db          0600    what is in `_data`, and its own mode, is the user's
"""

import stat
from collections.abc import Iterator

from volfs.check.observation import Directory, Observation, Seen
from volfs.check.problem import Problem, SetMode, SetOwner, Severity, WriteMeta
from volfs.check.records import Known
from volfs.volume.volume import Volume

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_DIRECTORY, _FILE = 0o701, 0o600


def problems(seen: Observation, known: Known) -> Iterator[Problem]:
    """All of this kind."""
    if seen.linked:
        meaning = f"volumes is a symlink to {seen.volumes}: volfs follows it, Docker cannot remove a volume behind one"
        remedy = (
            f"bind-mount the place instead: `mount --bind {seen.volumes} {seen.root}/volumes` on an empty directory"
        )
        yield Problem("not-a-directory", WARNING, "", meaning, remedy, "volumes")
    for path, one in seen.files.items():
        yield from _mode_and_owner(seen, "", path, one)
    for name in seen.strangers:
        remedy = "move it out of volumes/, or give it a name that a volume can have"
        yield Problem("stranger", NOTE, "", f"{name!r} in volumes/ cannot be a volume and is left alone", remedy, name)
    for directory in seen.directories:
        entry = known.volumes.get(directory.name) if known.volumes is not None else None
        if entry is None or entry.local:
            yield from _volume(seen, directory, entry)


def _volume(seen: Observation, directory: Directory, entry: Volume | None) -> Iterator[Problem]:
    name, path = directory.name, f"{seen.volumes}/{directory.name}"
    if not stat.S_ISDIR(directory.itself.mode):
        meaning = f"{_kind(directory.itself)} is where the directory of a volume must be, and is not followed"
        remedy = f"see where it leads (`ls -ld {path}`) and put the directory itself there"
        yield Problem("not-a-directory", ERROR, name, meaning, remedy, path)
        return
    yield from _data(directory, path)
    yield from _opts(directory, entry, path)
    yield from _meta(seen, directory, entry, path)
    yield from _mode_and_owner(seen, name, path, directory.itself)
    for file, one in (("opts.json", directory.opts), ("meta.json", directory.meta)):
        if one is not None and stat.S_ISREG(one.mode):
            yield from _mode_and_owner(seen, name, f"{path}/{file}", one)


def _data(directory: Directory, path: str) -> Iterator[Problem]:
    if directory.data is None:
        remedy = f"put it back; where the volume was empty: `mkdir -m 755 {path}/_data`"
        meaning = "has no _data: it cannot be mounted, and no container that needs it starts"
        yield Problem("data-missing", ERROR, directory.name, meaning, remedy)
    elif not stat.S_ISDIR(directory.data.mode):
        meaning = f"its _data is {_kind(directory.data)}, which is not followed: it cannot be mounted"
        remedy = f"put the directory that it stands for at {path}/_data, or bind it there with a volume's options"
        yield Problem("not-a-directory", ERROR, directory.name, meaning, remedy, f"{path}/_data")


def _opts(directory: Directory, entry: Volume | None, path: str) -> Iterator[Problem]:
    damage = directory.opts_damage
    if not damage and directory.opts is None and entry is not None and entry.source is not None:
        damage = "opts.json: is missing, but mount options are on record"
    if damage:
        meaning = f"{damage}: what must be mounted is not certain, so nothing is"
        remedy = (
            f"write {path}/opts.json again, `volfs inspect {directory.name}` shows what is on record; or, where it "
            "never had options, delete opts.json and meta.json"
        )
        yield Problem("opts-damaged", ERROR, directory.name, meaning, remedy)


def _meta(seen: Observation, directory: Directory, entry: Volume | None, path: str) -> Iterator[Problem]:
    ours = entry if not seen.docker and entry is not None and not directory.opts_damage else None
    repair = WriteMeta(directory.name) if ours is not None else None
    if directory.meta_damage:
        meaning = f"meta.json: {directory.meta_damage}: a copy of the directory would come without labels"
        remedy = "it can be written anew from the catalogue" if repair else f"mend or delete {path}/meta.json"
        yield Problem("meta-damaged", WARNING, directory.name, meaning, remedy, repair=repair)
    elif directory.meta is None and ours is not None and ours.labels:
        meaning = "has labels that only the catalogue knows: a copy of the directory would come without"
        remedy = "meta.json can be written from the catalogue"
        yield Problem("meta-missing", NOTE, directory.name, meaning, remedy, repair=repair)


def _mode_and_owner(seen: Observation, volume: str, path: str, one: Seen) -> Iterator[Problem]:
    """Where volfs and Docker are both content: what a file is too open or too closed for."""
    if not (stat.S_ISDIR(one.mode) or stat.S_ISREG(one.mode)):
        return
    right, mode = _DIRECTORY if stat.S_ISDIR(one.mode) else _FILE, stat.S_IMODE(one.mode)
    if mode != right and not (stat.S_ISDIR(one.mode) and mode == right | stat.S_ISVTX):  # one that is not sealed yet
        meaning = f"{path} has mode {mode:04o}, it should have {right:04o}"
        yield Problem("mode-wrong", WARNING, volume, meaning, f"`chmod {right:04o} {path}`", path, SetMode(path, right))
    if one.uid != seen.uid:
        meaning = f"{path} belongs to user {one.uid}, the root to {seen.uid}"
        yield Problem(
            "owner-wrong", WARNING, volume, meaning, f"`chown {seen.uid} {path}`", path, SetOwner(path, seen.uid)
        )


def _kind(one: Seen) -> str:
    if stat.S_ISLNK(one.mode):
        return "a symlink"
    return "a file" if stat.S_ISREG(one.mode) else "a special file"
