"""The driver: deals sources out to shards, takes the rows from the journal and tells an observer what happens."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from streammm.config import Config
from streammm.errors import ConfigError, SourceError, StreammmError
from streammm.media.address import is_address, public_name
from streammm.types import Classification, SourceReport
from streammm_workers.handle import Handle, WorkerDiedError

_READ_SECONDS = 0.25
"""How often rows are taken from the journal."""


class Observer(Protocol):
    """What a run tells: to files, to a terminal, to a program."""

    def rows(self, rows: Sequence[Classification]) -> None:
        """Rows, as they are made; in order within each source."""

    def finished(self, report: SourceReport) -> None:
        """A source has ended, all its rows were told before."""

    def failed(self, error: SourceError, num_rows: int) -> None:
        """A source was given up after so many rows."""


def slots(config: Config, decoders: int, sources: Sequence[str]) -> int:
    """Sources a shard works on at once: some files, and all addresses, since a live stream waits for nobody."""
    files = config.engine.sources_in_flight or 2 * decoders
    return files + sum(map(is_address, sources))


async def drive(
    config: Config,
    sources: Sequence[str],
    shards: Sequence[Handle],
    journal: Handle,
    num_slots: int,
    observer: Observer,
) -> None:
    """Lets shards take sources as they have room, until all are done or given up.

    Raises:
        ConfigError: the set-up cannot work.
        OSError: the observer could not write.
    """
    run = _Run(config, sources, journal, observer)
    try:
        async with asyncio.TaskGroup() as group:
            teller = group.create_task(run.keep_telling())
            async with asyncio.TaskGroup() as takers:
                for shard in shards:
                    takers.create_task(run.start(shard))
                    for _ in range(num_slots):
                        takers.create_task(run.take(shard))
            teller.cancel()
    except* (StreammmError, OSError) as errors:
        raise _first(errors) from None
    finally:
        await run.tell_rows()
    run.give_up_the_rest()


class _Run:
    """The state of a run: what is to do, what is under way, what was told."""

    def __init__(self, config: Config, sources: Sequence[str], journal: Handle, observer: Observer) -> None:
        self._max_attempts = config.engine.max_attempts
        self._journal = journal
        self._observer = observer
        self._todo = deque(sorted(sources, key=is_address, reverse=True))
        self._num_under_way = 0
        self._changed = asyncio.Condition()
        self._epochs = itertools.count()
        self._num_rows = {public_name(source): 0 for source in sources}
        self._deaths: dict[str, tuple[int, int]] = {}

    async def start(self, shard: Handle) -> None:
        """Loads a shard; whatever keeps it from loading is a mistake in the set-up."""
        try:
            await shard.call("start")
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"the engine cannot start: {type(error).__name__}: {error}") from error

    async def take(self, shard: Handle) -> None:
        """Has a shard do one source after another, as long as there are any or may be again."""
        while (source := await self._next_source()) is not None:
            died = False
            try:
                await self._do(shard, source)
            except WorkerDiedError as error:
                died = True
                await self._note_death(source, error)
            finally:
                async with self._changed:
                    self._num_under_way -= 1
                    self._changed.notify_all()
            if died and not await self._answers(shard):
                return

    async def _next_source(self) -> str | None:
        """The next source; waits while another shard may still hand one back. None when all are done."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._todo or not self._num_under_way)
            if not self._todo:
                return None
            self._num_under_way += 1
            return self._todo.popleft()

    async def _do(self, shard: Handle, source: str) -> None:
        report: SourceReport | None = None
        failure: SourceError | None = None
        try:
            report = await shard.call("run", source, next(self._epochs))
        except (ConfigError, WorkerDiedError):
            raise
        except SourceError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - one source never stops a run, not even by a bug of ours
            failure = SourceError(public_name(source), "internal", f"{type(error).__name__}: {error}")
        await self.tell_rows()
        if failure is not None:
            self._observer.failed(failure, self._num_rows[public_name(source)])
        elif report is not None:
            self._observer.finished(report)
        await self._journal.call("finish", public_name(source))

    async def _note_death(self, source: str, error: WorkerDiedError) -> None:
        """Puts the source back, or gives it up after too many deaths without a row between them."""
        await self.tell_rows()
        deaths, rows_then = self._deaths.get(source, (0, 0))
        num_rows = self._num_rows[public_name(source)]
        deaths = 1 if num_rows > rows_then else deaths + 1
        self._deaths[source] = deaths, num_rows
        if deaths < self._max_attempts:
            self._todo.append(source)
            return
        detail = f"workers died on it {deaths} times in a row: {error}"
        self._observer.failed(SourceError(public_name(source), "worker-died", detail), num_rows)
        await self._journal.call("finish", public_name(source))

    async def _answers(self, shard: Handle) -> bool:
        """Waits until a shard on which a worker died, or which died itself, is ready again; False if it stays away."""
        for attempt in range(self._max_attempts):
            await asyncio.sleep(min(30.0, 0.5 * 2**attempt))
            try:
                await shard.call("start")
            except WorkerDiedError:
                continue
            return True
        return False

    async def keep_telling(self) -> None:
        """Takes rows from the journal to the observer."""
        while True:
            await asyncio.sleep(_READ_SECONDS)
            await self.tell_rows()

    async def tell_rows(self) -> None:
        """Tells the rows that were committed since the last time."""
        rows = await self._journal.call("read")
        for row in rows:
            self._num_rows[row.source] += 1
        if rows:
            self._observer.rows(rows)

    def give_up_the_rest(self) -> None:
        """Says of the sources that no shard was left for that they were not done."""
        for source in self._todo:
            name = public_name(source)
            error = SourceError(name, "worker-died", "no shard was left to do it")
            self._observer.failed(error, self._num_rows[name])


def _first(errors: BaseExceptionGroup[StreammmError | OSError]) -> BaseException:
    leaf: BaseException = errors
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
