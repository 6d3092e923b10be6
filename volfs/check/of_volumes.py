"""Whether records, directories and users of volumes fit together. Pure."""

from collections.abc import Iterator

from volfs.adopt.mark import Standing
from volfs.check.observation import Observation
from volfs.check.problem import Problem, Restore, Severity
from volfs.check.records import Known, real
from volfs.volume.volume import LOCAL, Kind, Volume

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_MANAGED = ("/", ":")  # in the name of a plugin that Docker itself installed and runs


def problems(seen: Observation, known: Known) -> Iterator[Problem]:
    """All of this kind."""
    yield from _catalogue(seen)
    yield from _docker_store(seen)
    yield from _missing(seen, known)
    yield from _without_entry(seen, known)
    yield from _drivers(seen, known)
    yield from _references(seen, known)
    for finding in seen.trouble:
        remedy = "mend the file, or see to it that what the container mounts is there: nobody else remembers it"
        yield Problem("container-damaged", WARNING, "", finding.text, remedy, finding.subject + finding.code)


def _catalogue(seen: Observation) -> Iterator[Problem]:
    catalogue = seen.catalogue
    if catalogue is None:
        if not seen.docker and not seen.standing.due and (real(seen) or seen.notes):
            meaning = "there are volumes here, and no metadata.mdb that lists them"
            remedy = "it is rebuilt from the directories at the next start of `volfs serve`"
            yield Problem("catalogue-missing", WARNING, "", meaning, remedy, repair=Restore())
    elif catalogue.damage:
        remedy = "it is moved aside and rebuilt from the directories at the next start of `volfs serve`"
        yield Problem("catalogue-damaged", ERROR, "", catalogue.damage, remedy, repair=Restore())
    elif catalogue.newer:
        yield Problem("catalogue-newer", ERROR, "", catalogue.newer, "use the newer volfs for this root")


def _docker_store(seen: Observation) -> Iterator[Problem]:
    for finding in seen.damage:
        meaning = f"Docker's metadata.db: {finding.text}"
        remedy = f"`volfs adopt {seen.root}` takes what can be read; Docker may not start with it"
        yield Problem("docker-store-damaged", WARNING, "", meaning, remedy, finding.code + finding.text)
    if seen.standing in (Standing.OWN, Standing.CHANGED) and not seen.docker:
        since = "since it was adopted" if seen.standing is Standing.CHANGED else "and was never adopted to its end"
        meaning = f"this is a root of Docker's as well, which has changed {since}: volfs lacks labels, drivers or users"
        if seen.standing is Standing.OWN:
            meaning = f"this is a root of Docker's as well {since}: volfs lacks labels, drivers or users"
        remedy = f"`volfs adopt {seen.root}`, or start with `volfs serve --adopt`"
        yield Problem("adoption-due", WARNING, "", meaning, remedy)


def _missing(seen: Observation, known: Known) -> Iterator[Problem]:
    there = {*real(seen), *known.plan.finished}
    entries = {} if known.volumes is None else known.volumes
    names = {name for name, one in entries.items() if one.local and name not in there}
    names |= {name for name in known.needs if _is_local(name, known) and name not in there}
    for name in sorted(names):
        needs = known.needs.get(name, ())
        soon = " before Docker starts again, which forgets such a volume" if seen.docker else ""
        back = f"put its directory back{soon}: {seen.volumes}/{name}"
        if needs:
            meaning = f"needed by {', '.join(needs)}, and has no directory"
            yield Problem("volume-missing", ERROR, name, meaning, f"{back}; {_instead(seen, name, used=True)}")
        else:
            meaning = "is on record, and has no directory; no container is known to need it"
            yield Problem(
                "entry-without-directory", WARNING, name, meaning, f"{back}; {_instead(seen, name, used=False)}"
            )


def _is_local(name: str, known: Known) -> bool:
    entry = known.volumes.get(name) if known.volumes is not None else None
    return (entry.driver if entry else known.drivers[name]) == LOCAL


def _instead(seen: Observation, name: str, *, used: bool) -> str:
    if seen.docker:
        return f"or give it up: remove these containers, then `docker volume rm {name}`" if used else "or let it"
    if used:
        return f"or give it up: remove these containers from {seen.root}/containers, then `volfs rm {name}`"
    return f"or give it up: `volfs rm {name}`"


def _without_entry(seen: Observation, known: Known) -> Iterator[Problem]:
    if known.volumes is None:
        return
    for name in real(seen):
        entry = known.volumes.get(name)
        if entry is not None and not entry.local:
            meaning = f"a directory has the name of a volume of the driver {entry.driver}, and is not used"
            remedy = f"see whether it is needed: {seen.volumes}/{name}; move it away"
            yield Problem("directory-without-entry", NOTE, name, meaning, remedy)
        elif entry is None and seen.docker:
            meaning = "a directory that Docker's metadata.db does not know: a volume without labels"
            remedy = "Docker takes it as it is; adopting does, too"
            yield Problem("directory-without-entry", NOTE, name, meaning, remedy)
        elif entry is None:
            meaning = "a directory that the catalogue does not know: not a volume yet"
            remedy = f"it is adopted as it is, by `volfs create {name}` or at the next start of `volfs serve`"
            yield Problem("directory-without-entry", WARNING, name, meaning, remedy, repair=Restore())
    for name in known.plan.recall:
        meaning = "a note of a plugin's volume that the catalogue does not know"
        remedy = "it is recalled at the next start of `volfs serve`"
        yield Problem("directory-without-entry", WARNING, name, meaning, remedy, repair=Restore())


def _drivers(seen: Observation, known: Known) -> Iterator[Problem]:
    for one in (known.volumes or {}).values():
        managed = seen.docker and any(sign in one.driver for sign in _MANAGED)
        if not one.local and one.driver not in seen.drivers and not managed:
            yield Problem("driver-unknown", WARNING, one.name, _unknown(one, known), _start(seen, one))


def _unknown(one: Volume, known: Known) -> str:
    needs = known.needs.get(one.name)
    needed = f"; needed by {', '.join(needs)}" if needs else ""
    return f"its data is kept by {one.driver}, and this host has no such plugin{needed}"


def _start(seen: Observation, one: Volume) -> str:
    forget = "" if seen.docker else f", or have it forgotten: `volfs rm -f {one.name}`"
    return f"install or start the plugin {one.driver}{forget}"


def _references(seen: Observation, known: Known) -> Iterator[Problem]:
    kinds = {} if seen.catalogue is None else {(name, one.id): one for name, one in seen.catalogue.references}
    for name, id_ in known.plan.drop:
        one = kinds[name, id_]
        if one.kind is Kind.VIEW:
            continue  # looking is no use, and every start begins anew
        why = "its files are gone" if not one.running else "the host has rebooted since"
        if one.boot == seen.boot:
            why = "it ended with its daemon"
        meaning = f"in use by {one.kind.value} {id_}, and that is over: {why}"
        remedy = "it is dropped at the next start of `volfs serve`"
        yield Problem("reference-stale", NOTE, name, meaning, remedy, id_, Restore())
