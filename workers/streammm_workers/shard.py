"""A shard owns sources from the first packet to the last row: it pulls chunks from its decoders, has them encoded in
batches across its sources, fuses in order and commits. Shards share nothing, so there may be any number of them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field

import psutil

from streammm.building.classifier import make_classifier
from streammm.building.decoding import decode_options
from streammm.building.encoders import is_built_in
from streammm.building.events import make_events
from streammm.building.labels import reads_labels
from streammm.building.modalities import loaded_encoders, used_modalities
from streammm.classifier import Classifier
from streammm.config import Config
from streammm.encoders.isolation import with_failures
from streammm.errors import SourceError
from streammm.event_rows import EventSettings
from streammm.journal import Commit, Cursor, Entry, Lease, quarantine_entry
from streammm.kept import embeddings_entry
from streammm.media.address import is_file, public_name
from streammm.source_rows import SourceRows
from streammm.types import Classification, Embeddings, Modality, Segment, SourceReport
from streammm_workers.batch import Batcher
from streammm_workers.bell import Bell
from streammm_workers.commit import Committer
from streammm_workers.decode import NotOpenError
from streammm_workers.encode import EncodeWorker
from streammm_workers.handle import Handle, Spawn
from streammm_workers.metrics import ShardLoad, StageLoad
from streammm_workers.pictures import Pictures
from streammm_workers.reading import Decoders, Pending, Reading
from streammm_workers.sizes import BatchSize, Measured, Sizing

_HELD_BACK_SECONDS = 0.05
"""How often is asked whether the sinks have caught up."""


@dataclass(slots=True)
class _Health:
    """Which encoders failed on a source and which worked; what is said of the last failure."""

    failed: set[Modality] = field(default_factory=set)
    worked: set[Modality] = field(default_factory=set)
    num_failures: int = 0
    last_failure: str = ""


class Shard:
    """Works on several sources at once; its encoders begin to load when it is made.

    Args:
        config: the whole configuration.
        spawn: makes stages, as threads here or as Ray actors.
        journal: handle of the journal, which all shards share.
        num_decoders: how many decode workers to begin with.
        cores: that it may use.
        bell: rung when something of a live source was committed; None where nobody here listens.
    """

    def __init__(
        self,
        config: Config,
        spawn: Spawn,
        journal: Handle,
        num_decoders: int,
        cores: int,
        bell: Bell | None = None,
    ) -> None:
        self._config = config
        self._journal = journal
        self._bell = bell or Bell()
        self._committer = Committer(journal)
        self._decoders = Decoders(config, decode_options(config), spawn, num_decoders)
        self._encoders: dict[Modality, Handle] = {
            m: spawn(f"encode-{m}", EncodeWorker, config, m) for m in loaded_encoders(config)
        }
        for encoder in self._encoders.values():
            encoder.begin("load")
        self._classifier: asyncio.Task[tuple[Classifier, EventSettings | None]] | None = None
        self._batchers: dict[Modality, Batcher] = {
            m: Batcher(self._encoders[m], BatchSize(self._batch_segments(m)), config.engine.hang_seconds)
            for m in used_modalities(config)
        }
        self._cores = cores
        self._sizing = Sizing(config.engine, num_decoders, cores)
        self._readings: set[Reading] = set()
        self._num_files = 0
        self._is_draining = False
        self._is_leaving: dict[str, bool] = {}
        self._pictures = Pictures()
        self._devices: dict[Modality, str] = {}
        self._cpu_seconds_before: float | None = None

    def _batch_segments(self, modality: Modality) -> int | None:
        """Segments of a batch; speech is recognised segment by segment, and a large batch would only take longer."""
        listens = modality == "text" and self._config.speech.recogniser is not None
        return 1 if listens else self._config.engine.batch_segments

    def _goes_one_by_one(self, modality: Modality) -> bool:
        """Whether a batch is no cheaper than its segments: on a CPU; in one, live sources would wait for each other."""
        is_set = self._config.engine.batch_segments is not None
        return not is_set and self._devices.get(modality) == "cpu" and is_built_in(self._config, modality)

    async def start(self) -> None:
        """Waits until every stage has loaded, so that a mistake in the set-up shows before any source is touched.

        Raises:
            ConfigError: a model is missing, a label cannot be used, a device is not there.
        """
        loading = asyncio.gather(*(encoder.call("load") for encoder in self._encoders.values()))
        loaded, _ = await asyncio.gather(loading, self._make_classifier())
        self._devices = dict(zip(self._encoders, loaded, strict=True))
        for modality, batcher in self._batchers.items():
            if self._goes_one_by_one(modality):
                batcher.size = BatchSize(1)
        if self._cpu_seconds_before is None:
            self._cpu_seconds_before = time.process_time()

    async def run(self, source: str) -> SourceReport | None:
        """Does a source, from where the journal says, to its end.

        Returns:
            How it went; None if it was not done to its end: another shard has taken it over, or `drain` was called.

        Raises:
            SourceError: the source cannot be read, or its workers died on it again and again.
            WorkerDiedError: an encoder died on it and did not come back.
        """
        name = public_name(source)
        self._is_leaving[name] = False
        try:
            lease: Lease | None = None if self._is_draining else await self._journal.call("lease", name)
            if lease is None or self._is_draining or self._is_leaving[name]:
                return None
            return await self._read(source, name, lease)
        finally:
            self._is_leaving.pop(name, None)

    async def _read(self, source: str, name: str, lease: Lease) -> SourceReport | None:
        chunks = self._sizing.sizes.chunks_in_flight
        reading = Reading(source, name, lease, self._config.engine, chunks, self._resize, self._pictures)
        self._num_files += is_file(source)
        self._readings.add(reading)
        puller = asyncio.create_task(reading.pull(self._decoders, self._batchers))
        try:
            return await self._fuse_and_commit(reading)
        finally:
            self._readings.discard(reading)
            self._pictures.forget(name)
            if not reading.is_closing:  # the call that closes it, which waits for its turn, would be dropped
                puller.cancel()
            with suppress(asyncio.CancelledError):
                await puller
            self._num_files -= is_file(source)

    async def drain(self) -> None:
        """Lets every source come to a stop: what is decoded is still committed, nothing new is begun."""
        self._is_draining = True
        for reading in self._readings:
            reading.drain()
        await self._decoders.end_followers()

    async def drain_source(self, name: str) -> None:
        """Lets one source come to a stop, as `drain` does all."""
        if name not in self._is_leaving:
            return
        self._is_leaving[name] = True
        for reading in self._readings:
            if reading.name == name:
                reading.drain()
        await self._decoders.end_followers(name)

    def pictures(self) -> dict[str, bytes]:
        """The last pictures of sources as JPEG, those since the last time; see `Pictures.take`."""
        return self._pictures.take() if self._config.privacy.shows_frames else {}  # not asked for, not made

    def load(self) -> ShardLoad:
        """What the stages have done so far, what waits for them, and how large they are by now."""
        stages = {"decode": self._decoders.load}
        sizes = asdict(self._sizing.sizes)
        for modality, batcher in self._batchers.items():
            load, device = batcher.load, self._devices.get(modality, "cpu")
            is_apart = device == "cpu" and not self._encoders[modality].is_here
            stages[modality] = StageLoad(
                1,
                load.busy_seconds,
                cpu_seconds=load.busy_seconds if is_apart else 0.0,
                num_segments=load.num_segments,
                num_deaths=load.num_deaths,
                num_waiting=batcher.num_waiting,
                batch_sizes=dict(load.batch_sizes),
                device=device,
            )
        sizes["batch_segments"] = max(batcher.size.limit for batcher in self._batchers.values())
        here = {f"{socket.gethostname()}:{os.getpid()}": time.process_time() - (self._cpu_seconds_before or 0.0)}
        return ShardLoad(stages, len(self._readings), sizes, here, self._decoders.peak_bytes, self._cores)

    def close(self) -> None:
        """Ends all stages."""
        self._decoders.close()
        for encoder in self._encoders.values():
            encoder.close()

    def _resize(self) -> None:
        """Looks whether other sizes would serve better."""
        now = time.monotonic()
        if not self._sizing.is_due(now):
            return
        before = self._sizing.sizes
        sizes = self._sizing.look(
            Measured(
                now,
                time.process_time() + self._decoders.load.cpu_seconds,
                _idle_seconds(),
                max(batcher.load.busy_seconds for batcher in self._batchers.values()),
                self._decoders.window_seconds,
                self._num_files,
                self._decoders.peak_bytes,
            )
        )
        self._decoders.grow(sizes.decoders)
        for reading in self._readings:
            reading.widen(sizes.chunks_in_flight - before.chunks_in_flight)

    async def _fuse_and_commit(self, reading: Reading) -> SourceReport | None:
        cursor = reading.start
        rows = await self._begin(reading)
        health = _Health()
        beside: dict[int, list[Entry]] = {}
        while True:
            item = await reading.queue.get()
            if item is None or (isinstance(item, NotOpenError) and reading.is_draining):
                return None
            if isinstance(item, Exception):
                raise item
            chunk = item.chunk
            is_done = chunk.is_last and not reading.is_draining
            made = await self._rows(rows, item, health, beside)
            made += rows.flush() if is_done else []
            entries = [entry for row in made for entry in (*rows.entries(row), *beside.pop(row.segment, ()))]
            if is_done and health.failed - health.worked:
                which = " and ".join(sorted(health.failed - health.worked))
                failure = SourceError(
                    reading.name, "encoder-failed", f"the {which} encoder failed: {health.last_failure}"
                )
            else:
                failure = None
                entries += rows.end() if is_done else []
            if made or is_done:
                cursor = Cursor(
                    made[-1].segment + 1 if made else cursor.next_segment,
                    rows.state,
                    made[-1].end_seconds if made else cursor.media_seconds,
                    reading.start.num_errors + chunk.num_errors + health.num_failures,
                    chunk.last_error or health.last_failure or reading.start.last_error,
                    reading.start.num_restarts + reading.num_restarts + chunk.num_restarts,
                    rows.num_events,
                )
                may_go_on = await self._committer.commit(
                    Commit(reading.name, reading.epoch, entries, cursor, is_done and failure is None)
                )
                if may_go_on is None:
                    return None
                if made and made[-1].live is not None:
                    self._bell.ring()
                while not may_go_on and not reading.is_draining:
                    await asyncio.sleep(_HELD_BACK_SECONDS)
                    may_go_on = await self._journal.call("may_go_on")
            reading.committed()
            if failure is not None:
                raise failure
            if chunk.is_last:
                return cursor.report(reading.name) if is_done else None

    async def _rows(
        self, rows: SourceRows, item: Pending, health: _Health, beside: dict[int, list[Entry]]
    ) -> list[Classification]:
        """The rows that are out after a chunk; what goes into the journal beside a row is noted by segment."""
        segments: Sequence[Segment] = item.chunk.segments
        embeddings: dict[Modality, Embeddings] = {}
        reasons = {index: [("decoder-died", text)] for index, text in item.chunk.left_out.items()}
        for modality, future in item.encoded.items():
            encoded = await future
            embeddings[modality] = encoded.embeddings
            segments = with_failures(segments, modality, encoded.failures)
            health.num_failures += len(encoded.failures)
            if encoded.failures and not (modality == "text" and self._decoders.hears_speech):
                health.failed.add(modality)  # a recogniser that fails costs text alone, whatever else is silent
            health.worked |= {modality} if encoded.embeddings.present.any() else set()
            for i, text in encoded.failures.items():
                health.last_failure = text
                found = reasons.setdefault(segments[i].index, [])
                found.append(("encoder-failed", f"{modality}: {text}"))
        for index, found in reasons.items():
            error = SourceError(segments[0].source, found[0][0], "; ".join(text for _, text in found))
            beside.setdefault(index, []).append(quarantine_entry(error, index))
        if self._config.output.embeddings:
            for position, segment in enumerate(segments):
                beside.setdefault(segment.index, []).append(embeddings_entry(segment, embeddings, position))
        return rows.push(segments, embeddings)

    async def _begin(self, reading: Reading) -> SourceRows:
        """What makes the rows and the events of a source, from where it was left."""
        classifier, settings = await self._make_classifier()
        return SourceRows(reading.name, classifier, settings, reading.start.state)

    async def _make_classifier(self) -> tuple[Classifier, EventSettings | None]:
        if self._classifier is None:
            self._classifier = asyncio.create_task(self._load_classifier())
        return await asyncio.shield(self._classifier)

    async def _load_classifier(self) -> tuple[Classifier, EventSettings | None]:
        vocabulary = None
        if reads_labels(self._config):
            vocabulary = await self._encoders["text"].call("vocabulary")
        return make_classifier(self._config, vocabulary), make_events(self._config, vocabulary)


def _idle_seconds() -> float:
    """How long the cores of this machine have been idle, in all."""
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0.0))
