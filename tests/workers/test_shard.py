"""A shard whose stages are stand-ins: it makes more of them where they are waited for, and rows do not change."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from streammm.config import Config, load
from streammm.encoders.isolation import Encoded
from streammm.journal import Journal
from streammm.types import Embeddings, Segment
from streammm_workers import driver, sizes
from streammm_workers.decode import Chunk, DecodeWorker
from streammm_workers.encode import EncodeWorker
from streammm_workers.handle import DirectHandle, Handle, ThreadHandle
from streammm_workers.shard import Shard
from tests.workers.fakes import segment

NUM_SEGMENTS = 3


class SlowDecoder:
    """Waits before each chunk, as for a store far away; counts how many do so at once."""

    waiting = 0
    most_waiting = 0
    lock = threading.Lock()
    made: ClassVar[list[SlowDecoder]] = []

    def __init__(self) -> None:
        self.next_segment: dict[str, int] = {}
        self.made.append(self)

    def open(self, ticket: str, source: str, first_segment: int) -> None:
        self.next_segment[ticket] = first_segment

    def next(
        self, ticket: str, num_segments: int, is_watched: bool = False
    ) -> tuple[Chunk, list[Segment], list[Segment]]:
        with self.lock:
            SlowDecoder.waiting += 1
            SlowDecoder.most_waiting = max(self.most_waiting, self.waiting)
        time.sleep(0.05)
        with self.lock:
            SlowDecoder.waiting -= 1
        first = self.next_segment[ticket]
        last = self.next_segment[ticket] = min(NUM_SEGMENTS, first + num_segments)
        found = [segment(n, ticket.partition(":")[2]) for n in range(first, last)]
        return Chunk(found, last == NUM_SEGMENTS, 0, "", peak_bytes=2**20), found, found

    def close(self, ticket: str) -> None:
        self.next_segment.pop(ticket, None)


class QuickEncoder(EncodeWorker):
    """Answers at once; only the labels are read by a real model."""

    def encode(self, *chunks: list[Segment]) -> list[Encoded]:
        width = {"audio": 521, "video": 1000}.get(self._modality, 0)
        return [
            Encoded(
                Embeddings(
                    self._modality,
                    np.zeros((len(chunk), 384), np.float32),
                    np.full((len(chunk), width), 0.01, np.float32),
                    np.ones(len(chunk), np.bool_),
                ),
                {},
            )
            for chunk in chunks
        ]


def stand_in(kind: str, make: Callable[..., object], *args: Any) -> Handle:
    if make is DecodeWorker:
        return ThreadHandle(kind, SlowDecoder)
    assert make is EncodeWorker
    return ThreadHandle(kind, QuickEncoder, *args)


class Rows:
    """An observer that counts rows."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, int | None]] = []
        self.snapshot: dict[str, Any] = {}

    def entries(self, entries: Sequence[Any]) -> None:
        self.keys += [(e.source, e.segment) for e in entries]

    def progress(self, snapshot: dict[str, Any]) -> None:
        self.snapshot = snapshot

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def conduct(config: Config, num_sources: int) -> Rows:
    """A run of one shard of two cores, which begins with two decode workers."""
    rows = Rows()
    SlowDecoder.most_waiting = 0
    SlowDecoder.made.clear()

    async def main() -> None:
        journal = DirectHandle(Journal())
        shard = Shard(config, stand_in, journal, 2, cores=2)
        plan = driver.Plan(iter(f"s{n}" for n in range(num_sources)), lambda: None, {}, asyncio.Event())
        await driver.Driver(config, plan, journal, rows).run([(DirectHandle(shard), 4)])  # type: ignore[arg-type]
        shard.close()

    asyncio.run(main())
    assert sorted(rows.keys) == sorted((f"s{n}", i) for n in range(num_sources) for i in range(NUM_SEGMENTS))
    return rows


def test_more_sources_are_decoded_at_once_where_they_are_slow_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(driver, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(sizes, "_BUSY_CORES", 100.0)  # whatever else this machine is at
    rows = conduct(load(labels="music"), 200)
    assert rows.snapshot["sizes"] == {
        "decoders": 8,
        "sources_in_flight": 16,
        "chunks_in_flight": 3,
        "batch_segments": 1,
    }
    assert rows.snapshot["stages"]["decode"]["num_workers"] == 8
    assert SlowDecoder.most_waiting == 8


def test_what_is_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(sizes, "_BUSY_CORES", 100.0)
    pinned = ["engine.decoders=2", "engine.chunks_in_flight=1", "engine.batch_segments=5"]
    rows = conduct(load(settings=pinned, labels="music"), 40)
    assert rows.snapshot["sizes"] == {
        "decoders": 2,
        "sources_in_flight": 4,
        "chunks_in_flight": 1,
        "batch_segments": 5,
    }
    assert SlowDecoder.most_waiting == 2


def test_every_source_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its last rows are committed while its worker is at another source: else processes would pile up."""
    monkeypatch.setattr(sizes, "_BUSY_CORES", 0.0)
    conduct(load(settings=["engine.decoders=2"], labels="music"), 60)
    assert [decoder.next_segment for decoder in SlowDecoder.made] == [{}, {}]
