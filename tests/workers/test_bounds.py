"""Memory has a bound that is known before a run: what is decoded waits, whoever is slow."""

from __future__ import annotations

import functools
import gc
import json
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from streammm.building.decoding import decode_options
from streammm.config import Config, load
from streammm.journal import Entry, backlog
from streammm.sinks.files import Files
from streammm_workers import cluster, engine, reading, shard
from streammm_workers.bounds import payload_bound_bytes, segment_bytes
from streammm_workers.decode import DecodeWorker
from streammm_workers.encode import EncodeWorker
from streammm_workers.engine import Place
from tests.workers.light import PAYLOAD, MadeUpDecoder, SlowEncodeWorker, SlowerEncodeWorker
from tests.workers.replacing import Replacing
from tests.workers.test_run import Recorder

SOURCES, CHUNKS, SEGMENTS = 16, 2, 4
FIXED_BYTES = 100 * 2**20
"""What a run may take beyond the pictures and the sound: batches in the making, rows, what the allocator keeps."""


def config(*settings: str) -> Config:
    return load(
        settings=[
            f"engine.sources_in_flight={SOURCES}",
            f"engine.chunks_in_flight={CHUNKS}",
            f"engine.chunk_segments={SEGMENTS}",
            "engine.decoders=2",
            "engine.batch_segments=16",
            *settings,
        ],
        labels=["bright", "dark"],
    )


def bound() -> int:
    return payload_bound_bytes(SOURCES, CHUNKS, SEGMENTS, segment_bytes(decode_options(config())))


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages of this process whose segments are counted, and whose encoders are slower than they are made."""
    monkeypatch.setattr(reading, "DecodeWorker", MadeUpDecoder)
    monkeypatch.setattr(shard, "EncodeWorker", SlowEncodeWorker)
    gc.collect()
    PAYLOAD.most_bytes = PAYLOAD.alive_bytes


class Memory:
    """Watches the memory of this process, in a thread."""

    def __enter__(self) -> Memory:
        self._before = self.most = psutil.Process().memory_info().rss
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return self.most - self._before

    def _watch(self) -> None:
        while not self._is_over.wait(0.02):
            self.most = max(self.most, psutil.Process().memory_info().rss)


class Gate:
    """A sink of files that does not go on until it is let."""

    name = "files"

    def __init__(self, files: Files) -> None:
        self._files = files
        self.is_open = threading.Event()

    def start(self, position: int, mark: Any) -> int:
        return self._files.start(position, mark)

    def write(self, entries: Sequence[Entry]) -> dict[str, int]:
        assert self.is_open.wait(120)
        return self._files.write(entries)

    def close(self) -> None:
        self._files.close()


@pytest.mark.parametrize(
    ("settings", "num_bytes"),
    [
        ([], 4 * 3 * 224 * 224 + 4 * 32_000),
        (["segment.length_seconds=0.5", "segment.frames_per_second=3"], 2 * 3 * 224 * 224 + 4 * 8_000),
        (["segment.by=shots", "segment.max_shot_seconds=10"], 20 * 3 * 224 * 224 + 4 * 160_000),
    ],
)
def test_the_largest_segment_is_known(settings: list[str], num_bytes: int) -> None:
    assert segment_bytes(decode_options(load(settings=settings))) == num_bytes


def test_the_bound_is_the_formula() -> None:
    assert payload_bound_bytes(16, 3, 8, 1000) == 16 * 4 * 8 * 1000


def test_what_is_left_behind_of_a_segment_is_freed() -> None:
    whole = MadeUpDecoder._segment(MadeUpDecoder.__new__(MadeUpDecoder), "a", 0)
    frames, waveform = weakref.ref(whole.frames), weakref.ref(whole.waveform)
    pictures, header = whole.only("video"), whole.only("text")
    del whole
    assert frames() is not None
    assert waveform() is None
    del pictures
    assert frames() is None
    assert (header.frames.shape, header.waveform.shape) == ((0, 224, 224, 3), (0,))


def test_sixteen_sources_at_once_stay_under_the_bound(made_up: None) -> None:
    recorder = Recorder()
    with Memory() as memory:
        engine.run(config(), [f"{n}:60" for n in range(SOURCES)], recorder)
    assert len(recorder.by_segment()) == SOURCES * 60
    assert 0.5 * bound() < PAYLOAD.most_bytes <= bound()
    assert memory.growth <= bound() + FIXED_BYTES
    gc.collect()
    assert PAYLOAD.alive_bytes == 0


def test_a_sink_that_stalls_holds_nobody_up_and_fills_nothing(made_up: None, tmp_path: Path) -> None:
    gate = Gate(Files(tmp_path / "results.jsonl", tmp_path / "quarantine.jsonl"))
    done_while_stalled: list[int] = []

    class Opening(Recorder):
        """Lets the sink go on only once all rows are committed, and a while later."""

        def entries(self, entries: Sequence[Entry]) -> None:
            super().entries(entries)
            if len(self.all) == SOURCES * 60:
                threading.Timer(2.0, self.open).start()

        def open(self) -> None:
            done_while_stalled.append((tmp_path / "results.jsonl").stat().st_size)
            gate.is_open.set()

    recorder = Opening()
    with Memory() as memory:
        place = Place((f"sqlite:///{tmp_path}/journal.sqlite",), [gate])
        assert engine.run(config(), [f"{n}:60" for n in range(SOURCES)], recorder, None, place)
    assert done_while_stalled == [0]
    assert PAYLOAD.most_bytes <= bound()
    assert memory.growth <= bound() + FIXED_BYTES
    written = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert len(written) == SOURCES * 60
    for n in range(SOURCES):
        assert [row["segment"] for row in written if row["source"] == f"{n}:60"] == list(range(60))


def test_with_the_journal_in_memory_a_sink_that_stalls_is_waited_for(
    made_up: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = 100
    monkeypatch.setattr(backlog, "_MAX_UNREAD", unread)
    gate = Gate(Files(tmp_path / "results.jsonl", tmp_path / "quarantine.jsonl"))
    recorder = Recorder()
    seen: list[int] = []

    def watch() -> None:
        deadline = time.monotonic() + 60
        while len(recorder.all) < unread and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(2.0)
        seen.append(len(recorder.all))
        gate.is_open.set()

    thread = threading.Thread(target=watch)
    thread.start()
    rows_only = config("events.enabled=false")
    assert engine.run(rows_only, [f"{n}:60" for n in range(SOURCES)], recorder, None, Place((), [gate]))
    thread.join()
    assert unread <= seen[0] <= unread + SOURCES * SEGMENTS
    assert PAYLOAD.most_bytes <= bound()
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == SOURCES * 60


class Store:
    """Asks Ray, once it is there, how many bytes its object stores hold, in a thread."""

    def __enter__(self) -> Store:
        self.used: list[int] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        import ray

        name = "object_store_memory"
        while not self._is_over.wait(0.1):
            if ray.is_initialized():
                with suppress(Exception):  # Ray comes up, or goes down
                    free, whole = ray.available_resources(), ray.cluster_resources()
                    self.used.append(int(whole[name] - free[name]))


@pytest.mark.ray
def test_on_ray_the_object_store_stays_under_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = ((DecodeWorker, MadeUpDecoder), (EncodeWorker, SlowerEncodeWorker))
    monkeypatch.setattr(cluster, "ActorSpawn", functools.partial(Replacing, stages=stages))
    here = config("engine.decoders=1", "ray.encoders=actors")
    recorder = Recorder()
    with Store() as store:
        engine.run(here, [f"{n}:24" for n in range(SOURCES)], recorder, "local")
    assert len(recorder.by_segment()) == SOURCES * 24
    num_freed_late = here.engine.batch_segments / SlowerEncodeWorker.seconds  # Ray frees within a second
    assert len(store.used) > 10
    most = bound() * recorder.snapshot["num_shards"] + num_freed_late * segment_bytes(decode_options(here))
    assert 0.3 * bound() < max(store.used) <= most
