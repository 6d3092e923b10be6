"""Which volume plugins this host has: looked for at every question, so that one that was installed, moved or restarted
is found.

    DIR/NAME.sock  DIR/NAME/NAME.sock  DIR/NAME.spec  DIR/NAME/NAME.spec  DIR/NAME.json  DIR/NAME/NAME.json

Law: directory after directory, in each in this order, the first match wins, as with Docker (plugin_api.md). Our own
sockets are no plugins of ours: asking ourselves would wait for ourselves.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from volfs.driver.address import Address, parse_json, parse_spec
from volfs.driver.names import quoted
from volfs.errors import Invalid, NotFound, VolfsError

_ENDINGS = (".sock", ".spec", ".json")
_LARGEST = 1 << 20  # bytes of a file that describes a plugin


class Registry:
    """The plugins in `directories`; `own` are the sockets that this daemon listens on."""

    def __init__(self, directories: Sequence[str], own: Sequence[str] = ()) -> None:
        self._directories = directories
        self._own = {os.path.realpath(path) for path in own}
        self.own_names = {
            "volfs",
            *(Path(path).stem for path in own),
        }  # what Docker calls our driver, here or elsewhere

    def find(self, name: str) -> Address:
        """Where the plugin `name` listens. Raises NotFound, Invalid where a file about it cannot be used."""
        if "/" not in name and "\0" not in name and name not in ("", ".", ".."):
            for directory in self._directories:
                for ending in _ENDINGS:
                    for path in (f"{directory}/{name}{ending}", f"{directory}/{name}/{name}{ending}"):
                        address = _read(path, ending)
                        if address is not None:
                            return self._foreign(name, address)
        raise NotFound(f'error looking up volume plugin {name}: plugin "{name}" not found')

    def names(self) -> list[str]:
        """The names of all plugins, in order; one that cannot be used is left out."""
        found = {name for directory in self._directories for name in _names_in(directory)}
        return sorted(name for name in found if self._usable(name))

    def _usable(self, name: str) -> bool:
        try:
            self.find(name)
        except VolfsError:
            return False
        return True

    def _foreign(self, name: str, address: Address) -> Address:
        if address.path and os.path.realpath(address.path) in self._own:
            raise Invalid(
                f'error looking up volume plugin {name}: that is volfs itself, whose driver is called "local"'
            )
        return address


def _names_in(directory: str) -> list[str]:
    try:
        entries = sorted(os.listdir(directory))  # noqa: PTH208 (names are all that is wanted)
    except OSError:
        return []
    stems = {entry.removesuffix(ending) for entry in entries for ending in _ENDINGS if entry.endswith(ending)}
    nested = {
        entry for entry in entries if any(os.path.lexists(f"{directory}/{entry}/{entry}{one}") for one in _ENDINGS)
    }
    return sorted(stems | nested)


def _read(path: str, ending: str) -> Address | None:
    """The address that a file gives; None where there is no such file."""
    try:
        mode = Path(path).stat().st_mode
        if ending == ".sock":
            return Address(path=path) if stat.S_ISSOCK(mode) else None
        if not stat.S_ISREG(mode):
            return None
        with Path(path).open("rb") as file:
            text = file.read(_LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Invalid(f"the plugin file {quoted(path)} cannot be read: {error.strerror}") from None
    try:
        return parse_json(text) if ending == ".json" else parse_spec(text.decode(errors="replace"))
    except Invalid as error:
        raise Invalid(f"the plugin file {quoted(path)} cannot be used: {error}") from None
