"""The entries of Docker's volume store: bucket `volumes` of volumes/metadata.db, a name and a JSON text each.

    db → {"Name":"db","Driver":"local","Labels":{"a":"1"} or null,"Options":{…} or null}

Law: the key is the name, because Docker looks a volume up by it. An empty value says nothing and is skipped, as Docker
does; one that cannot be read costs that volume's labels, options and driver only, and is a finding.
"""

from collections.abc import Mapping

import msgspec

from volfs.dockerroot import bolt
from volfs.dockerroot.pages import Buffer
from volfs.findings import Finding, Findings

BUCKET = b"volumes"


class Record(msgspec.Struct, frozen=True):
    """What Docker's store says of a volume. `driver` is empty where it does not know; None where nothing was given."""

    name: str
    driver: str = ""
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None


class _Value(msgspec.Struct, rename="pascal"):
    name: str | None = None
    driver: str | None = None
    labels: dict[str, str | None] | None = None
    options: dict[str, str | None] | None = None


def read(buffer: Buffer) -> tuple[list[Record], bolt.Reading]:
    """The records of a metadata.db, by name, and the reading with all that was found wrong."""
    reading = bolt.read(buffer, BUCKET, plausible)
    found, findings = records(reading.pairs)
    return found, bolt.Reading(reading.pairs, reading.findings + findings, reading.transaction)


def records(pairs: Mapping[bytes, bytes]) -> tuple[list[Record], tuple[Finding, ...]]:
    """The records that `pairs` hold, in their order."""
    findings = Findings()
    result = []
    for key, text in pairs.items():
        if not text:
            continue
        name = key.decode(errors="surrogateescape")
        try:
            value = _decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            findings.note("metadata-entry", f"the entry of volume {name!r} cannot be read: {error}", name)
            continue
        if value.name != name:
            findings.note("metadata-name", f"the entry of volume {name!r} is named {value.name or ''!r} inside", name)
        result.append(Record(name, value.driver or "", _texts(value.labels), _texts(value.options)))
    return result, findings.all()


def plausible(key: bytes, text: bytes) -> bool:
    """Whether `text` is what Docker would have stored under `key`, as far as one can tell from the two."""
    if not text.startswith(b'{"Name":'):
        return False
    try:
        return _decode(text).name == key.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _decode(text: bytes) -> _Value:
    return _decoder.decode(text) or _Value()


def _texts(value: dict[str, str | None] | None) -> dict[str, str] | None:
    return None if value is None else {key: text or "" for key, text in value.items()}


_decoder = msgspec.json.Decoder(_Value | None)
