"""The few kinds of failure; each face has one table that turns a kind into an errno, an HTTP status or an exit code.

A message says what happened, to which volume, and what to do. It never holds a secret.
"""


class VolfsError(Exception):
    """Something that a caller can act on. `str()` of it is for people."""


class Invalid(VolfsError):
    """The caller asked for something that can never be right."""


class NotFound(VolfsError):
    """What was named is not there."""


class Conflict(VolfsError):
    """What was asked for contradicts what is there."""


class InUse(VolfsError):
    """Somebody uses what was to be taken away."""


class Unavailable(VolfsError):
    """It is there but cannot be used now; asking again later may help."""


class HostError(VolfsError):
    """The host refused: a full disk, a missing device, a failed mount. Carries the errno where there is one."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno
