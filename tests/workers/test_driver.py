"""Dealing sources out: every one ends once, whatever the shards do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streammm.errors import ConfigError, SourceError, StreammmError
from streammm.journal import TODO, Cursor, Entry, Journal
from streammm.types import SourceReport
from streammm_workers.handle import WorkerDiedError
from streammm_workers.metrics import ShardLoad
from tests.workers.driven import FakeShard, Recorder, conduct, of, quick


def drive(trouble: Callable[[str, int], object], sources: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    shards = [FakeShard(journal, trouble) for _ in range(2)]
    conduct(shards, sources, journal, recorder)
    return recorder.told, shards


def test_every_source_is_done_once_with_its_rows_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [f"s{n}" for n in range(9)]
    told, shards = drive(lambda source, n: None, sources, monkeypatch)
    assert all(of(told, source) == [0, 1, 2, 3, 4, "finished"] for source in sources)
    assert sorted(source for shard in shards for source, _ in shard.epochs) == sources


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
    assert of(told, "b") == [0, 1, "worker-died"]
    assert len([epoch for shard in shards for source, epoch in shard.epochs if source == "b"]) == 3
    assert of(told, "a") == of(told, "c") == [0, 1, 2, 3, 4, "finished"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SourceError("b", "undecodable", "no"), "undecodable"), (KeyError("bug"), "internal")],
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

    runs = 0

    async def start(self) -> None:
        if self.runs:
            raise WorkerDiedError("gone")

    async def run(self, source: str) -> None:
        self.runs += 1
        raise WorkerDiedError("gone")

    def load(self) -> ShardLoad:
        raise WorkerDiedError("gone")


def test_a_dead_shard_takes_no_source_from_a_healthy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder, dead = Journal(), Recorder(), DeadShard()
    sources = [f"s{n}" for n in range(16)]
    conduct([dead, FakeShard(journal, lambda source, n: None)], sources, journal, recorder)
    assert all(of(recorder.told, source)[-1] == "finished" for source in sources)
    assert dead.runs == 2  # one a slot


def test_without_a_shard_left_the_sources_are_still_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    with pytest.raises(StreammmError, match="no shard is left; 3 sources are still to do"):
        conduct([DeadShard()], ["a", "b", "c"], journal, recorder, slots=1)
    assert recorder.told == []
    assert set(journal.register(["a", "b", "c"]).values()) == {TODO}


class FakeSink:
    """Keeps what it is given; fails or stalls as it is told."""

    def __init__(self, trouble: Callable[[], object] = lambda: None) -> None:
        self.got: list[tuple[str, int | None]] = []
        self.trouble = trouble
        self.is_closed = False

    def start(self, position: int, mark: Any) -> int:
        del self.got[mark or 0 :]
        return position

    def write(self, entries: Sequence[Entry]) -> int:
        self.got += [(e.source, e.segment) for e in entries]
        self.trouble()
        return len(self.got)

    def close(self) -> None:
        self.is_closed = True


def test_a_sink_that_cannot_write_ends_the_run_and_goes_on_in_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick(monkeypatch)
    journal = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    sources = ["a", "b"]

    def full() -> None:
        raise OSError(28, "No space left on device")

    sink = FakeSink(full)
    with pytest.raises(OSError, match="No space left"):
        conduct([FakeShard(journal, lambda source, n: None)], sources, journal, Recorder(), sinks={"s": sink})
    sink.trouble = lambda: None
    conduct([FakeShard(journal, lambda source, n: None)], sources, journal, Recorder(), sinks={"s": sink})
    assert sorted(sink.got) == [(source, n) for source in sources for n in range(5)]
    assert sink.is_closed


def test_listing_goes_only_so_far_ahead_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    listed = 0
    most = 0

    def sources() -> Iterator[str]:
        nonlocal listed
        for n in range(10_000):
            listed += 1
            yield f"s{n}"

    class Shard(FakeShard):
        async def run(self, source: str) -> SourceReport | None:
            nonlocal most
            most = max(most, listed - len(self.epochs))
            self.epochs.append((source, 0))
            await asyncio.sleep(0)
            return Cursor().report(source)

    shard = Shard(journal, lambda source, n: None)
    made = conduct([shard], sources(), journal, recorder, slots=4)
    assert len(shard.epochs) == made.progress.num_done == listed == 10_000
    assert most < 4096 + 2 * 256
    assert shard.epochs[0] == ("s0", 0)


def test_a_run_that_is_stopped_goes_on_later_with_the_same_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick(monkeypatch)
    journal = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    recorder, sink = Recorder(), FakeSink()
    sources = [f"s{n}" for n in range(9)]
    stop = asyncio.Event()
    shard = FakeShard(journal, lambda source, n: stop.set() if (source, n) == ("s4", 2) else None)
    conduct([shard], sources, journal, recorder, sinks={"s": sink}, stop=stop)
    num_before = len(sink.got)
    assert 0 < num_before < 45
    again = Recorder()
    made = conduct([FakeShard(journal, lambda source, n: None)], sources, journal, again, sinks={"s": sink})
    assert sorted(sink.got) == [(source, n) for source in sources for n in range(5)]
    assert made.progress.num_done_before == sum(what == "finished" for _, what in recorder.told)
    assert len([1 for _, what in again.told if isinstance(what, int)]) == 45 - num_before


def test_a_run_says_how_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    conduct([FakeShard(journal, lambda source, n: None)], ["a", "b"], journal, recorder)
    last = recorder.snapshots[-1]
    assert (last["num_listed"], last["is_listed"], last["num_done"], last["num_rows"]) == (2, True, 2, 10)
    assert last["media_seconds"] == 20.0
    assert journal.meta("progress") == json.loads(json.dumps(last))
