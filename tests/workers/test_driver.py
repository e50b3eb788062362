"""Dealing sources out: every one ends once, whatever the shards do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streammm.config import Config, load
from streammm.errors import ConfigError, SourceError
from streammm.journal import Cursor, Journal
from streammm.types import SourceReport
from streammm_workers import driver
from streammm_workers.handle import DirectHandle, WorkerDiedError
from tests.workers.fakes import row


class FakeShard:
    """Commits five rows a source; before each it makes the trouble that it is told to make."""

    def __init__(self, journal: Journal, trouble: Callable[[str, int], None]) -> None:
        self.journal = journal
        self.trouble = trouble
        self.epochs: list[tuple[str, int]] = []

    async def start(self) -> None:
        """Nothing to load."""

    async def run(self, source: str, epoch: int) -> SourceReport | None:
        self.epochs.append((source, epoch))
        cursor = self.journal.lease(source, epoch)
        assert cursor is not None
        for n in range(cursor.next_segment, 5):
            await asyncio.sleep(0)
            self.trouble(source, n)
            self.journal.commit(source, epoch, [row(source, n)], Cursor(n + 1))
        return SourceReport(source, 5, 10.0, 0, "", 0)


class Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[str, int | str]] = []

    def rows(self, rows: list) -> None:
        self.told += [(r.source, r.segment) for r in rows]

    def finished(self, report: SourceReport) -> None:
        self.told.append((report.source, "finished"))

    def failed(self, error: SourceError, num_rows: int) -> None:
        self.told.append((error.source, f"{error.reason} after {num_rows}"))


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every wait short."""
    real_sleep = asyncio.sleep
    monkeypatch.setattr(driver.asyncio, "sleep", lambda seconds: real_sleep(min(seconds, 0.01)))


def drive(trouble: Callable[[str, int], None], sources: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    shards = [FakeShard(journal, trouble) for _ in range(2)]
    handles = [DirectHandle(shard) for shard in shards]
    asyncio.run(driver.drive(Config(), sources, handles, DirectHandle(journal), 2, recorder))
    return recorder.told, shards


def of(told: list[tuple[str, int | str]], source: str) -> list[int | str]:
    return [what for name, what in told if name == source]


def test_every_source_is_done_once_with_its_rows_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [f"s{n}" for n in range(9)]
    told, shards = drive(lambda source, n: None, sources, monkeypatch)
    assert all(of(told, source) == [0, 1, 2, 3, 4, "finished"] for source in sources)
    epochs = [epoch for shard in shards for _, epoch in shard.epochs]
    assert sorted(epochs) == list(range(9))


def test_a_source_whose_workers_die_goes_on_as_long_as_it_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    deaths = []

    def die_at_every_row_once(source: str, n: int) -> None:
        if source == "b" and n not in deaths:
            deaths.append(n)
            raise WorkerDiedError("gone")

    told, shards = drive(die_at_every_row_once, ["a", "b", "c"], monkeypatch)
    assert deaths == [0, 1, 2, 3, 4]
    assert of(told, "b") == [0, 1, 2, 3, 4, "finished"]
    epochs = [epoch for shard in shards for source, epoch in shard.epochs if source == "b"]
    assert len(set(epochs)) == 6


def test_a_source_that_kills_every_worker_is_given_up_and_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(source: str, n: int) -> None:
        if source == "b" and n == 2:
            raise WorkerDiedError("gone")

    told, shards = drive(die, ["a", "b", "c"], monkeypatch)
    assert of(told, "b") == [0, 1, "worker-died after 2"]
    assert len([epoch for shard in shards for source, epoch in shard.epochs if source == "b"]) == 3
    assert of(told, "a") == of(told, "c") == [0, 1, 2, 3, 4, "finished"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SourceError("b", "undecodable", "no"), "undecodable after 1"), (KeyError("bug"), "internal after 1")],
)
def test_an_error_in_one_source_costs_that_source(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(source: str, n: int) -> None:
        if source == "b" and n == 1:
            raise error

    told, _ = drive(fail, ["a", "b", "c"], monkeypatch)
    assert of(told, "b") == [0, reason]
    assert of(told, "a") == of(told, "c") == [0, 1, 2, 3, 4, "finished"]


def test_a_mistake_in_the_set_up_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, n: int) -> None:
        raise ConfigError("no such model")

    with pytest.raises(ConfigError, match="no such model"):
        drive(fail, ["a"], monkeypatch)


class DeadShard:
    """A shard that is gone for good."""

    async def start(self) -> None:
        if self.runs:
            raise WorkerDiedError("gone")

    runs = 0

    async def run(self, source: str, epoch: int) -> None:
        self.runs += 1
        raise WorkerDiedError("gone")


def test_a_dead_shard_takes_no_source_from_a_healthy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder, dead = Journal(), Recorder(), DeadShard()
    handles = [DirectHandle(dead), DirectHandle(FakeShard(journal, lambda source, n: None))]
    sources = [f"s{n}" for n in range(16)]
    asyncio.run(driver.drive(Config(), sources, handles, DirectHandle(journal), 2, recorder))
    assert all(of(recorder.told, source)[-1] == "finished" for source in sources)
    assert dead.runs == 2  # one a slot


def test_without_a_shard_left_every_source_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    asyncio.run(
        driver.drive(Config(), ["a", "b", "c"], [DirectHandle(DeadShard())], DirectHandle(journal), 1, recorder)
    )
    assert sorted(recorder.told) == [(source, "worker-died after 0") for source in "abc"]


def test_a_sink_that_cannot_write_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()

    def full(rows: list) -> None:
        raise OSError(28, "No space left on device")

    recorder.rows = full
    handles = [DirectHandle(FakeShard(journal, lambda source, n: None))]
    with pytest.raises(OSError, match="No space left"):
        asyncio.run(driver.drive(Config(), ["a", "b"], handles, DirectHandle(journal), 1, recorder))


@pytest.mark.parametrize(
    ("nodes", "num_sources", "settings", "layout"),
    [
        ([{"CPU": 2}], 100, [], (1, 2, 0.0)),
        ([{"CPU": 8}, {"CPU": 4}], 100, [], (2, 4, 0.0)),
        ([{"CPU": 64, "GPU": 8}], 1000, [], (8, 8, 1.0)),
        ([{"CPU": 64, "GPU": 8}], 4, [], (8, 1, 1.0)),
        ([{"CPU": 4}, {"CPU": 16, "GPU": 2}], 1000, [], (2, 8, 1.0)),
        ([{"CPU": 16}], 1000, ["ray.shards=2"], (2, 8, 0.0)),
        ([{"CPU": 16, "GPU": 1}], 1000, ["ray.gpus_per_shard=0.5"], (2, 8, 0.5)),
    ],
)
def test_the_layout_fits_the_cluster(
    nodes: list[dict[str, float]], num_sources: int, settings: list[str], layout: tuple[int, int, float]
) -> None:
    from streammm_workers.cluster import _lay_out

    found = _lay_out(load(settings=settings), nodes, num_sources)
    assert (found.num_shards, found.decoders, found.gpus) == layout
