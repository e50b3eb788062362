"""A driver over shards that make the trouble they are told to make."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import pytest

from streammm.config import Config
from streammm.errors import SourceError
from streammm.journal import Cursor, Entry, Journal
from streammm.types import SourceReport
from streammm_workers import driver
from streammm_workers.by_hand import ByHand
from streammm_workers.handle import DirectHandle
from streammm_workers.metrics import ShardLoad, StageLoad
from tests.workers.fakes import row


class FakeShard:
    """Commits five rows a source; before each it makes the trouble that it is told to make."""

    def __init__(self, journal: Journal, trouble: Callable[[str, int], object]) -> None:
        self.journal = journal
        self.trouble = trouble
        self.epochs: list[tuple[str, int]] = []
        self.is_draining = False
        self.leaving: set[str] = set()

    async def start(self) -> None:
        """Nothing to load."""

    async def drain(self) -> None:
        self.is_draining = True

    async def drain_source(self, name: str) -> None:
        self.leaving.add(name)

    def pictures(self) -> dict[str, bytes]:
        return {source: b"jpeg" for source, _ in self.epochs[-1:]}

    def load(self) -> ShardLoad:
        return ShardLoad({"decode": StageLoad(1, num_segments=5)}, 1)

    async def run(self, source: str) -> SourceReport | None:
        lease = self.journal.lease(source)
        assert lease is not None
        self.epochs.append((source, lease.epoch))
        cursor = lease.cursor
        for n in range(cursor.next_segment, 5):
            await asyncio.sleep(0)
            if self.is_draining or source in self.leaving:
                self.leaving.discard(source)
                return None
            self.trouble(source, n)
            text = json.dumps(row(source, n).to_json())
            cursor = Cursor(n + 1, media_seconds=2.0 * n + 2.0)
            self.journal.commit(source, lease.epoch, [Entry(source, n, "row", text)], cursor, n == 4)
        return cursor.report(source)


class Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[str, int | str]] = []
        self.snapshots: list[dict[str, Any]] = []

    def entries(self, entries: Sequence[Entry]) -> None:
        self.told += [(e.source, e.segment) for e in entries if e.segment is not None]

    def finished(self, report: SourceReport) -> None:
        self.told.append((report.source, "finished"))

    def failed(self, error: SourceError) -> None:
        self.told.append((error.source, error.reason))

    def skipped(self, source: str, reason: str, detail: str) -> None:
        self.told.append((source, f"skipped: {reason}"))

    def progress(self, snapshot: dict[str, Any]) -> None:
        self.snapshots.append(snapshot)


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every wait short."""
    real_sleep = asyncio.sleep
    monkeypatch.setattr(driver.asyncio, "sleep", lambda seconds: real_sleep(min(seconds, 0.01)))


def conduct(
    shards: Sequence[Any],
    sources: Iterable[str],
    journal: Journal,
    recorder: Recorder,
    *,
    slots: int = 2,
    sinks: dict[str, Any] | None = None,
    stop: asyncio.Event | None = None,
    attend: Callable[[ByHand, asyncio.Event], Coroutine[Any, Any, None]] | None = None,
    stays_open: bool = False,
) -> driver.Driver:
    """A run of these shards over these sources."""
    made: list[driver.Driver] = []

    async def main() -> None:
        handles = {name: DirectHandle(sink) for name, sink in (sinks or {}).items()}
        end = stop or asyncio.Event()

        async def beside(run: ByHand) -> None:
            if attend is not None:
                await attend(run, end)

        plan = driver.Plan(iter(sources), lambda: None, handles, end, (), beside, stays_open)
        made.append(driver.Driver(Config(), plan, DirectHandle(journal), recorder))
        await made[0].run([(DirectHandle(shard), slots) for shard in shards])

    asyncio.run(main())
    return made[0]


def of(told: list[tuple[str, int | str]], source: str) -> list[int | str]:
    return [what for name, what in told if name == source]


async def until(holds: Callable[[], object]) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)
