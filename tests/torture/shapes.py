"""Any bytes as JSON or MessagePack that a parser knows the words of: what a change of bytes alone would never hit upon.

Law: the same bytes give the same value, a byte more or less a value that is much the same, so that a fuzzer can climb.
"""

import json
from collections.abc import Callable, Iterator, Sequence

import msgspec

DEEPEST = 10
_ODD: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 0.5, 1 << 31, 1 << 64, 10**30, 1e308, "", "\0", "\n", "é", "/", "..", "a", [], {},
)  # fmt: skip
Shape = Callable[[bytes], bytes]


def words_of(texts: Sequence[bytes]) -> list[str]:
    """The keys and strings in those texts that are JSON, or several of it with a NUL between."""
    found: dict[str, None] = {}
    for text in texts:
        for part in text.split(b"\0"):
            try:
                found.update(dict.fromkeys(_strings(json.loads(part))))
            except ValueError:
                continue
    return [word for word in found if "\ud800" not in word]


def _strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, content in value.items():
                yield key
                yield from _strings(content)
        case list():
            for one in value:
                yield from _strings(one)


def value_of(data: bytes, words: Sequence[str]) -> object:
    """What these bytes stand for."""
    return _value(iter(data), words, 0)


def _value(data: Iterator[int], words: Sequence[str], depth: int) -> object:
    kind = next(data, 0)
    if kind < 0x40 or depth == DEEPEST:
        return _ODD[kind % len(_ODD)]
    if kind < 0x70:
        return _word(data, words)
    if kind < 0x90:
        return [_value(data, words, depth + 1) for _ in range(kind % 4)]
    return {_word(data, words): _value(data, words, depth + 1) for _ in range(kind % 8)}


def _word(data: Iterator[int], words: Sequence[str]) -> str:
    first = next(data, 0)
    if first == 0xFF or not words:
        return bytes(byte for byte in (next(data, 0) for _ in range(first % 9)) if byte).decode(errors="replace")
    return words[(first << 8 | next(data, 0)) % len(words)] if len(words) > 255 else words[first % len(words)]


def as_json(texts: Sequence[bytes], parts: int = 1) -> Shape:
    """A shape of JSON with the words in `texts`; several parts have a NUL between them."""
    words = words_of(texts)

    def shape(data: bytes) -> bytes:
        size = -(-len(data) // parts)
        pieces = (data[size * part : size * (part + 1)] for part in range(parts))
        return b"\0".join(json.dumps(value_of(piece, words)).encode() for piece in pieces)

    return shape


def as_msgpack(texts: Sequence[bytes]) -> Shape:
    """A shape of MessagePack behind a byte that is kept, with the words of `texts`, which are such."""
    words = [word for text in texts for word in _strings(msgspec.msgpack.decode(text[1:]))]

    def shape(data: bytes) -> bytes:
        value = value_of(data[1:], words)
        try:
            return data[:1] + msgspec.msgpack.encode(value)
        except OverflowError:  # it has no number as large as JSON's
            return data[:1]

    return shape
