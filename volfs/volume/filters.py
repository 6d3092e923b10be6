"""Which volumes a list or a prune is about: Docker's filters, parsed once and matched often.

    driver    exact, any of them             label     all of them, `key` or `key=value`
    name      exact, or an RE2 pattern found label!    none of them
              anywhere, any of them          dangling  without a user, or with one
    all       prune: also volumes with a name of their own

Law: pure. Patterns come from users and run on RE2, which takes time linear in the name, whatever the pattern; a bad
one matches nothing, as with Docker.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec
import re2

from volfs.errors import Invalid
from volfs.volume.volume import Reference, Volume, users

ANONYMOUS = "com.docker.volume.anonymous"
LISTING = frozenset({"dangling", "name", "driver", "label"})
PRUNING = frozenset({"label", "label!", "all"})
_TRUE, _FALSE = {"1", "true"}, {"0", "false"}
_GO_TRUE, _GO_FALSE = {"1", "t", "T", "TRUE", "true", "True"}, {"0", "f", "F", "FALSE", "false", "False"}


@dataclass(frozen=True)
class Filters:
    """Parsed filters. An empty one matches every volume."""

    drivers: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    patterns: tuple[object, ...] = ()
    labels: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    dangling: bool | None = None
    all: bool = False
    keys: frozenset[str] = field(default_factory=frozenset)

    def match(self, volume: Volume, references: Sequence[Reference]) -> bool:
        """Whether the volume with these users is one of those asked for."""
        return (
            (not self.drivers or volume.driver in self.drivers)
            and ("name" not in self.keys or self._named(volume.name))
            and all(_labelled(volume, label) for label in self.labels)
            and not any(_labelled(volume, label) for label in self.without)
            and (self.dangling is None or self.dangling is dangling(references))
        )

    def _named(self, name: str) -> bool:
        return name in self.names or any(pattern.search(name) for pattern in self.patterns)  # type: ignore[attr-defined]


def dangling(references: Sequence[Reference]) -> bool:
    """Whether nobody uses a volume. Looking at it through the view is no use."""
    return not users(references)


def parse_filters(text: str, allowed: Collection[str]) -> Filters:
    """Reads the `filters` of a request: `{"label": ["a"]}` or the older `{"label": {"a": true}}`.

    Raises Invalid with Docker's messages.
    """
    values = _decoded(text)
    for key in values:
        if key not in allowed:
            raise Invalid(f"invalid filter '{key}'")
    names = values.get("name", [])
    return Filters(
        drivers=frozenset(values.get("driver", [])),
        names=frozenset(names),
        patterns=tuple(pattern for name in names if (pattern := _pattern(name)) is not None),
        labels=tuple(values.get("label", [])),
        without=tuple(values.get("label!", [])),
        dangling=_dangling(values["dangling"]) if "dangling" in values else None,
        all=_all(values["all"]) if "all" in values else False,
        keys=frozenset(key for key, given in values.items() if given),
    )


def _decoded(text: str) -> dict[str, list[str]]:
    if not text:
        return {}
    try:
        either = msgspec.json.decode(text, type=dict[str, list[str] | dict[str, bool]] | None) or {}
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        raise Invalid("error reading volume filters: invalid filter") from error
    return {key: list(values) for key, values in either.items()}


def _pattern(text: str) -> object | None:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)  # type: ignore[no-any-return]
    except re2.error:
        return None


def _dangling(values: Sequence[str]) -> bool:
    if len(values) == 1 and values[0] in _TRUE | _FALSE:
        return values[0] in _TRUE
    raise Invalid(f"invalid filter 'dangling=[{' '.join(values)}]'")


def _all(values: Sequence[str]) -> bool:
    if len(values) != 1:
        raise Invalid(f"invalid filter 'all=[{' '.join(values)}]': only one value is expected")
    if values[0] not in _GO_TRUE | _GO_FALSE:
        raise Invalid(f"invalid filter 'all': strconv.ParseBool: parsing \"{values[0]}\": invalid syntax")
    return values[0] in _GO_TRUE


def _labelled(volume: Volume, label: str) -> bool:
    key, equals, value = label.partition("=")
    labels = volume.labels or {}
    return key in labels and (not equals or labels[key] == value)
