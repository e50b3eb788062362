"""Has shards do sources, one after another, and settles what becomes of each: done, given up, put back or left."""

from __future__ import annotations

import asyncio
from collections import Counter

from streammm.errors import ConfigError, SourceError, StreammmError
from streammm.media.address import public_name
from streammm.types import SourceReport
from streammm_workers.handle import Handle, WorkerDiedError
from streammm_workers.register import Register
from streammm_workers.shards import Shards
from streammm_workers.sinks import Sinks
from streammm_workers.standing import Standing
from streammm_workers.tally import Tally
from streammm_workers.todo import Todo


class Taking:
    """What a taker of a shard does.

    Args:
        max_attempts: so often workers may die on a source without a row between, and a shard may fail to come back.
        journal: handle of the journal.
        sinks: of which the observer has all rows of a source before its end.
        todo, register, standing, shards, tally: parts of the run.
    """

    def __init__(
        self,
        max_attempts: int,
        journal: Handle,
        sinks: Sinks,
        todo: Todo,
        register: Register,
        standing: Standing,
        shards: Shards,
        tally: Tally,
    ) -> None:
        self._max_attempts = max_attempts
        self._journal = journal
        self._sinks = sinks
        self._todo = todo
        self._register = register
        self._standing = standing
        self._shards = shards
        self._tally = tally
        self._deaths: Counter[str] = Counter()

    async def take(self, shard: Handle) -> None:
        """Has a shard do one source after another, as long as there are any or may be again."""
        while (source := await self._todo.next()) is not None:
            died = has_left = False
            working = self._standing.begin(source, shard)
            try:
                has_left = await self._do(shard, source) and bool(working.leaves_as)
            except WorkerDiedError as error:
                died, has_left = True, bool(working.leaves_as)
                if not has_left:
                    await self._note_death(source, error)
            finally:
                await self._standing.end(working, has_left)
                await self._todo.let_go()
            if died and not await self._answers(shard):
                self._shards.leave(shard)
                return
            if has_left and self._register.is_live(public_name(source)):
                return  # the place that was made for it

    def note_row(self, name: str) -> None:
        """A row takes deaths back."""
        self._deaths.pop(name, None)

    async def _do(self, shard: Handle, source: str) -> bool:
        """Has a shard do a source; True if it left it before its end, to be taken up again from its cursor."""
        try:
            report: SourceReport | None = await shard.call("run", source)
        except (ConfigError, WorkerDiedError):
            raise
        except SourceError as error:
            await self._give_up(error)
        except StreammmError:  # the journal's: the run cannot go on
            raise
        except Exception as error:  # noqa: BLE001 - one source never stops a run, not even by a bug of ours
            await self._give_up(SourceError(public_name(source), "internal", f"{type(error).__name__}: {error}"))
        else:
            if report is None:
                return True
            await self._sinks.deliver("observer")
            self._tally.finish(report)
        return False

    async def _give_up(self, error: SourceError) -> None:
        if error.reason == "filtered":
            await self._journal.call("skip", error.source, error.reason)
            self._tally.skip(error.source, error.reason, error.detail)
            return
        await self._journal.call("quarantine", error)
        await self._sinks.deliver("observer")
        self._standing.give_up(error)
        self._tally.give_up(error)

    async def _note_death(self, source: str, error: WorkerDiedError) -> None:
        """Puts the source back, or gives it up after too many deaths without a row between them."""
        await self._sinks.deliver("observer")  # rows of it take its deaths back
        self._deaths[public_name(source)] += 1
        self._tally.progress.num_requeued += 1
        if (deaths := self._deaths[public_name(source)]) < self._max_attempts or self._todo.is_stopping:
            self._todo.put_back(source)
            return
        detail = f"workers died on it {deaths} times in a row: {error}"
        await self._give_up(SourceError(public_name(source), "worker-died", detail))

    async def _answers(self, shard: Handle) -> bool:
        """Waits until a shard on which a worker died, or which died itself, is ready again; False if it stays away."""
        for attempt in range(self._max_attempts):
            await asyncio.sleep(min(30.0, 0.5 * 2**attempt))
            if self._todo.is_stopping:
                return False
            try:
                await shard.call("start")
            except WorkerDiedError:
                continue
            return True
        return False
