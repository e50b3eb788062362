"""The decode stage as its shard sees it: which worker reads which source, and how chunks come out of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from streammm.config import Config
from streammm.config.engine import EngineConfig
from streammm.encoders.isolation import Encoded
from streammm.errors import SourceError
from streammm.journal import Lease
from streammm.media.address import is_file
from streammm.media.options import DecodeOptions
from streammm.types import Modality
from streammm_workers.batch import Batcher
from streammm_workers.decode import Chunk, DecodeWorker, NotOpenError
from streammm_workers.handle import FOLLOW, Handle, Spawn, WorkerDiedError
from streammm_workers.metrics import StageLoad
from streammm_workers.pictures import Pictures


class Decoders:
    """The decode workers of a shard: files are dealt out to a few, what may be live gets a worker of its own.

    Args:
        config: the whole configuration.
        options: how to decode.
        spawn: makes stages.
        number: how many workers to make for files.
    """

    def __init__(self, config: Config, options: DecodeOptions, spawn: Spawn, number: int) -> None:
        self.load = StageLoad(number)
        self.window_seconds = 0.0
        self.peak_bytes = 0
        self.hears_speech = options.speech is not None
        self._options = options
        self._spawn = spawn
        self._workers = [spawn("decode", DecodeWorker, options) for _ in range(number)]
        self._num_readings = [0] * number
        self._followers: dict[str, Handle] = {}
        # A decode worker watches its own processes, and has several sources.
        self._limit_seconds = config.engine.hang_seconds + 2 * config.decode.segment_seconds

    @property
    def num_files(self) -> int:
        """Files that are under way."""
        return sum(self._num_readings)

    def grow(self, number: int) -> None:
        """Makes more workers, up to a number of them; sources that are under way stay where they are."""
        while len(self._workers) < number:
            self._workers.append(self._spawn("decode", DecodeWorker, self._options))
            self._num_readings.append(0)
        self.load.num_workers = len(self._workers)

    def take(self, source: str, name: str) -> tuple[Handle, float | None]:
        """A worker for a source, and how long it may take over a chunk; to be let go of."""
        if not is_file(source):
            follower = self._followers[name] = self._spawn(FOLLOW, DecodeWorker, self._options)
            return follower, None
        index = min(range(len(self._workers)), key=self._num_readings.__getitem__)
        self._num_readings[index] += 1
        return self._workers[index], self._limit_seconds

    async def let_go(self, worker: Handle, name: str) -> None:
        """Takes a worker back that has closed its source."""
        if worker in self._workers:
            self._num_readings[self._workers.index(worker)] -= 1
            return
        self._followers.pop(name, None)
        await worker.call("end")
        worker.close()

    async def end_followers(self, name: str | None = None) -> None:
        """Ends what would go on without end, all or one; what is decoded still comes out."""
        for of, follower in list(self._followers.items()):
            if name in (None, of):
                await follower.call("end")

    def note(self, chunk: Chunk) -> None:
        """Adds what a chunk cost."""
        self.load.add(chunk.busy_seconds, len(chunk.segments), chunk.cpu_seconds)
        self.peak_bytes = max(self.peak_bytes, chunk.peak_bytes)

    def close(self) -> None:
        """Ends the workers for files."""
        for worker in self._workers:
            worker.close()


@dataclass(frozen=True, slots=True)
class Pending:
    """A chunk on its way: its headers are here, its embeddings are being made."""

    chunk: Chunk
    encoded: Mapping[Modality, asyncio.Future[Encoded]]


class Reading:
    """One source under way, pulled chunk by chunk and sent to the encoders as long as its window has room.

    Args:
        source: what is read.
        name: the source without credentials.
        lease: the right to commit to it, and where to begin.
        engine: chunk sizes and how often a worker may die.
        chunks_in_flight: how many chunks may be under way; see `widen`.
        on_chunk: called after each chunk.
        pictures: takes its last pictures, as long as somebody watches.
    """

    def __init__(
        self,
        source: str,
        name: str,
        lease: Lease,
        engine: EngineConfig,
        chunks_in_flight: int,
        on_chunk: Callable[[], object],
        pictures: Pictures,
    ) -> None:
        self.name = name
        self.epoch = lease.epoch
        self.start = lease.cursor
        self.num_restarts = 0
        self.queue: asyncio.Queue[Pending | Exception | None] = asyncio.Queue()
        self._source = source
        self._engine = engine
        self._window = asyncio.Semaphore(chunks_in_flight)
        self._on_chunk = on_chunk
        self._pictures = pictures
        self.is_draining = False
        self.is_closing = False

    async def pull(self, decoders: Decoders, batchers: Mapping[Modality, Batcher]) -> None:
        """Reads to the end of the source, or until it is told to drain; the queue says how it went."""
        worker, limit_seconds = decoders.take(self._source, self.name)
        next_segment = self.start.next_segment
        try:
            await worker.call("open", self._ticket, self._source, next_segment)
            for size in self._chunk_sizes():
                waiting = time.monotonic()
                await self._window.acquire()
                decoders.window_seconds += time.monotonic() - waiting
                if self.is_draining:
                    await self.queue.put(None)
                    return
                chunk, pictures, sounds = await self._next(worker, limit_seconds, decoders, next_segment, size)
                decoders.note(chunk)
                self._pictures.put(self.name, chunk.jpeg)
                next_segment += len(chunk.segments)
                texts = sounds if decoders.hears_speech else chunk.segments
                payloads = {"video": pictures, "audio": sounds, "text": texts}
                encoded = {
                    m: batcher.put(self.name, payloads[m], len(chunk.segments))
                    for m, batcher in batchers.items()
                    if any(s.status[m].usable for s in chunk.segments) or (m == "text" and decoders.hears_speech)
                }
                await self.queue.put(Pending(chunk, encoded))
                self._on_chunk()
                if chunk.is_last:
                    return
        except asyncio.CancelledError:
            self.queue.put_nowait(WorkerDiedError("the decoder was stopped"))
            raise
        except Exception as error:  # noqa: BLE001 - handed to the reader of the queue, who raises it
            await self.queue.put(error)
        finally:
            self.is_closing = True
            with suppress(WorkerDiedError):
                await worker.call("close", self._ticket)
            await decoders.let_go(worker, self.name)

    def committed(self) -> None:
        """Makes room for another chunk."""
        self._window.release()

    def widen(self, more: int) -> None:
        """Lets so many more chunks be under way."""
        for _ in range(more):
            self._window.release()

    def drain(self) -> None:
        """Begins no further chunk."""
        self.is_draining = True

    @property
    def _ticket(self) -> str:
        return f"{self.epoch}:{self.name}"

    def _chunk_sizes(self) -> itertools.chain[int]:
        """1, 2, 4, ... up to the size that is set: the first row is out early, the others are cheap."""
        largest = self._engine.chunk_segments
        ramp = itertools.takewhile(lambda size: size < largest, (2**n for n in itertools.count()))
        return itertools.chain(ramp, itertools.repeat(largest))

    async def _next(
        self, worker: Handle, limit_seconds: float | None, decoders: Decoders, next_segment: int, size: int
    ) -> tuple[Chunk, object, object]:
        """The next chunk; a decode worker that dies is given the source again, from the next segment that is due."""
        for attempt in range(self._engine.max_attempts):
            try:
                if attempt:
                    await worker.call("open", self._ticket, self._source, next_segment)
                found: tuple[Chunk, object, object] = await worker.call(
                    "next",
                    self._ticket,
                    size,
                    self._pictures.is_due(self.name),
                    num_returns=3,
                    limit_seconds=limit_seconds,
                )
                return found
            except (WorkerDiedError, NotOpenError):
                if self.is_draining:
                    raise
                self.num_restarts += 1
                decoders.load.num_deaths += 1
                await asyncio.sleep(min(30.0, 0.2 * 2**attempt))
        detail = f"its decoder died {self._engine.max_attempts} times in a row at segment {next_segment}"
        raise SourceError(self.name, "decoder-died", detail)
