"""What a volume's directory says about itself: opts.json, Docker's text, and meta.json, ours.

    opts.json   {"MountType": …, "MountOpts": …, "MountDevice": …, "Quota": {"Size": 0}}   only where there are options
    meta.json   {"Driver": …, "CreatedAt": RFC 3339 in UTC, "Labels": {…} or null, "Options": {…} or null}

Law: opts.json decides what is mounted; meta.json may be absent or broken and costs only the labels. A file is opened in
its directory, follows no symlink, waits for no fifo, and is at most LARGEST bytes. A volume whose opts.json is lost,
broken or unreadable is damaged: taken for a plain directory, it would fill the host's disk instead of its server's.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from volfs.driver.options import from_text, mount_source, to_text
from volfs.errors import Invalid

LARGEST = 16 << 20


@dataclass(frozen=True)
class Description:
    """A volume as its directory describes it; `damage` says, for people, why its options cannot be trusted.

    `created` is in seconds since the epoch. None for labels or options where none were given.
    """

    created: int
    driver: str = "local"
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None
    damage: str | None = None


class _Meta(msgspec.Struct, rename="pascal"):
    driver: str = ""
    created_at: str = ""
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None


def write_record(directory: int, description: Description, *, synced: bool = True) -> None:
    """Writes both files into a new directory and syncs them; raises Invalid where a text in it is none."""
    for name, text in record_texts(description).items():
        write_file(name, text, directory, synced=synced)


def rewrite_record(directory: int, names: Iterable[str], description: Description) -> None:
    """Writes those of the files anew, and syncs them."""
    texts = record_texts(description)
    for name in names:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        write_file(name, texts[name], directory)


def record_texts(description: Description) -> dict[str, bytes]:
    """The files of a volume that says this; raises Invalid where a text in it is none."""
    meta = {"meta.json": meta_text(description)}
    return {"opts.json": to_text(description.options), **meta} if description.options else meta


def sync_record(directory: int) -> None:
    """Makes both files durable, where they are files."""
    for name in ("opts.json", "meta.json"):
        with suppress(FileNotFoundError, Invalid), _opened(name, directory) as descriptor:
            os.fsync(descriptor)


def torn(directory: int, description: Description) -> list[str]:
    """The files that a power cut took away or cut off; what somebody else has written is none of them."""
    found = []
    for name, text in record_texts(description).items():
        with suppress(Invalid):
            there = read_file(name, directory)
            if there is None or (there != text and text.startswith(there.rstrip(b"\0"))):
                found.append(name)
    return found


def is_whole(directory: int) -> bool:
    """Whether both files are there and say the same."""
    said = read_record(directory)
    try:
        return not said.damage and all(read_file(name, directory) == text for name, text in record_texts(said).items())
    except Invalid:
        return False


def write_note(name: str, directory: int, description: Description) -> None:
    """Writes what meta.json would say into a new file and syncs it, for a volume without a directory here."""
    write_file(name, meta_text(description), directory)


def read_note(name: str, directory: int) -> Description | None:
    """Reads a note; None where there is none that can be read."""
    meta = _read_meta(name, directory)
    return Description(_seconds(meta.created_at) or 0, meta.driver, meta.labels, meta.options) if meta.driver else None


def read_record(directory: int) -> Description:
    """Reads both files; never raises for what they hold."""
    meta = _read_meta("meta.json", directory)
    created = _seconds(meta.created_at)
    if created is None:
        created = int(os.fstat(directory).st_ctime)
    try:
        options = agreed_options(read_file("opts.json", directory), meta.options)
    except Invalid as error:
        return Description(created, "local", meta.labels, meta.options, f"opts.json: {error}")
    return Description(created, "local", meta.labels, options)


def meta_damage(directory: int) -> str:
    """Why meta.json cannot be read; "" where it can, and where there is none."""
    try:
        text = read_file("meta.json", directory)
        if text is not None:
            _parse_meta(text)
    except Invalid as error:
        return str(error)
    return ""


def meta_text(description: Description) -> bytes:
    """What meta.json says of a volume; raises Invalid where a text in it is none."""
    created = datetime.fromtimestamp(description.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        return msgspec.json.encode(_Meta(description.driver, created, description.labels, description.options))
    except UnicodeEncodeError:
        raise Invalid("labels and options must be text that UTF-8 can hold") from None


def agreed_options(text: bytes | None, remembered: dict[str, str] | None) -> dict[str, str] | None:
    """What opts.json says, in the words that are remembered where both say the same: opts.json drops empty values.

    Raises Invalid where it cannot be read, or is missing although mount options are remembered.
    """
    if text is None:
        if mount_source(remembered):
            raise Invalid("is missing, although the volume was made with mount options")
        return remembered
    found = from_text(text)
    try:
        same = found == from_text(to_text(remembered or {}))
    except Invalid:
        same = False
    return remembered if same else found


def _read_meta(name: str, directory: int) -> _Meta:
    try:
        text = read_file(name, directory)
        return _parse_meta(text) if text is not None else _Meta()
    except Invalid:
        return _Meta()


def _parse_meta(text: bytes) -> _Meta:
    try:
        return msgspec.json.decode(text, type=_Meta)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(str(error)) from None


def _seconds(rfc3339: str) -> int | None:
    try:
        moment = datetime.fromisoformat(rfc3339)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def read_file(name: str, directory: int) -> bytes | None:
    """The bytes of a file in `directory`; None where there is none, Invalid where it cannot be read or is no file."""
    try:
        with _opened(name, directory) as descriptor, open(descriptor, "rb", closefd=False) as file:
            text = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Invalid(f"cannot be read: {error.strerror}") from None
    if len(text) > LARGEST:
        raise Invalid(f"is larger than {LARGEST} bytes")
    return text


@contextmanager
def _opened(name: str, directory: int) -> Iterator[int]:
    """A file of `directory`. Raises FileNotFoundError, and Invalid where it cannot be opened or is no file."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Invalid("is a symlink" if error.errno == errno.ELOOP else f"cannot be opened: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Invalid("is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def write_file(name: str, text: bytes, directory: int, *, synced: bool = True) -> None:
    """Writes a new file, for root alone, and syncs it; raises FileExistsError where anything has its name."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    try:
        while text:
            text = text[os.write(descriptor, text) :]
        os.fchmod(descriptor, 0o600)
        if synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
