"""One bucket of a bbolt file, read only, as far as its bytes allow.

    newest state whole                    its pairs, and nothing else is looked at
    something in it cannot be followed    its pairs; what they lack, from the state before it; what both lack, from
                                          pages that nobody points at and whose pairs look right

Law: any bytes give a Reading, and every departure from the first line is a finding. The work is bounded: a state visits
each page once and takes no more bytes out of pages than the file has. What a healthy state says is never overruled.

A file that is being written: a change never touches the pages of the state before it. So a copy of the file is sound if
`newest_transaction` of its beginning, read again afterwards, is still the copy's; else copy it once more. Hand over a
copy rather than a mapping where somebody may shorten the file: reading behind its new end is SIGBUS.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from volfs.dockerroot import pages
from volfs.dockerroot.pages import Buffer, Damage, Meta, Page
from volfs.findings import Finding, Findings

BEGINNING = pages.HEADER + 64 + (1 << 16)  # bytes that hold both metas for pages of up to 64 KiB
_USUAL_PAGE_SIZES = (4096, 16384, 65536, 8192, 1024, 2048, 32768)

Plausible = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read; `transaction` is the number of the newest state, None where no meta can be read."""

    pairs: dict[bytes, bytes]
    findings: tuple[Finding, ...]
    transaction: int | None


def read(buffer: Buffer, bucket: bytes, plausible: Plausible | None = None) -> Reading:
    """The pairs of a top-level `bucket`, in the order of their keys.

    `plausible` tells whether a key and a value belong together; without it, pages that nobody points at are left alone.
    """
    findings = Findings()
    states = pages.metas(buffer)
    _note_metas(states, len(buffer), findings)
    walks: list[_Walk] = []
    for meta in states:
        walk = _Walk(buffer, meta.page_size, findings)
        walk.read(meta, bucket)
        walks.append(walk)
        if walk.whole:
            break
    pairs = dict(walks[0].trusted) if walks else {}
    if walks and walks[0].whole:
        return Reading(pairs, findings.all(), states[0].transaction)
    _fill(pairs, _doubtful(walks, plausible), findings, "bolt-earlier-state", "of an earlier state of the file")
    if plausible and len(buffer):
        lost = _unreferenced(buffer, states, walks, plausible)
        _fill(pairs, lost, findings, "bolt-salvaged", "of pages that nothing points at; some may have been removed")
    return Reading(dict(sorted(pairs.items())), findings.all(), states[0].transaction if states else None)


def newest_transaction(beginning: Buffer) -> int | None:
    """The number of the newest state, from the first BEGINNING bytes of the file; None where no meta can be read."""
    return next((meta.transaction for meta in pages.metas(beginning)), None)


def _note_metas(states: list[Meta], size: int, findings: Findings) -> None:
    if not size:
        findings.note("bolt-empty", "the file is empty")
    elif not states:
        findings.note("bolt-no-meta", "neither of the two pages that describe the file can be read")
    elif len(states) == 1:
        findings.note(
            "bolt-one-meta", "one of the two pages that describe the file is damaged: the last change to it may be lost"
        )


def _doubtful(walks: "list[_Walk]", plausible: Plausible | None) -> dict[bytes, bytes]:
    """What the states say beside the trusted pairs of the newest one, the newer ones first."""
    result: dict[bytes, bytes] = {}
    for walk in walks:
        for pairs in (walk.trusted, walk.misplaced):
            for key, value in pairs.items():
                if key not in result and (plausible is None or plausible(key, value)):
                    result[key] = value
    return result


def _fill(pairs: dict[bytes, bytes], more: dict[bytes, bytes], findings: Findings, code: str, whence: str) -> None:
    added = {key: value for key, value in more.items() if key not in pairs}
    if added:
        pairs.update(added)
        findings.note(code, f"{len(added)} entries are {whence}")


@dataclass
class _Walk:
    """One walk through a state: a tree of buckets, and in it the tree of one bucket.

    `misplaced` are pairs of pages that another page's keys do not lead to: a pointer or a key there is wrong.
    """

    buffer: Buffer
    page_size: int
    findings: Findings
    trusted: dict[bytes, bytes] = field(default_factory=dict)
    misplaced: dict[bytes, bytes] = field(default_factory=dict)
    visited: set[int] = field(default_factory=set)
    whole: bool = True
    left: int = 0

    def __post_init__(self) -> None:
        self.left = len(self.buffer)

    def read(self, meta: Meta, bucket: bytes) -> None:
        found = self._bucket(meta.root, bucket)
        if found is None:
            if self.whole:
                self.findings.note("bolt-no-bucket", f"the file has no {bucket.decode(errors='replace')!r}")
            return
        try:
            root = pages.bucket_root(self.buffer, *found)
            if root:
                leaves = self._leaves(root)
            else:
                leaves = iter([(pages.inline_page(self.buffer, found[0] + 16, found[1]), b"", None)])
            for page, low, high in leaves:
                self._take(page, low, high)
        except Damage as error:
            self._damaged(str(error))

    def _bucket(self, root: int, name: bytes) -> tuple[int, int] | None:
        for page, _, _ in self._leaves(root):
            for flags, key, start, stop in self._entries(page):
                if flags & pages.BUCKET and key == name:
                    return start, stop
        return None

    def _leaves(self, root: int) -> Iterator[tuple[Page, bytes, bytes | None]]:
        """The leaf pages below `root` in order, each with the keys that it lies between."""
        waiting: list[tuple[int, bytes, bytes | None]] = [(root, b"", None)]
        while waiting:
            number, low, high = waiting.pop()
            page = self._page(number)
            if page is None:
                continue
            if not page.count and (number != root or page.flags == pages.BRANCH):
                self._damaged(f"page {number} is empty, although keys lead to it")
            if page.flags == pages.LEAF:
                yield page, low, high
                continue
            below, sound = pages.children(self.buffer, page)
            self._charge(page, sum(16 + len(key) for key, _ in below), sound)
            lows = [low, *(key for key, _ in below[1:])]
            highs = [*lows[1:], high]
            waiting.extend((below[at][1], lows[at], highs[at]) for at in reversed(range(len(below))))

    def _page(self, number: int) -> Page | None:
        if self.left < 0:
            return None
        try:
            if number in self.visited:
                raise Damage(f"page {number} is pointed at twice")
            page = pages.page_at(self.buffer, number, self.page_size)
            self.visited.add(number)
            if page.flags == pages.FREELIST:
                raise Damage(f"page {number} is a list of free pages where entries must be")
        except Damage as error:
            self._damaged(str(error))
            return None
        if page.id != number:
            self._damaged(f"page {number} says that it is page {page.id}")
        if page.cut:
            self._damaged(f"the file ends {page.cut} bytes before page {number} does")
        return page

    def _take(self, page: Page, low: bytes, high: bytes | None) -> None:
        for flags, key, start, stop in self._entries(page):
            if flags & pages.BUCKET:
                continue
            fits = key >= low and (high is None or key < high) and key not in self.trusted
            if not fits:
                self._damaged(f"page {page.number} has keys that do not belong there")
            (self.trusted if fits else self.misplaced)[key] = bytes(self.buffer[start:stop])

    def _entries(self, page: Page) -> list[tuple[int, bytes, int, int]]:
        found, sound = pages.entries(self.buffer, page)
        values = sum(stop - start for flags, _, start, stop in found if not flags & pages.BUCKET)
        self._charge(page, values + sum(16 + len(key) for _, key, _, _ in found), sound)
        return found if self.left >= 0 else []

    def _charge(self, page: Page, size: int, sound: bool) -> None:
        if not sound:
            self._damaged(f"page {page.number} has entries that cannot be read, or another number of them than it says")
        self.left -= size
        if self.left < 0:
            self._damaged("the pages claim more bytes than the file has")

    def _damaged(self, text: str) -> None:
        self.whole = False
        self.findings.note("bolt-page", text)


def _unreferenced(buffer: Buffer, states: list[Meta], walks: list[_Walk], plausible: Plausible) -> dict[bytes, bytes]:
    """The pairs of leaf pages that no state led to and that are not known to be free."""
    if not states:
        found = (_salvage(buffer, size, set(), plausible) for size in _USUAL_PAGE_SIZES)
        return next((pairs for pairs in found if pairs), {})
    known = pages.free_pages(buffer, states[0]).union(*(walk.visited for walk in walks))
    return _salvage(buffer, states[0].page_size, known, plausible)


def _salvage(buffer: Buffer, page_size: int, known: set[int], plausible: Plausible) -> dict[bytes, bytes]:
    result: dict[bytes, bytes] = {}
    left = len(buffer)
    for number in range(2, len(buffer) // page_size + 1):
        if number in known or left < 0:
            continue
        try:
            page = pages.page_at(buffer, number, page_size)
        except Damage:
            continue
        if page.flags != pages.LEAF or page.id != number:
            continue
        for flags, key, start, stop in pages.entries(buffer, page)[0]:
            left -= 16 + len(key) + stop - start
            value = bytes(buffer[start:stop])
            if left >= 0 and not flags & pages.BUCKET and plausible(key, value):
                result.setdefault(key, value)
    return result
