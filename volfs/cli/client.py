"""The daemon's HTTP API from the outside: one request, one answer, over a Unix socket.

Law: what comes back is a decoded JSON value or one of the errors here, each a line that a person can act on.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from volfs.cli.wire import Strange, ask
from volfs.errors import VolfsError

TIMEOUT = 150.0  # the longest that Docker lets a volume plugin take is two minutes
TRIES = 3
PAUSE = 0.2  # a daemon that was killed is replaced within some hundred milliseconds


class NoDaemon(VolfsError):
    """Nothing answers on the socket, or it is not for us."""


class Ended(NoDaemon):
    """It answered, and ended before the answer was whole."""


class BadAnswer(VolfsError):
    """Something answers on the socket, but not as a volfs daemon does."""


class ApiError(VolfsError):
    """The daemon refused, for the reason in its message. `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Asks the daemon that listens on `socket_path`."""

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path

    def request(
        self, method: str, path: str, query: dict[str, str] | None = None, body: object = None, *, again: bool = False
    ) -> object:
        """The decoded answer, None where there is none; raises ApiError, NoDaemon or BadAnswer.

        A daemon may be replaced while it works for us; its socket stays. What changes nothing is then asked again, and
        what says with `again` that to do it twice is to do it once.
        """
        target = path + ("?" + urlencode(query) if query else "")
        for left in reversed(range(TRIES if method == "GET" or again else 1)):
            try:
                status, answer = self._exchange(method, target, body)
                break
            except ConnectionError as error:
                if not left:
                    raise self.ended() from error
                time.sleep(PAUSE)
        value = self._decoded(answer)
        if status >= 400:
            raise ApiError(status, self._message(status, value))
        return value

    def lines(self, path: str, query: Sequence[tuple[str, str]]) -> Iterator[object]:
        """An answer of one JSON value a line, each as it comes; raises as `request` does, also in the middle."""
        target = path + ("?" + urlencode(query, errors="surrogateescape") if query else "")
        try:
            with self._errors(), self._connected() as connection:
                response = ask(connection, "GET", target)
                if response.status >= 400:
                    raise ApiError(response.status, self._message(response.status, self._decoded(response.read())))
                for line in response.lines():
                    yield self._decoded(line)
        except ConnectionError as error:
            raise self.ended() from error

    def ended(self) -> Ended:
        """The error for an answer that is not whole."""
        return Ended(f"the daemon on {self.socket_path} ended before it answered; ask again")

    @contextlib.contextmanager
    def stream(self, path: str, query: dict[str, str]) -> Iterator["Stream"]:
        """An answer that lasts as long as the block; raises as `request` does."""
        with contextlib.ExitStack() as stack:
            try:
                with self._errors():
                    connection = stack.enter_context(self._connected())
                    response = ask(connection, "GET", path + "?" + urlencode(query, errors="surrogateescape"))
                    line = next(response.lines(), b"") if response.status < 400 else response.read()
            except ConnectionError as error:
                raise self.ended() from error
            value = self._decoded(line)
            if response.status >= 400:
                raise ApiError(response.status, self._message(response.status, value))
            connection.setblocking(False)
            yield Stream(value, connection)

    def _exchange(self, method: str, target: str, body: object) -> tuple[int, bytes]:
        content = None if body is None else json.dumps(body).encode()
        with self._errors(), self._connected() as connection:
            response = ask(connection, method, target, content)
            return response.status, response.read()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            self._connect(connection)
            yield connection

    def _connect(self, connection: socket.socket) -> None:
        path = self.socket_path
        try:
            connection.connect(path)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise NoDaemon(
                f'no daemon on {path}: start one with "volfs serve", or choose its socket with --host'
            ) from error
        except PermissionError as error:
            raise NoDaemon(
                f"not allowed to use {path}: it is its owner's, so run this as that user (root, mostly)"
            ) from error
        except OSError as error:
            raise NoDaemon(f"{path} cannot be a daemon's socket: {error.strerror or error}") from error

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """What goes wrong between us and the daemon; ConnectionError passes."""
        try:
            yield
        except TimeoutError as error:
            raise NoDaemon(f"the daemon on {self.socket_path} did not answer in {TIMEOUT:.0f} seconds") from error
        except ConnectionError:
            raise
        except Strange as error:
            raise self._strange() from error
        except OSError as error:
            raise NoDaemon(f"{self.socket_path}: {error.strerror or error}") from error

    def _decoded(self, answer: bytes) -> object:
        try:
            return json.loads(answer) if answer.strip() else None
        except (ValueError, RecursionError) as error:
            raise self._strange() from error

    def _message(self, status: int, value: object) -> str:
        message = value.get("message") if isinstance(value, dict) else None
        return message if isinstance(message, str) and message else f"the daemon answered {status} without a reason"

    def _strange(self) -> BadAnswer:
        return BadAnswer(f"what answers on {self.socket_path} does not speak as a volfs daemon does; is --host right?")


class Stream:
    """An answer that goes on. `first` is what its first line said."""

    def __init__(self, first: object, connection: socket.socket) -> None:
        self.first = first
        self._connection = connection

    def check(self) -> None:
        """Raises NoDaemon where the daemon has ended it; returns at once."""
        try:
            while self._connection.recv(1 << 10):
                pass
        except BlockingIOError:
            return
        except OSError:
            pass
        raise NoDaemon("the daemon went away meanwhile, so this could not go on; do it again")
