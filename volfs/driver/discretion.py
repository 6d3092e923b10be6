"""A volume's own secrets, and texts of others without them: a plugin or a server may say again what it was told.

Law: a secret is found as it was given, and as JSON, a URL or the options of a mount write it. One of less than SHORTEST
characters is found only where its name is beside it: as a word of its own it would take half of a message away.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, unquote

from volfs.driver.options import device_secrets, masked_device
from volfs.errors import HostError, VolfsError
from volfs.masking import MASK, is_secret, masked_text
from volfs.mount import options as mount_options

SHORTEST = 4
_LONGEST_BEGINNING = 4096  # characters; errors that are cut off are shorter


def secrets_of(options: Mapping[str, str] | None) -> frozenset[str]:
    """The values in `options` that are not for people's eyes, in each way that they may be written."""
    found = {one for key, value in (options or {}).items() for one in _secrets(key, value)}
    return frozenset(way for one in found for way in _ways(one) if len(way) >= SHORTEST)


def without(text: str, secrets: frozenset[str]) -> str:
    """`text` without these, also where it was cut off in one, and without what looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
        text = _without_beginning(text, secret)
    return masked_text(text)


def _without_beginning(text: str, secret: str) -> str:
    """`text` without the part of the secret that it ends with, if it does."""
    at = text.find(secret[:SHORTEST], max(0, len(text) - min(len(secret), _LONGEST_BEGINNING)))
    while at != -1 and not secret.startswith(text[at:]):
        at = text.find(secret[:SHORTEST], at + 1)
    return text if at == -1 else text[:at] + MASK


def without_inside(status: Mapping[str, object], secrets: frozenset[str]) -> dict[str, object]:
    """A plugin's object with every text in it as `without` leaves it, and no text under a name that is a secret's."""
    return {
        key: MASK if is_secret(key) and isinstance(value, str) and value else _inside(value, secrets)
        for key, value in status.items()
    }


def _inside(value: object, secrets: frozenset[str]) -> object:
    match value:
        case str():
            return without(value, secrets)
        case list():
            return [_inside(one, secrets) for one in value]
        case dict():
            return without_inside(value, secrets)
        case _:
            return value


def shown_to_people(options: Mapping[str, str]) -> dict[str, str]:
    """The options of a plugin's volume: only their names, and how they are written, tell what is a secret."""
    return {
        key: MASK if is_secret(key) and value else masked_device(mount_options.masked(value))
        for key, value in options.items()
    }


@contextmanager
def discreet(options: Mapping[str, str] | None) -> Iterator[None]:
    """Errors of the block say nothing that is not for people's eyes."""
    try:
        yield
    except VolfsError as error:
        said = without(str(error), secrets_of(options))
        if said == str(error):
            raise
        raise (HostError(said, error.errno) if isinstance(error, HostError) else type(error)(said)) from None


def _secrets(key: str, value: str) -> Iterator[str]:
    if is_secret(key):
        yield value
    yield from mount_options.secrets(value)
    for one in device_secrets(value):
        yield from {one, *one.split("/")}  # to a resolver, `//user:half/half@host` is a host called `user:half`


def _ways(secret: str) -> Iterator[str]:
    for one in {secret, secret.replace(",,", ","), unquote(secret)}:
        yield from (
            one,
            quote(one, errors="surrogatepass"),
            quote(one, safe="", errors="surrogatepass"),
            json.dumps(one)[1:-1],
            json.dumps(one, ensure_ascii=False)[1:-1],
        )
        yield one.encode("unicode_escape").decode()
