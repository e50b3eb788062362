"""A shard owns sources from the first packet to the last row: it pulls chunks from its decoders, has them encoded in
batches across its sources, fuses in order and commits. Shards share nothing, so there may be any number of them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from streammm.build import decode_options, make_classifier, used_modalities
from streammm.classifier import Classifier
from streammm.config import Config
from streammm.encoders.isolation import Encoded, with_failures
from streammm.errors import SourceError
from streammm.journal import Cursor
from streammm.media.address import is_address, public_name
from streammm.types import Embeddings, Modality, SourceReport
from streammm_workers.batch import Batcher
from streammm_workers.decode import Chunk, DecodeWorker, NotOpenError
from streammm_workers.encode import EncodeWorker
from streammm_workers.handle import FOLLOW, Handle, Spawn, WorkerDiedError

_MAX_UNREAD_ROWS = 10_000
"""A shard commits no further while this many rows wait for the sinks."""


@dataclass(slots=True)
class _Reading:
    """The state of one source under way; ``name`` is the source without credentials."""

    source: str
    name: str
    ticket: str
    decoder: Handle
    window: asyncio.Semaphore
    queue: asyncio.Queue[_Pending | Exception]
    num_restarts: int = 0


@dataclass(frozen=True, slots=True)
class _Pending:
    """A chunk on its way: its headers are here, its embeddings are being made."""

    chunk: Chunk
    encoded: Mapping[Modality, asyncio.Future[Encoded]]


class Shard:
    """Works on up to ``engine.sources_in_flight`` sources at once.

    Args:
        config: the whole configuration.
        spawn: makes stages, as threads here or as Ray actors.
        journal: handle of the journal, which all shards share.
        num_decoders: how many decode workers to make.
    """

    def __init__(self, config: Config, spawn: Spawn, journal: Handle, num_decoders: int) -> None:
        self._config = config
        self._journal = journal
        options = decode_options(config)
        self._decoders = [spawn("decode", DecodeWorker, options) for _ in range(num_decoders)]
        self._load = [0] * num_decoders
        self._spawn = spawn
        self._decode_options = options
        self._encoders: dict[Modality, Handle] = {
            m: spawn(f"encode-{m}", EncodeWorker, config, m) for m in {*used_modalities(config), "text"}
        }
        self._classifier: asyncio.Task[Classifier] | None = None
        self._batchers: dict[Modality, Batcher] = {
            m: Batcher(self._encoders[m], config.engine.batch_segments) for m in used_modalities(config)
        }

    async def start(self) -> None:
        """Waits until every stage has loaded, so that a mistake in the set-up shows before any source is touched.

        Raises:
            ConfigError: a model is missing, a label cannot be used, a device is not there.
        """
        await asyncio.gather(*(encoder.call("load") for encoder in self._encoders.values()))
        await self._make_classifier()

    async def run(self, source: str, epoch: int) -> SourceReport | None:
        """Does a source, from where the journal says, to its end.

        Returns:
            How it went; None if another shard has taken the source over.

        Raises:
            SourceError: the source cannot be read, or its workers died on it again and again.
            WorkerDiedError: an encoder died on it.
        """
        name = public_name(source)
        cursor = await self._journal.call("lease", name, epoch)
        if cursor is None:
            return None
        index = None if is_address(source) else min(range(len(self._decoders)), key=self._load.__getitem__)
        reading = _Reading(
            source,
            name,
            ticket=f"{epoch}:{name}",
            decoder=self._follower() if index is None else self._decoders[index],
            window=asyncio.Semaphore(self._config.engine.chunks_in_flight),
            queue=asyncio.Queue(),
        )
        if index is not None:
            self._load[index] += 1
        puller = asyncio.create_task(self._pull(reading, cursor.next_segment))
        stopped = WorkerDiedError("the decoder was stopped")
        puller.add_done_callback(lambda task: reading.queue.put_nowait(stopped) if task.cancelled() else None)
        try:
            return await self._fuse_and_commit(reading, cursor, epoch)
        finally:
            puller.cancel()
            with suppress(asyncio.CancelledError):
                await puller
            with suppress(WorkerDiedError):
                await reading.decoder.call("close", reading.ticket)
            if index is not None:
                self._load[index] -= 1
            else:
                await reading.decoder.call("end")
                reading.decoder.close()

    def _follower(self) -> Handle:
        """A stage for one address: a live source is waited for, and must not keep files waiting."""
        return self._spawn(FOLLOW, DecodeWorker, self._decode_options)

    def close(self) -> None:
        """Ends all stages."""
        for handle in (*self._decoders, *self._encoders.values()):
            handle.close()

    async def _pull(self, reading: _Reading, next_segment: int) -> None:
        """Pulls chunks and sends them to the encoders, as long as the window has room."""
        try:
            await reading.decoder.call("open", reading.ticket, reading.source, next_segment)
            for size in self._chunk_sizes():
                await reading.window.acquire()
                chunk, pictures, sounds = await self._next(reading, next_segment, size)
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
                    "next", reading.ticket, size, num_returns=3
                )
                return found
            except (WorkerDiedError, NotOpenError):
                reading.num_restarts += 1
                await asyncio.sleep(min(30.0, 0.2 * 2**attempt))
        detail = f"its decoder died {self._config.engine.max_attempts} times in a row at segment {next_segment}"
        raise SourceError(reading.name, "decoder-died", detail)

    async def _fuse_and_commit(self, reading: _Reading, cursor: Cursor, epoch: int) -> SourceReport | None:
        classifier = await self._make_classifier()
        num_failures, last_failure, end_seconds = 0, "", 0.0
        failed: set[Modality] = set()
        worked: set[Modality] = set()
        while True:
            item = await reading.queue.get()
            if isinstance(item, Exception):
                raise item
            embeddings: dict[Modality, Embeddings] = {}
            segments = item.chunk.segments
            for modality, future in item.encoded.items():
                encoded = await future
                embeddings[modality] = encoded.embeddings
                segments = with_failures(segments, modality, encoded.failures)
                num_failures += len(encoded.failures)
                failed |= {modality} if encoded.failures else set()
                worked |= {modality} if encoded.embeddings.present.any() else set()
                last_failure = next(iter(encoded.failures.values()), last_failure)
            if segments:
                rows, state = classifier.rows(segments, embeddings, cursor.state or classifier.initial_state())
                cursor = Cursor(segments[-1].index + 1, state)
                end_seconds = segments[-1].end_seconds
                unread = await self._journal.call("commit", reading.name, epoch, rows, cursor)
                if unread is None:
                    return None
                while unread > _MAX_UNREAD_ROWS:
                    await asyncio.sleep(0.05)
                    unread = await self._journal.call("num_unread")
            reading.window.release()
            if item.chunk.is_last:
                if failed - worked:
                    which = " and ".join(sorted(failed - worked))
                    raise SourceError(reading.name, "encoder-failed", f"the {which} encoder failed: {last_failure}")
                return SourceReport(
                    reading.name,
                    cursor.next_segment,
                    end_seconds,
                    item.chunk.num_errors + num_failures,
                    item.chunk.last_error or last_failure,
                    reading.num_restarts + item.chunk.num_restarts,
                )

    async def _make_classifier(self) -> Classifier:
        if self._classifier is None:
            self._classifier = asyncio.create_task(self._load_classifier())
        return await asyncio.shield(self._classifier)

    async def _load_classifier(self) -> Classifier:
        vocabulary = await self._encoders["text"].call("vocabulary")
        return make_classifier(self._config, vocabulary)
