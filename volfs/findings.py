"""What was found wrong and did not stop the work: values that travel with a result, for a log, a report or a person.

Law: a code never changes its meaning, a text is for people and holds no secret, and there are never more than a reader
can bear: of many findings with one code the first MOST are kept, and one that counts the rest.
"""

from dataclasses import dataclass, field

MOST = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: a stable `code`, a `text`, and the name of what it is about where it has one."""

    code: str
    text: str
    subject: str = ""


@dataclass
class Findings:
    """Collects findings, each once."""

    _kept: dict[str, dict[Finding, None]] = field(default_factory=dict)
    _rest: dict[str, int] = field(default_factory=dict)

    def note(self, code: str, text: str, subject: str = "") -> None:
        """Adds one, or counts it where there are enough of its code."""
        finding, kept = Finding(code, text, subject), self._kept.setdefault(code, {})
        if len(kept) < MOST:
            kept[finding] = None
        elif finding not in kept:
            self._rest[code] = self._rest.get(code, 0) + 1

    def all(self) -> tuple[Finding, ...]:
        """Those of a code together, in the order in which the codes were first noted."""
        result: list[Finding] = []
        for code, kept in self._kept.items():
            result.extend(kept)
            if code in self._rest:
                result.append(Finding(code, f"and {self._rest[code]} more of this kind"))
        return tuple(result)
