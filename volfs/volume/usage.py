"""How much is in the volumes: measured in the background of everything else, the last figures kept in the store.

Law: a run is nobody's: it goes on when who asked has gone, and whoever asks for all volumes while a run over all is
under way follows that one. Its threads serve nobody else. A store that stands still for PATIENCE seconds costs its own
volume the figure and nobody else anything: the last figure stays. Nothing is mounted to be measured.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from volfs.driver.local import LocalDriver
from volfs.errors import VolfsError
from volfs.volume.changes import Measured, Owed
from volfs.volume.store import Store
from volfs.volume.survey import Found, Silent, Survey, elsewhere
from volfs.volume.threads import Places
from volfs.volume.volume import Figure, Volume
from volfs.volume.writer import Writer

PATIENCE = 10.0  # seconds without a file or directory more: a disk that spins up takes less
BATCH = 1_000  # volumes read from the store, or figures written to it, at once
NOTE_AFTER = 0.3  # seconds that a figure waits for others to be written with
AT_ONCE = 8  # threads of all runs, not counting those that stand still; a run has one for what is on the root's disk
SAME = 60  # seconds for which a figure that says the same is not written again
MOMENT = 0.25  # seconds between two looks at what a run does

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a run is: volumes done and in all, bytes as files say, files."""

    done: int
    total: int
    apparent: int
    files: int


class Run:
    """One round over all volumes, or over `names`. `found` only grows; `whole` says that nothing is missing in it."""

    def __init__(self, names: Sequence[str] | None, total: int, places: Places) -> None:
        self.names = names
        self.found: list[Found] = []
        self.figures: dict[int, Figure] = {}
        self.ended = trio.Event()
        self.whole = False
        self._total = total
        self._apparent = self._files = 0
        self._news = trio.Event()
        self._places = places
        self._surveys: dict[Survey, trio.CancelScope] = {}

    def progress(self) -> Progress:
        """With what is being measured right now."""
        done, apparent, files = len(self.found), self._apparent, self._files
        for survey in self._surveys:
            figures = [one.figure for one in survey.found if one.figure is not None]
            done += len(survey.found)
            apparent += survey.now.apparent + sum(one.apparent for one in figures)
            files += survey.now.files + sum(one.files for one in figures)
        return Progress(done, max(self._total, done), apparent, files)

    async def more(self, after: int) -> list[Found]:
        """What was found behind the first `after`; an empty list when a moment has passed without, or at the end."""
        if len(self.found) <= after and not self.ended.is_set():
            with trio.move_on_after(MOMENT):
                await self._news.wait()
        return self.found[after:]

    def tell(self, found: Sequence[Found]) -> None:
        """Some more volumes are done."""
        for one in found:
            if one.figure is not None:
                self.figures[one.serial] = one.figure
                self._apparent += one.figure.apparent
                self._files += one.figure.files
        self.found.extend(found)
        news, self._news = self._news, trio.Event()
        news.set()

    def end(self, *, whole: bool) -> None:
        """Nothing comes any more."""
        if not self.ended.is_set():
            self.whole = whole
            self.ended.set()
            self._news.set()

    async def thread(self, survey: Survey) -> list[Found]:
        """A thread's turn, under the eyes of `watch`."""
        await self._places.take(survey)
        with trio.CancelScope() as scope:
            self._surveys[survey] = scope
            try:
                await trio.to_thread.run_sync(survey.go, limiter=trio.CapacityLimiter(1), abandon_on_cancel=True)
            finally:
                del self._surveys[survey]
                self._places.give_back(survey)
        return survey.leave_behind() if scope.cancelled_caught else survey.found

    async def watch(self, patience: float) -> None:
        """Excuses threads that stand still, then gives them up, until it is cancelled."""
        moved: dict[Survey, tuple[float, object]] = {}
        while True:
            await trio.sleep(min(MOMENT, patience / 4))
            seen, moved = moved, {}
            for survey, scope in self._surveys.items():
                since, before = seen.get(survey, (trio.current_time(), None))
                progress = survey.progress()
                moved[survey] = (since, before) if progress == before else (trio.current_time(), progress)
                if survey in seen and progress == before:
                    self._places.excuse(survey)
                if trio.current_time() - moved[survey][0] > patience:
                    scope.cancel()


async def _nobody_looks(_: Sequence[Owed]) -> None:
    """Stands for the view until there is one."""


class Usage:
    """The last figures of the volumes of one root. `run` is its task."""

    def __init__(self, store: Store, driver: LocalDriver, writer: Writer, patience: float = PATIENCE) -> None:
        self.on_figures: Callable[[Sequence[Owed]], Awaitable[None]] = _nobody_looks
        self._store = store
        self._driver = driver
        self._writer = writer
        self._patience = patience
        self._silent = Silent()
        self._places = Places(AT_ONCE)
        self._runs: set[Run] = set()
        self._send, self._receive = trio.open_memory_channel[Run](10_000)

    def last(self, volume: Volume) -> Figure | None:
        """The last figure; None where the volume never was measured."""
        return self._store.figure(volume.serial)

    def start(self, names: Sequence[str] | None = None) -> Run:
        """Begins a run over the volumes of these names, or over all unless one is under way; returns it."""
        if names is None:
            for run in self._runs:
                if run.names is None:
                    return run
        run = Run(names, self._store.count() if names is None else len(names), self._places)
        self._send.send_nowait(run)
        self._runs.add(run)
        return run

    async def run(self) -> None:
        """Measures what is asked for until it is cancelled."""
        async with trio.open_nursery() as nursery:
            async for run in self._receive:
                nursery.start_soon(self._carry_out, run)

    def close(self) -> None:
        """Lets everybody go who follows a run: the daemon ends."""
        for run in self._runs:
            run.end(whole=False)

    # The parts

    async def _carry_out(self, run: Run) -> None:
        try:
            await self._measure(run)
            run.end(whole=True)
        except Exception:
            log.exception("measuring failed")
        finally:
            self._runs.discard(run)
            run.end(whole=False)

    async def _measure(self, run: Run) -> None:
        send, receive = trio.open_memory_channel[list[Found]](BATCH)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._note, receive)
            async with trio.open_nursery() as work, send:
                work.start_soon(run.watch, self._patience)
                if run.names is None:
                    await self._measure_all(run, send)
                else:
                    await self._measure_named(run, run.names, send)
                work.cancel_scope.cancel()

    async def _measure_all(self, run: Run, send: trio.MemorySendChannel[list[Found]]) -> None:
        async with trio.open_nursery() as nursery:
            batch = self._store.volumes(limit=BATCH)
            while batch:
                for volume in filter(elsewhere, batch):
                    nursery.start_soon(self._go_over, run, [volume], send)
                await self._go_over(run, [volume for volume in batch if not elsewhere(volume)], send)
                batch = self._store.volumes(after=batch[-1].name, limit=BATCH)

    async def _measure_named(self, run: Run, names: Sequence[str], send: trio.MemorySendChannel[list[Found]]) -> None:
        async with trio.open_nursery() as nursery:
            for name in dict.fromkeys(names):
                volume = self._store.get(name) if name else None
                if volume is None:
                    run.tell([Found(name)])
                else:
                    nursery.start_soon(self._go_over, run, [volume], send)

    async def _go_over(self, run: Run, volumes: Sequence[Volume], send: trio.MemorySendChannel[list[Found]]) -> None:
        """Measures one after another; one that is given up is passed over."""
        while volumes:
            found = await run.thread(Survey(self._driver, volumes, self._silent))
            volumes = volumes[len(found) :]
            run.tell(found)
            await send.send(found)

    async def _note(self, receive: trio.MemoryReceiveChannel[list[Found]]) -> None:
        """Writes figures, those of a moment together; what cannot be written is in the run's answer all the same."""
        async for found in receive:
            batch = list(found)
            with trio.move_on_after(NOTE_AFTER):
                while len(batch) < BATCH:
                    try:
                        batch.extend(await receive.receive())
                    except trio.EndOfChannel:
                        break
            try:
                await self._write([one for one in batch if self._says_more(one)])
            except VolfsError as error:
                log.warning("figures are not kept", extra={"volumes": len(batch), "why": str(error)})

    def _says_more(self, found: Found) -> bool:
        """Whether a figure is another than the one that is kept, or that one is old."""
        kept, figure = self._store.figure(found.serial), found.figure
        if kept is None or figure is None:
            return figure is not None
        same = (kept.apparent, kept.allocated, kept.files) == (figure.apparent, figure.allocated, figure.files)
        return not same or not 0 <= figure.time - kept.time < SAME

    async def _write(self, batch: Sequence[Found]) -> None:
        changes = [Measured(one.serial, one.figure) for one in batch if one.figure is not None]
        if not changes:
            return
        effects = await self._writer.commit(*changes)
        owed = [effect.owed for effect in effects if effect.owed is not None]
        await self.on_figures(owed)
        self._store.settle(owed)
