"""What plugins say of their volumes, brought together with what we have on record.

    told and on record      ok, with the mountpoint that was told
    told, not on record     found: it is shown and can be used
    on record, not told     missing; a volume that was only found goes, it was never ours
    no answer               unknown, and asked again after 1, 2, 4 … 60 seconds until there is one

Law: what is on record is the answer, and a plugin gets a moment to say something newer: GLANCE for a list, SEARCH for
a volume that nobody has on record, and one that hangs gets it only once. One question at a time for each plugin. What a
plugin says is committed only where nobody changed the volume meanwhile.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import trio

from volfs.driver.discretion import secrets_of, without
from volfs.driver.names import VolumeName, has_file_name
from volfs.driver.plugin import PluginVolume
from volfs.errors import NotFound, VolfsError
from volfs.volume.plugins import as_told
from volfs.volume.service import Learned, VolumeService
from volfs.volume.volume import Kind, State, Volume

GLANCE = 0.05  # seconds that a list waits for news; a plugin that is well answers in a few milliseconds
SEARCH = 0.8  # seconds for the plugins to say whether they have a volume
LATE = 2.0  # seconds after which a question without an answer is worth a warning
NO_ANSWER = "it has not answered yet"
LONGEST_PAUSE = 60.0  # seconds between two questions to a plugin in trouble
AT_ONCE = 500  # volumes noted in one transaction, or looked at between two turns of the event loop

log = logging.getLogger(__name__)


@dataclass
class _Question:
    """A List; `why` it failed, "" where it did not, and until it is done why the one before it did."""

    began: float
    why: str
    done: trio.Event = field(default_factory=trio.Event)

    def trouble(self) -> str:
        """What there is to say of the plugin just now."""
        late = not self.done.is_set() and trio.current_time() > self.began + LATE
        return NO_ANSWER if late else self.why


class Lists:
    """The questions to the plugins of a service's registry and store."""

    def __init__(self, service: VolumeService) -> None:
        self._service = service
        self._nursery: trio.Nursery | None = None
        self._asked: dict[str, _Question] = {}
        self._doubted: set[str] = set()
        self._mending: set[str] = set()
        self._complaints: dict[str, str] = {}
        self._files = trio.CapacityLimiter(1)
        self._words = trio.CapacityLimiter(1)
        self._there: list[str] = []
        service.uses.on_trouble = self.doubt

    async def run(self) -> None:
        """Asks everybody once, then who is in trouble until it is over; until it is cancelled."""
        async with trio.open_nursery() as self._nursery:
            for name in self._service.store.drivers():
                self.doubt(name, first=0.0)
            self._nursery.start_soon(self.glance)
            await trio.sleep_forever()

    async def glance(self, patience: float = GLANCE) -> list[str]:
        """Asks every plugin, waits so many seconds at most, and returns warnings about those that are in trouble."""
        ours = set(self._service.store.drivers())
        with trio.move_on_after(patience) as moment:
            names = self._service.drivers.registry.names
            self._there = await trio.to_thread.run_sync(names, limiter=self._files, abandon_on_cancel=True)
        questions = {name: self._ask(name) for name in sorted(ours.union(self._there))}
        with trio.CancelScope(deadline=moment.deadline):
            for one in questions.values():
                if trio.current_time() < one.began + patience:
                    await one.done.wait()
        return [f"list {name}: {why}" for name, one in questions.items() if name in ours and (why := one.trouble())]

    async def find(self, name: str) -> Volume:
        """The volume called `name`; of one that nobody has on record, the plugins are asked. Raises NotFound."""
        try:
            return await self._service.get(name)
        except NotFound:
            await self.glance(SEARCH)
            return await self._service.get(name)

    def doubt(self, name: str, first: float = 1.0) -> None:
        """Something is not well with a plugin: it is asked again until it answers, `first` after so many seconds."""
        self._doubted.add(name)
        if self._nursery is not None and name not in self._mending:
            self._mending.add(name)
            self._nursery.start_soon(self._mend, name, first)

    async def _mend(self, name: str, pause: float) -> None:
        while name in self._doubted and self._service.store.of_driver(name, limit=1):
            await trio.sleep(pause)
            self._doubted.discard(name)
            question = self._ask(name)
            await question.done.wait()
            if question.why or not await self._dismiss(name):
                self._doubted.add(name)
            pause = min(max(1.0, pause * 2), LONGEST_PAUSE)
        self._mending.discard(name)

    async def _dismiss(self, driver: str) -> bool:
        """Tells the plugin of everybody who has left; returns whether it knows."""
        known = True
        async for volume in self._of(driver):
            for one in self._service.references(volume.name):
                if one.kind is Kind.LEAVING:
                    try:
                        known = await self._service.uses.dismiss(volume.name, one.id) and known
                    except VolfsError as error:
                        log.warning("a plugin is not told who left", extra={"driver": driver, "why": str(error)})
                        known = False
        return known

    def _ask(self, name: str) -> _Question:
        """The question that is under way, or a new one."""
        question = self._asked.get(name)
        if question is None or question.done.is_set():
            question = _Question(trio.current_time(), question.why if question is not None else NO_ANSWER)
            self._asked[name] = question
            assert self._nursery is not None
            self._nursery.start_soon(self._answer, name, question)
        return question

    async def _answer(self, name: str, question: _Question) -> None:
        try:
            question.why = await self._heard(name)
        except Exception:  # a bug must not take the other plugins with it
            log.exception("what a plugin listed cannot be used", extra={"driver": name})
            question.why = "volfs failed on its answer; its log says why"
        finally:
            question.done.set()

    async def _heard(self, name: str) -> str:
        """Asks and commits what is learned; returns why there was no answer, "" where there was."""
        known = {one.name: one async for one in self._of(name)}
        plugin = self._service.drivers.plugin(name).plugin
        try:
            told = {one.name: one for one in await plugin.list()}
        except VolfsError as error:
            why = await trio.to_thread.run_sync(_discreetly, str(error), known.values(), limiter=self._words)
            await self._note(name, ((one, known[one], _unknown(known[one])) for one in known))
            if known:
                self._complain(name, why)
                self.doubt(name)
            return why
        if self._complaints.pop(name, ""):
            log.info("a plugin answers again", extra={"driver": name})
        await self._note(name, learned(known, told, lambda one: bool(self._service.store.references(one, limit=1))))
        strangers = [one for one in told if one not in known and self._service.store.get(one) is None]
        scope = await plugin.scope() if strangers else ""
        found = (_found(told[one], name, scope) for one in strangers if _can_be_shown(told[one]))
        await self._note(name, ((one.name, None, one) for one in found))
        return ""

    async def _of(self, driver: str) -> AsyncIterator[Volume]:
        """The volumes of a plugin, however many, without keeping others from their turn."""
        batch = self._service.store.of_driver(driver, limit=AT_ONCE)
        while batch:
            for one in batch:
                yield one
            await trio.lowlevel.checkpoint()
            batch = self._service.store.of_driver(driver, batch[-1].name, AT_ONCE)

    def _complain(self, name: str, why: str) -> None:
        """Once for each trouble, however often it is asked."""
        if self._complaints.get(name) != why:
            self._complaints[name] = why
            log.warning("a plugin is in trouble", extra={"driver": name, "why": why})

    async def _note(self, driver: str, learned: Iterable[Learned]) -> None:
        """A volume that its plugin is at work on is asked about again: that may take minutes."""
        rest = iter(learned)
        while batch := list(islice(rest, AT_ONCE)):
            news = [one for one in batch if one[1] != one[2]]
            if any(after and before and after.state is State.MISSING is not before.state for _, before, after in news):
                self.doubt(driver)  # it may be wrong only once
            if not await self._service.note_all(news):
                self.doubt(driver)
            await trio.lowlevel.checkpoint()


def learned(
    known: Mapping[VolumeName, Volume], told: Mapping[str, PluginVolume], used: Callable[[VolumeName], bool]
) -> Iterator[Learned]:
    """What a list means for the volumes on record: (name, before, after), None for one that goes. Pure."""
    for name, volume in known.items():
        one = told.get(name)
        if one is None and volume.found and not used(name):
            yield name, volume, None
        else:
            yield name, volume, as_told(volume, one)


def _discreetly(said: str, volumes: Iterable[Volume]) -> str:
    """What a plugin said of all its volumes, without the secrets that it was told when it made them."""
    return without(said, frozenset(one for volume in volumes for one in secrets_of(volume.options)))


def _unknown(volume: Volume) -> Volume:
    return msgspec.structs.replace(volume, state=State.UNKNOWN)


def _found(told: PluginVolume, driver: str, scope: str) -> Volume:
    return Volume(
        name=VolumeName(told.name),
        serial=0,
        created=told.created or int(time.time()),
        driver=driver,
        mountpoint=told.mountpoint,
        scope=scope,
        found=True,
    )


def _can_be_shown(told: PluginVolume) -> bool:
    return "\0" not in told.name and has_file_name(told.name)
