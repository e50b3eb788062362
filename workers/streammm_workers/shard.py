"""A shard owns sources from the first packet to the last row: it pulls chunks from its decoders, has them encoded in
batches across its sources, fuses in order and commits. Shards share nothing, so there may be any number of them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from safetensors import torch as safetensors

from streammm.build import decode_options, make_classifier, used_modalities
from streammm.classifier import Classifier, State
from streammm.config import Config
from streammm.encoders.isolation import Encoded, with_failures
from streammm.errors import SourceError
from streammm.journal import Cursor, Entry, Lease, quarantine_entry
from streammm.media.address import is_file, public_name
from streammm.types import Classification, Embeddings, Modality, Segment, SourceReport
from streammm_workers.batch import Batcher
from streammm_workers.decode import Chunk, DecodeWorker, NotOpenError
from streammm_workers.encode import EncodeWorker
from streammm_workers.handle import FOLLOW, Handle, Spawn, WorkerDiedError
from streammm_workers.metrics import ShardLoad, StageLoad

_HELD_BACK_SECONDS = 0.05
"""How often is asked whether the sinks have caught up."""


@dataclass(slots=True)
class _Reading:
    """The state of one source under way; ``name`` is the source without credentials."""

    source: str
    name: str
    epoch: int
    start: Cursor
    decoder: Handle
    limit_seconds: float | None
    window: asyncio.Semaphore
    queue: asyncio.Queue[_Pending | Exception | None]
    num_restarts: int = 0

    @property
    def ticket(self) -> str:
        return f"{self.epoch}:{self.name}"


@dataclass(frozen=True, slots=True)
class _Pending:
    """A chunk on its way: its headers are here, its embeddings are being made."""

    chunk: Chunk
    encoded: Mapping[Modality, asyncio.Future[Encoded]]


@dataclass(slots=True)
class _Health:
    """Which encoders failed on a source and which worked; what is said of the last failure."""

    failed: set[Modality] = field(default_factory=set)
    worked: set[Modality] = field(default_factory=set)
    num_failures: int = 0
    last_failure: str = ""


class Shard:
    """Works on several sources at once.

    Args:
        config: the whole configuration.
        spawn: makes stages, as threads here or as Ray actors.
        journal: handle of the journal, which all shards share.
        num_decoders: how many decode workers to make.
    """

    def __init__(self, config: Config, spawn: Spawn, journal: Handle, num_decoders: int) -> None:
        self._config = config
        self._journal = journal
        self._decode_options = decode_options(config)
        self._spawn = spawn
        self._decoders = [spawn("decode", DecodeWorker, self._decode_options) for _ in range(num_decoders)]
        self._num_readings = [0] * num_decoders
        self._decode_load = StageLoad(num_decoders)
        self._num_sources = 0
        self._followers: dict[str, Handle] = {}
        self._encoders: dict[Modality, Handle] = {
            m: spawn(f"encode-{m}", EncodeWorker, config, m) for m in {*used_modalities(config), "text"}
        }
        self._classifier: asyncio.Task[Classifier] | None = None
        self._batchers: dict[Modality, Batcher] = {
            m: Batcher(self._encoders[m], config.engine.batch_segments, config.engine.hang_seconds)
            for m in used_modalities(config)
        }
        self._is_draining = False

    async def start(self) -> None:
        """Waits until every stage has loaded, so that a mistake in the set-up shows before any source is touched.

        Raises:
            ConfigError: a model is missing, a label cannot be used, a device is not there.
        """
        await asyncio.gather(*(encoder.call("load") for encoder in self._encoders.values()))
        await self._make_classifier()

    async def run(self, source: str) -> SourceReport | None:
        """Does a source, from where the journal says, to its end.

        Returns:
            How it went; None if it was not done to its end: another shard has taken it over, or `drain` was called.

        Raises:
            SourceError: the source cannot be read, or its workers died on it again and again.
            WorkerDiedError: an encoder died on it and did not come back.
        """
        name = public_name(source)
        lease: Lease | None = None if self._is_draining else await self._journal.call("lease", name)
        if lease is None:
            return None
        index = None if not is_file(source) else min(range(len(self._decoders)), key=self._num_readings.__getitem__)
        if index is None:
            decoder = self._followers[name] = self._spawn(FOLLOW, DecodeWorker, self._decode_options)
        else:
            decoder = self._decoders[index]
            self._num_readings[index] += 1
        reading = _Reading(
            source,
            name,
            lease.epoch,
            lease.cursor,
            decoder,
            limit_seconds=None if index is None else self._decode_limit_seconds(),
            window=asyncio.Semaphore(self._config.engine.chunks_in_flight),
            queue=asyncio.Queue(),
        )
        self._num_sources += 1
        puller = asyncio.create_task(self._pull(reading))
        stopped = WorkerDiedError("the decoder was stopped")
        puller.add_done_callback(lambda task: reading.queue.put_nowait(stopped) if task.cancelled() else None)
        try:
            return await self._fuse_and_commit(reading)
        finally:
            self._num_sources -= 1
            puller.cancel()
            with suppress(asyncio.CancelledError):
                await puller
            with suppress(WorkerDiedError):
                await decoder.call("close", reading.ticket)
            if index is not None:
                self._num_readings[index] -= 1
            else:
                self._followers.pop(name, None)
                await decoder.call("end")
                decoder.close()

    async def drain(self) -> None:
        """Lets every source come to a stop: what is decoded is still committed, nothing new is begun."""
        self._is_draining = True
        for decoder in list(self._followers.values()):
            await decoder.call("end")

    def load(self) -> ShardLoad:
        """What the stages have done so far, and what waits for them."""
        stages = {"decode": self._decode_load}
        for modality, batcher in self._batchers.items():
            load = batcher.load
            stages[modality] = StageLoad(
                1, load.busy_seconds, load.num_segments, load.num_deaths, batcher.num_waiting, dict(load.batch_sizes)
            )
        return ShardLoad(stages, self._num_sources)

    def close(self) -> None:
        """Ends all stages."""
        for handle in (*self._decoders, *self._encoders.values()):
            handle.close()

    def _decode_limit_seconds(self) -> float:
        """How long a decode worker may take for a chunk: it watches its own processes, and has several sources."""
        return self._config.engine.hang_seconds + 2 * self._config.decode.segment_seconds

    async def _pull(self, reading: _Reading) -> None:
        """Pulls chunks and sends them to the encoders, as long as the window has room."""
        next_segment = reading.start.next_segment
        try:
            await reading.decoder.call("open", reading.ticket, reading.source, next_segment)
            for size in self._chunk_sizes():
                await reading.window.acquire()
                if self._is_draining:
                    await reading.queue.put(None)
                    return
                chunk, pictures, sounds = await self._next(reading, next_segment, size)
                self._decode_load.add(chunk.busy_seconds, len(chunk.segments))
                next_segment += len(chunk.segments)
                payloads = {"video": pictures, "audio": sounds, "text": chunk.segments}
                await reading.queue.put(
                    _Pending(
                        chunk,
                        {
                            m: batcher.put(reading.name, payloads[m], len(chunk.segments))
                            for m, batcher in self._batchers.items()
                            if any(s.status[m].usable for s in chunk.segments)
                        },
                    )
                )
                if chunk.is_last:
                    return
        except Exception as error:  # noqa: BLE001 - handed to the reader of the queue, who raises it
            await reading.queue.put(error)

    def _chunk_sizes(self) -> itertools.chain[int]:
        """1, 2, 4, ... up to the size that is set: the first row is out early, the others are cheap."""
        largest = self._config.engine.chunk_segments
        ramp = itertools.takewhile(lambda size: size < largest, (2**n for n in itertools.count()))
        return itertools.chain(ramp, itertools.repeat(largest))

    async def _next(self, reading: _Reading, next_segment: int, size: int) -> tuple[Chunk, object, object]:
        """The next chunk; a decode worker that dies is given the source again, from the next segment that is due."""
        for attempt in range(self._config.engine.max_attempts):
            try:
                if attempt:
                    await reading.decoder.call("open", reading.ticket, reading.source, next_segment)
                found: tuple[Chunk, object, object] = await reading.decoder.call(
                    "next", reading.ticket, size, num_returns=3, limit_seconds=reading.limit_seconds
                )
                return found
            except (WorkerDiedError, NotOpenError):
                if self._is_draining:
                    raise
                reading.num_restarts += 1
                self._decode_load.num_deaths += 1
                await asyncio.sleep(min(30.0, 0.2 * 2**attempt))
        detail = f"its decoder died {self._config.engine.max_attempts} times in a row at segment {next_segment}"
        raise SourceError(reading.name, "decoder-died", detail)

    async def _fuse_and_commit(self, reading: _Reading) -> SourceReport | None:
        classifier = await self._make_classifier()
        cursor = reading.start
        state = classifier.initial_state() if cursor.state is None else safetensors.load(cursor.state)
        health = _Health()
        while True:
            item = await reading.queue.get()
            if item is None or (isinstance(item, NotOpenError) and self._is_draining):
                return None
            if isinstance(item, Exception):
                raise item
            chunk = item.chunk
            rows, entries, state = await self._rows(classifier, item, state, health)
            is_done = chunk.is_last and not self._is_draining
            if is_done and health.failed - health.worked:
                which = " and ".join(sorted(health.failed - health.worked))
                failure = SourceError(
                    reading.name, "encoder-failed", f"the {which} encoder failed: {health.last_failure}"
                )
            else:
                failure = None
            if rows or is_done:
                cursor = Cursor(
                    rows[-1].segment + 1 if rows else cursor.next_segment,
                    safetensors.save(state),
                    rows[-1].end_seconds if rows else cursor.media_seconds,
                    reading.start.num_errors + chunk.num_errors + health.num_failures,
                    chunk.last_error or health.last_failure or reading.start.last_error,
                    reading.start.num_restarts + reading.num_restarts + chunk.num_restarts,
                )
                may_go_on = await self._journal.call(
                    "commit", reading.name, reading.epoch, entries, cursor, is_done and failure is None
                )
                if may_go_on is None:
                    return None
                while not may_go_on and not self._is_draining:
                    await asyncio.sleep(_HELD_BACK_SECONDS)
                    may_go_on = await self._journal.call("may_go_on")
            reading.window.release()
            if failure is not None:
                raise failure
            if chunk.is_last:
                return cursor.report(reading.name) if is_done else None

    async def _rows(
        self, classifier: Classifier, item: _Pending, state: State, health: _Health
    ) -> tuple[list[Classification], list[Entry], State]:
        """The rows of a chunk, what goes into the journal for it, and the state after it."""
        segments: Sequence[Segment] = item.chunk.segments
        embeddings: dict[Modality, Embeddings] = {}
        reasons = {index: [("decoder-died", text)] for index, text in item.chunk.left_out.items()}
        for modality, future in item.encoded.items():
            encoded = await future
            embeddings[modality] = encoded.embeddings
            segments = with_failures(segments, modality, encoded.failures)
            health.num_failures += len(encoded.failures)
            health.failed |= {modality} if encoded.failures else set()
            health.worked |= {modality} if encoded.embeddings.present.any() else set()
            for i, text in encoded.failures.items():
                health.last_failure = text
                found = reasons.setdefault(segments[i].index, [])
                found.append(("encoder-failed", f"{modality}: {text}"))
        if not segments:
            return [], [], state
        rows, state = classifier.rows(segments, embeddings, state)
        entries = [_row_entry(row) for row in rows]
        for index, found in sorted(reasons.items()):
            error = SourceError(rows[0].source, found[0][0], "; ".join(text for _, text in found))
            entries.append(quarantine_entry(error, index))
        return rows, entries, state

    async def _make_classifier(self) -> Classifier:
        if self._classifier is None:
            self._classifier = asyncio.create_task(self._load_classifier())
        return await asyncio.shield(self._classifier)

    async def _load_classifier(self) -> Classifier:
        vocabulary = await self._encoders["text"].call("vocabulary")
        return make_classifier(self._config, vocabulary)


def _row_entry(row: Classification) -> Entry:
    text = json.dumps(row.to_json(), ensure_ascii=False)
    return Entry(row.source, row.segment, "row", text.encode(errors="backslashreplace").decode())
