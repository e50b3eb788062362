"""The driver: deals sources out to shards, takes what is committed to the sinks and tells an observer what happens.

Its parts keep what there is to know: `Todo` the sources that wait, `Shards` who may take them, `Register` and
`Standing` how each source stands, `Tally` the counts. `Taking` is the work itself, `ByHand` what may be done to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from streammm.config import Config
from streammm.errors import StreammmError
from streammm_workers.bell import Bell
from streammm_workers.by_hand import ByHand
from streammm_workers.delivery import Delivery, finish_all
from streammm_workers.handle import DirectHandle, Handle, WorkerDiedError
from streammm_workers.metrics import Rates, total
from streammm_workers.observers import Observer
from streammm_workers.plan import Plan
from streammm_workers.register import Register
from streammm_workers.shards import Shards
from streammm_workers.sinks import Sinks
from streammm_workers.standing import Standing
from streammm_workers.taking import Taking
from streammm_workers.tally import Tally, Told
from streammm_workers.todo import Todo
from streammm_workers.trimming import Trimming

_LOOK_SECONDS = 1.0
"""How often the shards are asked how they are."""


class Driver:
    """One run. Shards and sources may be added at any time, and may go.

    ``bell`` is what shards of this process ring when they have committed something of a live source.
    """

    def __init__(
        self, config: Config, plan: Plan, journal: Handle, observer: Observer, bell: Bell | None = None
    ) -> None:
        self._deliver_seconds = config.output.deliver_seconds
        self._plan = plan
        self._journal = journal
        self._observer = observer
        self._bell = bell or Bell()
        self._is_over = asyncio.Event()
        self._ready = 0.0
        tally = Tally(observer)
        self.progress = tally.progress
        told = Told(self.progress, observer, self._note_row)
        self._sinks = Sinks({**plan.sinks, "observer": DirectHandle(told)}, journal, self._bell)
        self._outlets = [Delivery(outlet, journal) for outlet in plan.outlets]
        self._todo = Todo(plan.stop, plan.stays_open)
        self._shards = Shards(self._take, config.engine.hang_seconds)
        self._register = Register(journal, self._todo, self._shards, tally)
        self._standing = Standing(journal, self._todo, self._register, tally)
        self._by_hand = ByHand(journal, self._todo, self._register, self._standing, self._shards)
        parts = (self._todo, self._register, self._standing, self._shards, tally)
        self._taking = Taking(config.engine.max_attempts, journal, self._sinks, *parts)
        names = [outlet.name for outlet in plan.outlets]
        self._trimming = None if plan.retention is None else Trimming(plan.retention, self._sinks, names, self.progress)

    async def run(self, shards: Sequence[tuple[Handle, int]], others: Sequence[Callable[[], Any]] = ()) -> None:
        """Does everything that is listed, with these shards and those that are added; returns when all is told.

        Args:
            shards: each with the number of files that it works on at once.
            others: coroutines that run beside, such as one that watches for new nodes.

        Raises:
            ConfigError: the set-up cannot work.
            StreammmError, OSError: the journal or a sink could not be written, or no shard is left; what is not done
            then is still to do.
        """
        try:
            async with asyncio.TaskGroup() as group:
                await self._start([shard for shard, _ in shards], group)
                beside = [group.create_task(other()) for other in others]
                beside.append(group.create_task(self._stop_when_asked()))
                beside.append(group.create_task(self._keep_looking()))
                if self._trimming is not None:
                    group.create_task(self._trimming.keep(self._is_over))
                if self._plan.attend is not None:
                    beside.append(group.create_task(self._plan.attend(self._by_hand)))
                group.create_task(self._sinks.keep_delivering(self._is_over))
                for delivery in self._outlets:
                    group.create_task(delivery.keep_delivering(self._is_over, self._bell))
                group.create_task(self._register.keep_listing(self._plan.sources))
                for shard, slots in shards:
                    self._shards.give_slots(shard, slots)
                await self._all_ended()
                self._is_over.set()
                self._bell.ring()
                for task in beside:
                    task.cancel()
        except* (StreammmError, OSError) as errors:
            raise _first(errors) from None
        await self._end()

    async def add_shard(self, shard: Handle, slots: int) -> None:
        """Gives a new shard work as well, once it has loaded."""
        with suppress(WorkerDiedError):
            await shard.call("start")
            self._shards.join(shard)
            self._shards.give_slots(shard, slots)

    async def _start(self, shards: Sequence[Handle], group: asyncio.TaskGroup) -> None:
        await self._shards.load(shards, group)
        await asyncio.to_thread(self._plan.begin)
        self._ready = time.monotonic()
        for shard in shards:
            self._shards.join(shard)
        await self._sinks.start()
        for delivery in self._outlets:
            await delivery.find_place()

    async def _take(self, shard: Handle) -> None:
        await self._taking.take(shard)

    def _note_row(self, name: str, is_live: bool) -> None:
        if is_live:
            self._register.note_live(name)
        self._taking.note_row(name)

    async def _all_ended(self) -> None:
        """Waits until everything is listed and done; not for shards that are away and may come back."""
        while True:
            await self._todo.wait_until_done(_LOOK_SECONDS)
            if self._todo.is_done():
                break
            if self._todo.is_listed and not self._shards.has_takers and not self._shards.loads:
                raise StreammmError(f"no shard is left; {len(self._todo)} sources are still to do")
        self._shards.cancel_takers()

    async def _stop_when_asked(self) -> None:
        await self._plan.stop.wait()
        await self._todo.tell()
        await self._shards.drain()

    async def _end(self) -> None:
        await self._shards.ask_anew(_LOOK_SECONDS)
        await self._sinks.deliver_all()
        self.progress.undelivered = await self._finish_outlets()
        if self._trimming is not None:
            await self._trimming.trim()
        await self._sinks.close()
        await self._tell_progress(Rates())

    async def _finish_outlets(self) -> dict[str, int]:
        """Delivers the rest, and tells meanwhile what is waited for."""
        if not self._outlets:
            return {}
        looking = asyncio.create_task(self._keep_telling())
        try:
            return await finish_all(self._outlets, self._deliver_seconds)
        finally:
            looking.cancel()

    async def _keep_telling(self) -> None:
        rates = Rates()
        while True:
            await self._tell_progress(rates)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _keep_looking(self) -> None:
        rates = Rates()
        while True:
            started = time.monotonic()
            await self._look(rates)
            await asyncio.sleep(max(0.0, _LOOK_SECONDS - (time.monotonic() - started)))

    async def _look(self, rates: Rates) -> None:
        """Asks all shards how they are, replaces one that does not answer, and tells the observer and the journal."""
        await self._shards.ask(_LOOK_SECONDS / 2)
        await self._standing.drain_leaving()
        await self._tell_progress(rates)

    async def _tell_progress(self, rates: Rates) -> None:
        progress = self.progress
        progress.is_listed = self._todo.is_listed
        progress.num_shards = len(self._shards.loads)
        progress.num_paused = len(self._todo.paused)
        progress.load = total(self._shards.loads.values())
        progress.working_seconds = time.monotonic() - self._ready
        positions = self._sinks.positions
        last = max(positions.values(), default=0)
        progress.sinks_behind = {n: last - at for n, at in positions.items() if n != "observer"}
        progress.outlets = {delivery.name: delivery.state(last) for delivery in self._outlets}
        snapshot = rates.snapshot(progress)
        await self._journal.call("put_meta", "progress", snapshot)
        self._observer.progress(snapshot)


def _first(errors: BaseExceptionGroup[StreammmError | OSError]) -> BaseException:
    leaf: BaseException = errors
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
