"""A small writer of bbolt files, for pages of any size and for faults that no bbolt would write; and what to write."""

import json
import struct

from volfs.dockerroot.bolt import read
from volfs.dockerroot.metadata import plausible
from volfs.dockerroot.pages import fnv64a

PAGE_SIZES = [1024, 4096, 8192, 16384, 65536]


class BoltFile:
    """Pages to be filled one by one; `bytes()` of it is the file."""

    def __init__(self, page_size=4096):
        self.page_size, self.pages, self.end = page_size, {}, 4
        self.put_page(2, 16, 0, b"")
        self.put_page(3, 2, 0, b"")

    def put_page(self, number, flags, count, body, overflow=0):
        content = struct.pack("<QHHI", number, flags, count, overflow) + body
        assert len(content) <= (overflow + 1) * self.page_size
        self.pages[number] = content

    def allocate(self, size):
        overflow = max(0, -(-(16 + size) // self.page_size) - 1)
        number, self.end = self.end, self.end + overflow + 1
        return number, overflow

    def leaf(self, elements):
        """A leaf page of (key, value) or (key, value, flags); its number."""
        body = leaf_body(elements)
        number, overflow = self.allocate(len(body))
        self.put_page(number, 2, len(elements), body, overflow)
        return number

    def branch(self, below):
        """A branch page over (key, child); its number."""
        body = branch_body(below)
        number, overflow = self.allocate(len(body))
        self.put_page(number, 1, len(below), body, overflow)
        return number

    def tree(self, pairs, most=20):
        """A tree with at most so many entries a page; the number of its root."""
        pairs = sorted(pairs.items())
        level = [(part[0][0], self.leaf(part)) for part in parts(pairs, most)] or [(b"", self.leaf([]))]
        while len(level) > 1:
            level = [(part[0][0], self.branch(part)) for part in parts(level, most)]
        return level[0][1]

    def buckets(self, **roots):
        """The page with the buckets, each the number of a root or the value of an inline bucket; its number."""
        elements = [
            (name.encode(), root if isinstance(root, bytes) else struct.pack("<QQ", root, 0), 1)
            for name, root in sorted(roots.items())
        ]
        return self.leaf(elements)

    def free(self, numbers):
        """Writes the list of free pages."""
        count = len(numbers)
        body = struct.pack(f"<{count}Q", *numbers)
        if count >= 0xFFFF:
            body, count = struct.pack("<Q", count) + body, 0xFFFF
        number, overflow = self.allocate(len(body))
        self.put_page(number, 16, count, body, overflow)
        return number

    def meta(self, root, transaction, freelist=2):
        """Writes one of the two metas: that of the transaction's parity, as bbolt does."""
        place = transaction % 2
        fields = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, self.page_size, 0, root, 0, freelist, self.end, transaction)
        self.put_page(place, 4, 0, fields + struct.pack("<Q", fnv64a(fields)))

    def damage(self, number):
        """Fills a page with 0xff."""
        self.pages[number] = b"\xff" * self.page_size

    def __bytes__(self):
        result = bytearray(self.end * self.page_size)
        for number, content in self.pages.items():
            result[number * self.page_size : number * self.page_size + len(content)] = content
        return bytes(result)


def leaf_body(elements):
    head, data, position = b"", b"", 16 * len(elements)
    for number, (key, value, *flags) in enumerate(elements):
        head += struct.pack("<IIII", flags[0] if flags else 0, position - 16 * number, len(key), len(value))
        data += key + value
        position += len(key) + len(value)
    return head + data


def branch_body(below):
    head, data, position = b"", b"", 16 * len(below)
    for number, (key, child) in enumerate(below):
        head += struct.pack("<IIQ", position - 16 * number, len(key), child)
        data += key
        position += len(key)
    return head + data


def inline(elements, flags=2):
    """The value of a bucket that is kept in its parent's page."""
    return struct.pack("<QQ", 0, 0) + struct.pack("<QHHI", 0, flags, len(elements), 0) + leaf_body(elements)


def whole_file(pairs, page_size=4096, most=20):
    """A file with one bucket `volumes`, the same in both of its states."""
    file = BoltFile(page_size)
    root = file.buckets(volumes=file.tree(pairs, most))
    for transaction in (2, 3):
        file.meta(root, transaction)
    return file


def parts(items, most):
    return [items[start : start + most] for start in range(0, len(items), most)]


def entry(name, label=""):
    return json.dumps({"Name": name, "Driver": "local", "Labels": {"l": label}, "Options": None}, separators=(",", ":"))


def volumes(count, label=""):
    return {b"vol%05d" % n: entry(f"vol{n:05d}", label).encode() for n in range(count)}


def codes(reading):
    return {finding.code for finding in reading.findings}


def reading_of(file):
    return read(bytes(file), b"volumes", plausible)
