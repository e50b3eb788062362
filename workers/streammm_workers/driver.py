"""The driver: deals sources out to shards, takes what is committed to the sinks and tells an observer what happens."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from streammm.config import Config
from streammm.errors import ConfigError, SourceError, StreammmError
from streammm.journal import DONE, QUARANTINED, REMOVED, SKIPPED, TODO, Entry
from streammm.media.address import may_go_on, public_name
from streammm.retention import Retention
from streammm.types import SourceReport
from streammm_workers.bell import Bell
from streammm_workers.delivery import Delivery, finish_all
from streammm_workers.handle import DirectHandle, Handle, WorkerDiedError
from streammm_workers.metrics import Progress, Rates, ShardLoad, total
from streammm_workers.plan import Observer, Plan
from streammm_workers.sinks import Sinks

_log = logging.getLogger(__name__)

_LISTED_AT_ONCE = 256
_MAX_LISTED = 4096
"""So many sources are listed ahead of those that are being worked on."""

_LOOK_SECONDS = 1.0
"""How often the shards are asked how they are."""


_Leaves = Literal["", "paused", "removed", "again"]


class StandingError(StreammmError):
    """What is asked for does not fit how a source, or the run, stands."""


@dataclass(slots=True)
class _Working:
    """A source that a shard is at; ``leaves_as`` is what becomes of it once it has drained, where it was asked to."""

    source: str
    shard: Handle
    leaves_as: _Leaves = ""


class Driver:
    """One run. Shards and sources may be added at any time, and may go.

    ``bell`` is what shards of this process ring when they have committed something of a live source.
    """

    def __init__(
        self, config: Config, plan: Plan, journal: Handle, observer: Observer, bell: Bell | None = None
    ) -> None:
        self._config = config
        self._plan = plan
        self._journal = journal
        self._observer = observer
        self._bell = bell or Bell()
        self._sinks = Sinks({**plan.sinks, "observer": DirectHandle(_Told(self))}, journal, self._bell)
        self._outlets = [Delivery(outlet, journal) for outlet in plan.outlets]
        self._todo: deque[str] = deque()
        self._num_under_way = 0
        self._changed = asyncio.Condition()
        self._seen: set[str] = set()
        self._live: set[str] = set()
        self._working: dict[str, _Working] = {}
        self._paused: dict[str, str] = {}
        self._given_up: dict[str, tuple[str, str]] = {}
        self._num_holds = 0
        self._num_surplus = 0
        self._turns = itertools.count()
        self._deaths: Counter[str] = Counter()
        self._group: asyncio.TaskGroup | None = None
        self._shards: dict[Handle, ShardLoad] = {}
        self._slots: dict[Handle, int] = {}
        self._asked: dict[Handle, asyncio.Task[None]] = {}
        self._takers: set[asyncio.Task[None]] = set()
        self._is_over = asyncio.Event()
        self._ready = 0.0
        self.progress = Progress()

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
                self._group = group
                await self._start([shard for shard, _ in shards])
                beside = [group.create_task(other()) for other in others]
                beside.append(group.create_task(self._stop_when_asked()))
                beside.append(group.create_task(self._keep_looking()))
                if self._plan.retention is not None:
                    group.create_task(self._keep_retaining(self._plan.retention))
                if self._plan.attend is not None:
                    beside.append(group.create_task(self._plan.attend(self)))
                group.create_task(self._sinks.keep_delivering(self._is_over))
                for delivery in self._outlets:
                    group.create_task(delivery.keep_delivering(self._is_over, self._bell))
                group.create_task(self._list())
                for shard, slots in shards:
                    self._give_slots(shard, slots)
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
            self._shards[shard] = ShardLoad({}, 0)
            self._give_slots(shard, slots)

    @property
    def is_stopping(self) -> bool:
        """True once the run was asked to come to a stop."""
        return self._plan.stop.is_set()

    async def _start(self, shards: Sequence[Handle]) -> None:
        """Loads the shards; whatever keeps them from loading is a mistake in the set-up."""
        try:
            await asyncio.gather(*(shard.call("start") for shard in shards))
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"the engine cannot start: {type(error).__name__}: {error}") from error
        await asyncio.to_thread(self._plan.begin)
        self._ready = time.monotonic()
        for shard in shards:
            self._shards[shard] = ShardLoad({}, 0)
        await self._sinks.start()
        for delivery in self._outlets:
            await delivery.find_place()

    def _give_slots(self, shard: Handle, slots: int) -> None:
        """Lets a shard work on so many files at once, if it is not at more already."""
        self._add_takers(shard, slots - self._slots.get(shard, 0))
        self._slots[shard] = max(slots, self._slots.get(shard, 0))

    def _add_takers(self, shard: Handle, slots: int) -> None:
        assert self._group is not None
        for _ in range(slots):
            task = self._group.create_task(self._take(shard))
            self._takers.add(task)
            task.add_done_callback(self._takers.discard)

    async def _all_ended(self) -> None:
        """Waits until everything is listed and done; not for shards that are away and may come back."""
        while True:
            async with self._changed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._changed.wait_for(self._is_done)
            if self._is_done():
                break
            if self.progress.is_listed and not self._takers and not self._shards:
                raise StreammmError(f"no shard is left; {len(self._todo)} sources are still to do")
        for task in list(self._takers):
            task.cancel()

    def _is_done(self) -> bool:
        if self._num_under_way or self._num_holds:
            return False
        waits = self._plan.stays_open or self._todo or self._paused
        return self.is_stopping or (self.progress.is_listed and not waits)

    # sources that come and go by hand

    async def add(self, found: Sequence[Any]) -> dict[str, str]:
        """Takes up more sources, each a source or a `Skipped` one; what was removed or given up begins again.

        Returns:
            The status of each in the journal, by name: `TODO` where it is taken up now.

        Raises:
            StandingError: the run comes to its end.
        """
        if self.is_stopping or self._is_done():
            raise StandingError("the run comes to its end and takes no more sources")
        sources = {public_name(item): item for item in found if isinstance(item, str)}
        async with self._stays():
            has_secret = any(name != source for name, source in sources.items())
            await self._journal.call("name_sources", None if has_secret else list(sources.values()))
            for name in sources:
                if name not in self._working and (status := await self._journal.call("put_back", name)):
                    self._come_back(name, status)
            return await self._register(found)

    async def pause(self, name: str) -> None:
        """Lets a source come to a stop and leaves it alone until it is resumed; its place is in the journal.

        Raises:
            StandingError: it is neither under way nor waiting.
        """
        if name not in self._paused:
            await self._leave(name, "paused")

    async def resume(self, name: str) -> None:
        """Takes up a source again that was paused, or one that was given up.

        Raises:
            StandingError: it is neither.
        """
        if name in self._given_up:
            source, _ = self._given_up[name]
            await self.add([source])
            return
        if (working := self._working.get(name)) is not None and working.leaves_as == "paused":
            working.leaves_as = "again"
            return
        if name not in self._paused:
            raise StandingError(f"{name} is not paused")
        async with self._changed:
            source = self._paused.pop(name)
            self._todo.appendleft(source)
            self._changed.notify_all()
        if name in self._live:
            self._make_room()

    async def remove(self, name: str) -> None:
        """Lets a source come to a stop and leaves it out from here on; what was made of it stays.

        Raises:
            StandingError: it is neither under way nor waiting nor paused.
        """
        if name in self._paused:
            async with self._stays():
                del self._paused[name]
                await self._note_removed(name)
        else:
            await self._leave(name, "removed")

    def standing(self, most: int = 200) -> dict[str, str]:
        """How sources stand that are not over, by name, those under way first: ``working``, ``pausing``, ``removing``,
        ``paused``, ``waiting``."""
        words = {"": "working", "again": "working", "paused": "pausing", "removed": "removing"}
        found = {name: words[one.leaves_as] for name, one in self._working.items()}
        found |= dict.fromkeys(self._paused, "paused")
        for source in itertools.islice(self._todo, max(0, most - len(found))):
            found.setdefault(public_name(source), "waiting")
        return found

    async def pictures(self) -> dict[str, bytes]:
        """The last pictures of sources under way as JPEG, by name, those since the last time it was asked for them."""
        found: dict[str, bytes] = {}
        for shard in list(self._shards):
            with suppress(WorkerDiedError):
                found |= await shard.call("pictures")
        return found

    @asynccontextmanager
    async def _stays(self) -> AsyncIterator[None]:
        """The run does not end meanwhile; whoever waits for a change is told of it afterwards."""
        self._num_holds += 1
        try:
            yield
        finally:
            self._num_holds -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _leave(self, name: str, leaves_as: Literal["paused", "removed"]) -> None:
        if (working := self._working.get(name)) is not None:
            working.leaves_as = leaves_as
            await self._drain_source(working, name)
            return
        source = next((source for source in self._todo if public_name(source) == name), None)
        if source is None:
            raise StandingError(f"{name} is neither under way nor waiting")
        async with self._stays():
            self._todo.remove(source)
            self._num_surplus += name in self._live  # the place that was made for it
            await self._note_left(name, source, leaves_as)

    async def _drain_source(self, working: _Working, name: str) -> None:
        with suppress(WorkerDiedError):
            await working.shard.call("drain_source", name)

    async def _note_left(self, name: str, source: str, left_as: str) -> None:
        if left_as == "paused":
            self._paused[name] = source
        elif left_as == "removed":
            await self._note_removed(name)
        elif left_as == "again":
            self._todo.appendleft(source)
            if name in self._live:
                self._make_room()

    async def _note_removed(self, name: str) -> None:
        await self._journal.call("remove", name)
        self.progress.num_skipped += 1
        self._observer.skipped(name, REMOVED, "removed by hand")

    def _come_back(self, name: str, status: str) -> None:
        """Takes back what was counted of a source that was removed or given up, in this run or before."""
        if name not in self._seen:
            return
        self._seen.discard(name)
        self.progress.num_listed -= 1
        if (given_up := self._given_up.pop(name, None)) is not None:
            self.progress.num_quarantined -= 1
            self.progress.quarantined[given_up[1]] -= 1
        elif status == QUARANTINED:
            self.progress.num_done_before -= 1
        else:
            self.progress.num_skipped -= 1

    # sources

    async def _list(self) -> None:
        """Lists sources, a few hundred ahead of those that are worked on."""
        try:
            while not self.is_stopping:
                found = await asyncio.to_thread(lambda: list(itertools.islice(self._plan.sources, _LISTED_AT_ONCE)))
                if not found:
                    break
                await self._register(found)
                async with self._changed:
                    await self._changed.wait_for(lambda: len(self._todo) < _MAX_LISTED or self.is_stopping)
        finally:
            self.progress.is_listed = not self.is_stopping
            async with self._changed:
                self._changed.notify_all()

    async def _register(self, found: Sequence[Any]) -> dict[str, str]:
        sources: dict[str, str] = {}
        for item in found:
            if isinstance(item, str):
                name = public_name(item)
                if name not in self._seen:  # the same file, named twice
                    self._seen.add(name)
                    sources[name] = item
            else:
                await self._skip(item.source, item.reason, item.detail)
        endless = [name for name, source in sources.items() if may_go_on(source)]
        statuses: dict[str, str] = await self._journal.call("register", list(sources), endless)
        counts = Counter(statuses.values())
        self.progress.num_listed += len(sources)
        self.progress.num_done_before += counts[DONE] + counts[QUARANTINED]
        self.progress.num_skipped += counts[SKIPPED]
        async with self._changed:
            todo = [source for name, source in sources.items() if statuses[name] == TODO]
            live = [source for source in todo if may_go_on(source)]
            self._todo.extendleft(reversed(live))  # a live stream waits for nobody
            self._todo.extend(source for source in todo if not may_go_on(source))
            self._changed.notify_all()
        self._live |= set(map(public_name, live))
        for _ in live:
            self._make_room()
        return statuses

    def _make_room(self) -> None:
        """Lets one more source be worked on: a live one takes no file's place."""
        if self._shards:
            self._add_takers(list(self._shards)[next(self._turns) % len(self._shards)], 1)

    async def _skip(self, name: str, reason: str, detail: str) -> None:
        await self._journal.call("skip", name, reason)
        self.progress.num_listed += 1
        self.progress.num_skipped += 1
        self._observer.skipped(name, reason, detail)

    async def _take(self, shard: Handle) -> None:
        """Has a shard do one source after another, as long as there are any or may be again."""
        while (source := await self._next_source()) is not None:
            died = has_left = False
            name = public_name(source)
            working = self._working[name] = _Working(source, shard)
            try:
                has_left = await self._do(shard, source) and bool(working.leaves_as)
            except WorkerDiedError as error:
                died, has_left = True, bool(working.leaves_as)
                if not has_left:
                    await self._note_death(source, error)
            finally:
                del self._working[name]
                if has_left:
                    await self._note_left(name, source, working.leaves_as)
                async with self._changed:
                    self._num_under_way -= 1
                    self._changed.notify_all()
            if died and not await self._answers(shard):
                self._shards.pop(shard, None)
                self._slots.pop(shard, None)
                return
            if has_left and name in self._live:
                return  # the place that was made for it

    async def _next_source(self) -> str | None:
        """The next source; waits while more are listed or another shard may hand one back. None when all are done."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.is_stopping or self._todo or self._num_surplus or self._is_done())
            if self._num_surplus:
                self._num_surplus -= 1
                return None
            if self.is_stopping or not self._todo:
                return None
            self._num_under_way += 1
            source = self._todo.popleft()
            self._changed.notify_all()
            return source

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
            self.progress.num_done += 1
            self._observer.finished(report)
        return False

    async def _give_up(self, error: SourceError) -> None:
        if error.reason == "filtered":
            await self._journal.call("skip", error.source, error.reason)
            self.progress.num_skipped += 1
            self._observer.skipped(error.source, error.reason, error.detail)
            return
        await self._journal.call("quarantine", error)
        await self._sinks.deliver("observer")
        self.progress.num_quarantined += 1
        quarantined = self.progress.quarantined
        quarantined[error.reason] = quarantined.get(error.reason, 0) + 1
        if (working := self._working.get(error.source)) is not None and len(self._given_up) < _MAX_LISTED:
            self._given_up[error.source] = (working.source, error.reason)
        self._observer.failed(error)

    async def _note_death(self, source: str, error: WorkerDiedError) -> None:
        """Puts the source back, or gives it up after too many deaths without a row between them."""
        await self._sinks.deliver("observer")  # rows of it take its deaths back
        self._deaths[public_name(source)] += 1
        self.progress.num_requeued += 1
        if (deaths := self._deaths[public_name(source)]) < self._config.engine.max_attempts or self.is_stopping:
            self._todo.append(source)
            return
        detail = f"workers died on it {deaths} times in a row: {error}"
        await self._give_up(SourceError(public_name(source), "worker-died", detail))

    async def _answers(self, shard: Handle) -> bool:
        """Waits until a shard on which a worker died, or which died itself, is ready again; False if it stays away."""
        for attempt in range(self._config.engine.max_attempts):
            await asyncio.sleep(min(30.0, 0.5 * 2**attempt))
            if self.is_stopping:
                return False
            try:
                await shard.call("start")
            except WorkerDiedError:
                continue
            return True
        return False

    # what has been made

    async def _keep_retaining(self, retention: Retention) -> None:
        """Removes what is too old or too much, and has reached every sink, at the start and from time to time."""
        while not self._is_over.is_set():
            await self._retain(retention)
            with suppress(TimeoutError):
                async with asyncio.timeout(retention.pause_seconds):
                    await self._is_over.wait()

    async def _retain(self, retention: Retention) -> None:
        """Must not be cancelled in a run that goes on, see `Sinks.trim`."""
        removed = self.progress.removed
        if num_files := await asyncio.to_thread(retention.remove_files):
            removed["files"] = removed.get("files", 0) + num_files
        share = await asyncio.to_thread(retention.share_too_much)
        outlets = [delivery.name for delivery in self._outlets]
        found = await self._sinks.trim("files", outlets, retention.max_age_seconds, share)
        counts, self.progress.num_not_removable = found
        for kind, count in counts.items():
            removed[kind] = removed.get(kind, 0) + count

    async def _end(self) -> None:
        for task in list(self._asked.values()):
            task.cancel()
        if last := [asyncio.create_task(self._ask(shard)) for shard in self._shards]:
            await asyncio.wait(last, timeout=_LOOK_SECONDS)  # what they cost in all is known only now
        await self._sinks.deliver_all()
        self.progress.undelivered = await self._finish_outlets()
        if self._plan.retention is not None:
            await self._retain(self._plan.retention)
        await self._sinks.close()
        await self._tell_progress(Rates())

    async def _finish_outlets(self) -> dict[str, int]:
        """Delivers the rest, and tells meanwhile what is waited for."""
        if not self._outlets:
            return {}
        looking = asyncio.create_task(self._keep_telling())
        try:
            return await finish_all(self._outlets, self._config.output.deliver_seconds)
        finally:
            looking.cancel()

    async def _keep_telling(self) -> None:
        rates = Rates()
        while True:
            await self._tell_progress(rates)
            await asyncio.sleep(_LOOK_SECONDS)

    # how it goes

    async def _stop_when_asked(self) -> None:
        await self._plan.stop.wait()
        async with self._changed:
            self._changed.notify_all()
        for shard in list(self._shards):
            with suppress(WorkerDiedError):
                await shard.call("drain")

    async def _keep_looking(self) -> None:
        rates = Rates()
        while True:
            started = time.monotonic()
            await self._look(rates)
            await asyncio.sleep(max(0.0, _LOOK_SECONDS - (time.monotonic() - started)))

    async def _look(self, rates: Rates) -> None:
        """Asks all shards how they are, replaces one that does not answer, and tells the observer and the journal."""

        for shard in self._shards:
            if shard not in self._asked:
                self._asked[shard] = asyncio.create_task(self._ask(shard))
        if self._asked:
            await asyncio.wait(list(self._asked.values()), timeout=_LOOK_SECONDS / 2)
        for name, working in list(self._working.items()):
            if working.leaves_as:  # again: a shard that was made anew knows nothing of it
                await self._drain_source(working, name)
        await self._tell_progress(rates)

    async def _tell_progress(self, rates: Rates) -> None:
        self.progress.num_shards = len(self._shards)
        self.progress.num_paused = len(self._paused)
        self.progress.load = total(self._shards.values())
        self.progress.working_seconds = time.monotonic() - self._ready
        positions = self._sinks.positions
        last = max(positions.values(), default=0)
        self.progress.sinks_behind = {n: last - at for n, at in positions.items() if n != "observer"}
        self.progress.outlets = {delivery.name: delivery.state(last) for delivery in self._outlets}
        snapshot = rates.snapshot(self.progress)
        await self._journal.call("put_meta", "progress", snapshot)
        self._observer.progress(snapshot)

    async def _ask(self, shard: Handle) -> None:
        try:
            load = await shard.call("load", limit_seconds=self._config.engine.hang_seconds)
            if shard in self._shards:
                self._shards[shard] = load
                self._give_slots(shard, load.sizes.get("sources_in_flight", 0))
        except WorkerDiedError as error:  # its sources come back by themselves
            _log.info("a shard does not say how it is: %s", error)
        finally:
            self._asked.pop(shard, None)


class _Told:
    """The observer as a sink: it is told everything once, and counted by."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def start(self, position: int, mark: Any) -> int:
        return position

    def write(self, entries: Sequence[Entry]) -> None:
        driver = self._driver
        progress = driver.progress
        for entry in entries:
            if entry.kind == "row":
                row = json.loads(entry.text)
                progress.num_rows += 1
                progress.media_seconds += row["end_seconds"] - row["start_seconds"]
                if "live" in row:
                    progress.lag_seconds[entry.source] = row["live"]["lag_seconds"]
                    if entry.source not in driver._live:  # it did not look like one
                        driver._live.add(entry.source)
                        driver._make_room()
                driver._deaths.pop(entry.source, None)
            elif entry.kind == "event" and (told := json.loads(entry.text))["state"] == "open":
                progress.events[told["label"]] = progress.events.get(told["label"], 0) + 1
        driver._observer.entries(entries)

    def close(self) -> None:
        """Nothing to close."""


def _first(errors: BaseExceptionGroup[StreammmError | OSError]) -> BaseException:
    leaf: BaseException = errors
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
