"""The pages of a bbolt file: where they lie and what is in one, each number checked against the bytes there are.

    page    id u64 │ flags u16 │ count u16 │ overflow u32               16 bytes; `overflow` pages more belong to it
    leaf    flags u32 │ pos u32 │ ksize u32 │ vsize u32                 `count` of them; pos counts from the element
    branch  pos u32 │ ksize u32 │ child u64                             the key is the lowest one below the child
    bucket  root u64 │ sequence u64                                     value of a leaf element with flag 1; where root
                                                                        is 0, a page of the bucket's own follows in it
    meta    magic u32 │ version u32 │ page size u32 │ flags u32         pages 0 and 1, written in turns
            root bucket │ freelist u64 │ end u64 │ txid u64 │ FNV-64a u64

Law: any bytes give values or Damage, and a page never gives more bytes than it has. Numbers are little-endian, as on
every machine that Docker supports but s390x. Source: bbolt's page.go, meta.go and bucket.go.
"""

from dataclasses import dataclass
from mmap import mmap
from struct import Struct

Buffer = bytes | bytearray | memoryview | mmap

BRANCH, LEAF, FREELIST = 1, 2, 16
BUCKET = 1  # the flag of a leaf element whose value is a bucket
HEADER = 16
_MAGIC, _VERSION = 0xED0CDAED, 2
_SMALLEST, _LARGEST = 1 << 10, 1 << 25  # page sizes that bbolt looks for the second meta with

_page = Struct("<QHHI")
_meta = Struct("<IIIIQQQQQQ")
_leaf = Struct("<IIII")
_branch = Struct("<IIQ")
_bucket = Struct("<QQ")
_FNV_START, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class Damage(Exception):
    """A page that cannot be followed. `str()` says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Meta:
    """A state of the file: `root` is the page with the buckets, `end` the first page that was never used."""

    page_size: int
    root: int
    freelist: int
    end: int
    transaction: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page within the bytes at hand: `stop` is where its last byte may be, `cut` how many bytes the file lacks."""

    number: int
    id: int
    flags: int
    count: int
    start: int
    stop: int
    cut: int = 0


def metas(buffer: Buffer) -> list[Meta]:
    """The states that can be followed, newest first. The second meta is found for any page size."""
    first = _meta_at(buffer, 0)
    sizes = [first.page_size] if first else [1 << power for power in range(10, 26)]
    seconds = [_meta_at(buffer, size) for size in sizes]
    second = next((meta for meta, size in zip(seconds, sizes, strict=True) if meta and meta.page_size == size), None)
    return sorted((meta for meta in (first, second) if meta), key=lambda meta: -meta.transaction)


def page_at(buffer: Buffer, number: int, page_size: int) -> Page:
    """The page with a number; raises Damage where the file has none, or it begins with a flag of none."""
    start = number * page_size
    if start + HEADER > len(buffer):
        raise Damage(f"page {number} lies behind the end of the file")
    return _page_of(buffer, start, number, None, page_size)


def inline_page(buffer: Buffer, start: int, stop: int) -> Page:
    """The page of a bucket so small that it is kept in the bucket's value; raises Damage."""
    if start + HEADER > stop:
        raise Damage("the bucket is shorter than the page in it")
    page = _page_of(buffer, start, 0, stop, 0)
    if page.flags != LEAF:
        raise Damage("the page in the bucket holds no entries")
    return page


def bucket_root(buffer: Buffer, start: int, stop: int) -> int:
    """The root page of the bucket whose value lies there, 0 for one that follows inline; raises Damage."""
    if start + _bucket.size > stop:
        raise Damage("the bucket's value is too short for one")
    root: int = _bucket.unpack_from(buffer, start)[0]
    return root


def children(buffer: Buffer, page: Page) -> tuple[list[tuple[bytes, int]], bool]:
    """The keys and children of a branch page, and whether these are all that it has."""
    result: list[tuple[bytes, int]] = []
    elements, sound = _elements(buffer, page, _branch.size, 0)
    for element in elements:
        position, key_size, child = _branch.unpack_from(buffer, element)
        key = element + position
        if key + key_size <= page.stop:
            result.append((bytes(buffer[key : key + key_size]), child))
    return result, sound and len(result) == page.count


def entries(buffer: Buffer, page: Page) -> tuple[list[tuple[int, bytes, int, int]], bool]:
    """The elements of a leaf page (flags, key, start and stop of the value), and whether these are all that it has.

    Together they are never larger than the page: elements that share their bytes are as bad as those outside of it.
    """
    result: list[tuple[int, bytes, int, int]] = []
    left = page.stop - page.start
    elements, sound = _elements(buffer, page, _leaf.size, 4)
    for element in elements:
        flags, position, key_size, value_size = _leaf.unpack_from(buffer, element)
        key = element + position
        value = key + key_size
        size = _leaf.size + key_size + value_size
        if key_size and size <= left and value + value_size <= page.stop:
            result.append((flags, bytes(buffer[key:value]), value, value + value_size))
            left -= size
    return result, sound and len(result) == page.count


def free_pages(buffer: Buffer, meta: Meta) -> set[int]:
    """The pages that hold nothing or what was deleted; empty where the list of them cannot be read."""
    try:
        page = page_at(buffer, meta.freelist, meta.page_size)
    except Damage:
        return set()
    start, count = page.start + HEADER, page.count
    if count == 0xFFFF and start + 8 <= page.stop:
        count, start = int.from_bytes(buffer[start : start + 8], "little"), start + 8
    if page.flags != FREELIST or count > (page.stop - start) // 8:
        return set()
    return set(Struct(f"<{count}Q").unpack_from(buffer, start))


def _elements(buffer: Buffer, page: Page, size: int, position: int) -> tuple[range, bool]:
    """Where the elements of a page begin, and whether its count is right.

    The data of the first element lies right behind the last one, which tells how many there are once more; of two
    counts the larger one is taken, because what is no element seldom fits into the page. `position` is where in an
    element its `pos` is.
    """
    first = page.start + HEADER
    room = (page.stop - first) // size
    if not page.count or not room:
        return range(0), not page.count
    behind, rest = divmod(int.from_bytes(buffer[first + position : first + position + 4], "little"), size)
    count = max(page.count, behind) if not rest and behind <= room else page.count
    return range(first, first + min(count, room) * size, size), count == page.count == behind and not rest


def _meta_at(buffer: Buffer, start: int) -> Meta | None:
    start += HEADER
    if start + _meta.size > len(buffer):
        return None
    magic, version, page_size, _, root, _, freelist, end, transaction, checksum = _meta.unpack_from(buffer, start)
    if (magic, version) != (_MAGIC, _VERSION) or checksum != fnv64a(bytes(buffer[start : start + _meta.size - 8])):
        return None
    if not _SMALLEST <= page_size <= _LARGEST or page_size & (page_size - 1):
        return None
    return Meta(page_size, root, freelist, end, transaction)


def _page_of(buffer: Buffer, start: int, number: int, stop: int | None, page_size: int) -> Page:
    id_, flags, count, overflow = _page.unpack_from(buffer, start)
    if flags not in (BRANCH, LEAF, FREELIST):
        raise Damage(f"page {number} is neither branch, leaf nor list of free pages")
    wanted = stop if stop is not None else start + (overflow + 1) * page_size
    return Page(number, id_, flags, count, start, min(wanted, len(buffer)), max(0, wanted - len(buffer)))


def fnv64a(text: bytes) -> int:
    """The checksum of a meta."""
    result = _FNV_START
    for byte in text:
        result = (result ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return result
