"""Which volumes an archive would make here, and under which names. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from volfs.archive.manifest import Entry, Manifest, parse_name
from volfs.driver.options import check, mount_source
from volfs.errors import Invalid, NotFound

LOCAL = "local"


@dataclass(frozen=True)
class Arrival:
    """A volume of an archive as it is to be here."""

    entry: Entry
    name: str
    driver: str
    options: dict[str, str] | None

    @property
    def local(self) -> bool:
        """Whether its record is a directory of this root."""
        return self.driver == LOCAL

    @property
    def plain(self) -> bool:
        """Whether its data is a directory of this root too, and not what its options or its plugin put there."""
        return self.local and mount_source(self.options) is None


def arrivals(manifest: Manifest, renames: Mapping[str, str], *, all_local: bool) -> list[Arrival]:
    """The volumes of an archive in its order. `all_local`: those of plugins become plain volumes without options.

    Raises NotFound for a rename of a volume that is not in the archive, Invalid.
    """
    names = {entry.name for entry in manifest.volumes}
    for old in renames:
        if old not in names:
            raise NotFound(f"--rename {old}: there is no such volume in the archive")
    found = [_arrival(entry, renames.get(entry.name, entry.name), all_local) for entry in manifest.volumes]
    if len({one.name for one in found}) < len(found):
        raise Invalid("two volumes of the archive would have the same name: see --rename")
    return found


def _arrival(entry: Entry, name: str, all_local: bool) -> Arrival:
    becomes_local = all_local and entry.driver != LOCAL
    arrival = Arrival(
        entry,
        name,
        driver=LOCAL if becomes_local else entry.driver,
        options=None if becomes_local else entry.options,
    )
    parse_name(arrival.name, arrival.driver)
    if arrival.local:
        try:
            check(arrival.options or {})
        except Invalid as error:
            raise Invalid(f"the archive has options for volume {entry.name} that it cannot have: {error}") from None
    return arrival
