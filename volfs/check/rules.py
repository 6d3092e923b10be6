"""From what was seen to what is wrong. Pure.

    volume-missing             error    a container needs a volume that has no directory
    entry-without-directory    warning  a volume that nobody needs has none
    directory-without-entry    warning  a directory is not in the catalogue; in Docker's root it has no labels: a note
    opts-damaged               error    opts.json cannot be read, or is gone
    meta-damaged               warning  meta.json cannot be read
    meta-missing               note     a volume with labels has no meta.json
    not-a-directory            error    a symlink or a file is where a volume or its _data must be; volumes/: a warning
    data-missing               error    a volume has no _data
    catalogue-damaged          error    metadata.mdb cannot be read
    catalogue-newer            error    a newer volfs wrote it
    catalogue-missing          warning  there are volumes and no catalogue
    docker-store-damaged       warning  Docker's metadata.db cannot be read, or only in part
    adoption-due               warning  what Docker knows was not taken over
    container-damaged          warning  a container's files do not say all that it needs
    volume-hangs               error    what a volume is on does not answer
    driver-unknown             warning  a volume's driver is no plugin of this host
    reference-stale            note     who used a volume is gone
    mount-leaked               warning  something is mounted that nobody uses
    view-dead                  error    a view without a daemon is mounted: whoever touches it gets ENOTCONN
    work-left                  note     a create or a removal was cut off
    mode-wrong owner-wrong     warning  of a file that may hold a secret, or a directory
    stranger                   note     something in volumes/ cannot be a volume

Law: the same look gives the same problems in the same order, the worst first. What restore would do, only its plan
says: so what it mends is gone afterwards.
"""

from collections.abc import Iterable

from volfs.check import of_files, of_host, of_stores, of_volumes
from volfs.check.observation import Observation
from volfs.check.problem import Problem, Severity
from volfs.check.records import known

_ORDER = {severity: number for number, severity in enumerate(Severity)}


def problems(seen: Observation) -> list[Problem]:
    """Everything that is wrong."""
    records = known(seen)
    found = [problem for kind in (of_volumes, of_files, of_stores, of_host) for problem in kind.problems(seen, records)]
    return sorted(found, key=lambda one: (_ORDER[one.severity], one.code, one.volume, one.path))


def lasting(before: Iterable[Problem], now: Iterable[Problem]) -> list[Problem]:
    """Of two looks at a root that somebody works on: what was seen twice. The rest was work in progress."""
    seen = {one.identity for one in before}
    return [one for one in now if one.identity in seen]
