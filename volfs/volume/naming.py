"""Errors of the parts say what was done to which volume, as Docker's do: `create db: invalid option: "x"`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from volfs.driver.discretion import discreet
from volfs.errors import HostError, VolfsError


@contextmanager
def named(operation: str, name: str, options: Mapping[str, str] | None = None) -> Iterator[None]:
    """Puts the operation and the volume's name before every error of the block, which tell no secret of its options."""
    try:
        with discreet(options):
            yield
    except HostError as error:
        raise HostError(f"{operation} {name}: {error}", error.errno) from error
    except VolfsError as error:
        raise type(error)(f"{operation} {name}: {error}") from error
