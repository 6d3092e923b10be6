"""One line an event: what happened, then key=value (or one JSON object), on standard error.

Fields come through `extra=`. Law: a value never breaks a line, and nobody puts a secret into one; what looks like one
all the same, in a traceback for example, is masked.
"""

import json
import logging
import sys
from datetime import UTC, datetime

from volfs.masking import masked_text

_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class TextFormatter(logging.Formatter):
    """`2026-11-24T03:39:46Z info ready volumes=3 seconds=0.012`"""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {key}={_word(value)}" for key, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname.lower()} {masked_text(record.getMessage())}{fields}"
        return f"{line}\n{masked_text(self.formatException(record.exc_info))}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """The same as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        event = {"time": _time(record), "level": record.levelname.lower(), "event": masked_text(record.getMessage())}
        if record.exc_info:
            event["traceback"] = masked_text(self.formatException(record.exc_info))
        return json.dumps(event | _fields(record), default=str)


def configure(log_format: str) -> None:
    """Sends the log of this process to standard error, as "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = {key: value for key, value in vars(record).items() if key not in _OWN}
    return {key: value if isinstance(value, int | float) else masked_text(str(value)) for key, value in fields.items()}


def _word(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and text and not set(text) & set(' "=') else json.dumps(text)
