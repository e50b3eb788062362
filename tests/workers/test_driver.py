"""Dealing sources out: every one ends once, whatever the shards do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streammm.config import Config
from streammm.errors import ConfigError, SourceError
from streammm.journal import Cursor, Journal
from streammm.types import SourceReport
from streammm_workers import driver
from streammm_workers.handle import DirectHandle, WorkerDiedError
from tests.workers.fakes import row


class FakeShard:
    """Commits five rows a source, after doing to it what it is told to do."""

    def __init__(self, journal: Journal, trouble: Callable[[str, int], None] = lambda source, epoch: None) -> None:
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
            self.journal.commit(source, epoch, [row(source, n)], Cursor(n + 1))
            await asyncio.sleep(0)
            self.trouble(source, epoch)
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


def drive(trouble: Callable[[str, int], None], sources: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple:
    real_sleep = asyncio.sleep
    monkeypatch.setattr(driver.asyncio, "sleep", lambda seconds: real_sleep(min(seconds, 0.01)))
    journal, recorder = Journal(), Recorder()
    shards = [FakeShard(journal, trouble) for _ in range(2)]
    handles = [DirectHandle(shard) for shard in shards]
    asyncio.run(driver.drive(Config(), sources, handles, DirectHandle(journal), 2, recorder))
    return recorder.told, shards


def of(told: list[tuple[str, int | str]], source: str) -> list[int | str]:
    return [what for name, what in told if name == source]


def test_every_source_is_done_once_with_its_rows_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [f"s{n}" for n in range(9)]
    told, shards = drive(lambda source, epoch: None, sources, monkeypatch)
    assert all(of(told, source) == [0, 1, 2, 3, 4, "finished"] for source in sources)
    epochs = [epoch for shard in shards for _, epoch in shard.epochs]
    assert sorted(epochs) == list(range(9))


def test_a_source_whose_worker_dies_goes_on_under_a_new_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    deaths = []

    def die_once(source: str, epoch: int) -> None:
        if source == "b" and not deaths:
            deaths.append(epoch)
            raise WorkerDiedError("gone")

    told, shards = drive(die_once, ["a", "b", "c"], monkeypatch)
    assert of(told, "b") == [0, 1, 2, 3, 4, "finished"]
    assert len([epoch for shard in shards for source, epoch in shard.epochs if source == "b"]) == 2


def test_a_source_that_kills_every_worker_is_given_up_and_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(source: str, epoch: int) -> None:
        if source == "b":
            raise WorkerDiedError("gone")

    told, _ = drive(die, ["a", "b", "c"], monkeypatch)
    assert of(told, "b")[-1] == "worker-died after 3"
    assert of(told, "a") == of(told, "c") == [0, 1, 2, 3, 4, "finished"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SourceError("b", "undecodable", "no"), "undecodable after 1"), (KeyError("bug"), "internal after 1")],
)
def test_an_error_in_one_source_costs_that_source(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(source: str, epoch: int) -> None:
        if source == "b":
            raise error

    told, _ = drive(fail, ["a", "b", "c"], monkeypatch)
    assert of(told, "b") == [0, reason]
    assert of(told, "a") == of(told, "c") == [0, 1, 2, 3, 4, "finished"]


def test_a_mistake_in_the_set_up_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, epoch: int) -> None:
        raise ConfigError("no such model")

    with pytest.raises(ConfigError, match="no such model"):
        drive(fail, ["a"], monkeypatch)
