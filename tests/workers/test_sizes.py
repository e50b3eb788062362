"""What is not set is found out: sizes grow where that helps, stay where it does not, and never where they are set."""

from __future__ import annotations

from dataclasses import replace

import psutil
import pytest

from streammm.config.engine import EngineConfig
from streammm_workers.sizes import BatchSize, Measured, Sizes, Sizing

MB = 2**20


def follow(engine: EngineConfig, seconds: int = 30, **rates: float) -> Sizing:
    """Sizing after so many seconds in which every value grew at these rates; files fill all places there are."""
    sizing = Sizing(engine, decoders=2, cores=2)
    found = Measured(0.0, 0.0, 0.0, 0.0, 0.0, 0, MB)
    rates = {"idle_seconds": psutil.cpu_count(), **rates}
    for second in range(seconds):
        now = float(second)
        if sizing.is_due(now):
            grown = {key: rate * now for key, rate in rates.items()}
            sizing.look(replace(found, at_seconds=now, num_files=sizing.sizes.sources_in_flight, **grown))
    return sizing


def test_sources_that_are_slow_to_come_are_read_more_at_once() -> None:
    assert follow(EngineConfig(), cpu_seconds=0.2).sizes == Sizes(8, 16, 3)


@pytest.mark.parametrize("rates", [{"cpu_seconds": 1.9}, {"idle_seconds": 0.1}, {"encoder_seconds": 0.97}])
def test_nothing_grows_where_cores_or_an_encoder_are_busy(rates: dict[str, float]) -> None:
    assert follow(EngineConfig(), **rates).sizes == Sizes(2, 4, 3)


def test_readers_that_wait_for_room_are_given_more_chunks() -> None:
    sizing = follow(EngineConfig(), cpu_seconds=0.2, window_seconds=2.0)
    assert sizing.sizes == Sizes(2, 4, 6)
    assert sizing.most_chunks == 6


def test_what_is_set_stays() -> None:
    pinned = EngineConfig(decoders=2, chunks_in_flight=2)
    assert follow(pinned, cpu_seconds=0.2).sizes == Sizes(2, 4, 2)
    assert follow(pinned, cpu_seconds=0.2, window_seconds=2.0).sizes == Sizes(2, 4, 2)
    assert follow(EngineConfig(sources_in_flight=3), cpu_seconds=0.2).sizes == Sizes(2, 3, 3)


def test_the_trial_ends() -> None:
    sizing = follow(EngineConfig(), seconds=12, cpu_seconds=2.0)
    assert not sizing.is_due(12.0)
    assert sizing.sizes == Sizes(2, 4, 3)


def test_no_more_decoders_are_made_than_there_is_memory_for() -> None:
    sizing = Sizing(EngineConfig(), decoders=2, cores=2)
    huge = Measured(0.0, 0.0, 0.0, 0.0, 0.0, 4, 2**50)
    sizing.look(huge)
    idle = {"at_seconds": 1.0, "idle_seconds": psutil.cpu_count()}
    assert sizing.look(replace(huge, **idle)) == Sizes(2, 4, 3)


def feed(size: BatchSize, cost: dict[int, float], num_batches: int = 100, is_full: bool = True) -> None:
    """Full batches, each segment of which costs so much at a batch size."""
    busy_seconds, num_segments = 0.0, 0
    for _ in range(num_batches):
        busy_seconds += size.limit * cost[size.limit]
        num_segments += size.limit
        size.note(busy_seconds, num_segments, is_full)


def test_a_batch_grows_as_long_as_a_segment_gets_cheaper() -> None:
    size = BatchSize()
    feed(size, {16: 4.0, 32: 2.5, 64: 2.49})
    assert size.limit == 32
    feed(size, {32: 1.0})
    assert size.limit == 32


def test_a_batch_grows_no_further_than_the_largest() -> None:
    size = BatchSize()
    feed(size, {n: 16 / n for n in (16, 32, 64, 128)})
    assert size.limit == 128


def test_a_batch_that_is_not_filled_or_is_set_stays() -> None:
    size, pinned = BatchSize(), BatchSize(5)
    feed(size, {16: 1.0}, is_full=False)
    feed(pinned, {5: 1.0})
    assert (size.limit, pinned.limit) == (16, 5)
