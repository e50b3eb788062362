"""The driver: deals sources out to shards, takes the rows from the journal and tells an observer what happens."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from streammm.config import Config
from streammm.errors import ConfigError, SourceError
from streammm.types import Classification, SourceReport
from streammm_workers.handle import Handle, WorkerDiedError

_READ_SECONDS = 0.1
"""How often rows are taken from the journal."""


class Observer(Protocol):
    """What a run tells: to files, to a terminal, to a program."""

    def rows(self, rows: Sequence[Classification]) -> None:
        """Rows, as they are made; in order within each source."""

    def finished(self, report: SourceReport) -> None:
        """A source has ended, all its rows were told before."""

    def failed(self, error: SourceError, num_rows: int) -> None:
        """A source was given up after so many rows."""


def slots(config: Config, decoders: int) -> int:
    """Sources a shard works on at once."""
    return config.engine.sources_in_flight or 2 * decoders


async def drive(
    config: Config,
    sources: Sequence[str],
    shards: Sequence[Handle],
    journal: Handle,
    num_slots: int,
    observer: Observer,
) -> None:
    """Lets shards take sources as they have room, until all are done or given up.

    A source whose worker died is done again, under a new epoch, from where the journal says; after
    ``engine.max_attempts`` deaths it is given up.
    """
    todo = deque((source, 1) for source in sources)
    epochs = itertools.count()
    num_rows: dict[str, int] = dict.fromkeys(sources, 0)

    async def tell_rows() -> None:
        rows = await journal.call("read")
        for row in rows:
            num_rows[row.source] += 1
        if rows:
            observer.rows(rows)

    async def take(shard: Handle) -> None:
        while todo:
            source, attempt = todo.popleft()
            try:
                report = await shard.call("run", source, next(epochs))
            except ConfigError:
                raise
            except WorkerDiedError as error:
                if attempt < config.engine.max_attempts:
                    await asyncio.sleep(0.5 * 2**attempt)
                    todo.append((source, attempt + 1))
                    continue
                report = SourceError(source, "worker-died", f"a worker died on it {attempt} times: {error}")
            except SourceError as error:
                report = error
            except Exception as error:  # noqa: BLE001 - one source never stops a run, not even by a bug of ours
                report = SourceError(source, "internal", f"{type(error).__name__}: {error}")
            await tell_rows()
            if isinstance(report, SourceError):
                observer.failed(report, num_rows[source])
            elif report is not None:
                observer.finished(report)
            await journal.call("finish", source)

    async def keep_telling() -> None:
        while True:
            await asyncio.sleep(_READ_SECONDS)
            await tell_rows()

    teller = asyncio.create_task(keep_telling())
    try:
        async with asyncio.TaskGroup() as group:
            for shard in shards:
                group.create_task(shard.call("start"))
                for _ in range(num_slots):
                    group.create_task(take(shard))
    except* ConfigError as errors:
        raise _first(errors) from None
    finally:
        teller.cancel()
        await tell_rows()


def _first(errors: BaseExceptionGroup[ConfigError]) -> ConfigError:
    leaf: BaseException = errors
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    assert isinstance(leaf, ConfigError)
    return leaf
