"""Micro-batching: chunks of many sources wait here for an encoder and go to it together, round robin by source."""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streammm.encoders.isolation import Encoded, join
from streammm_workers.handle import Handle, WorkerDiedError, WorkerHungError
from streammm_workers.sizes import BatchSize

_MAX_DEATHS = 2
"""So often may one segment, encoded alone, end the encoder before it is given up."""

_MAX_REVIVALS = 8

_LOAD_LIMITS = 10
"""Loading, which may compile a net, has hung after so many times what a batch may take."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    chunk: Any  # list[Segment], or a reference to one
    num_segments: int
    result: asyncio.Future[Encoded]


@dataclass(slots=True)
class Load:
    """What an encode stage has done: segments, batches by size, seconds in which it was at work, deaths."""

    num_segments: int = 0
    busy_seconds: float = 0.0
    num_deaths: int = 0
    batch_sizes: Counter[int] = field(default_factory=Counter)


class Batcher:
    """Feeds one encode stage.

    A batch goes out as soon as the encoder has room, with whatever waits then: nothing is held back to fill it. Each
    source gives one chunk a turn, so a source that floods the queue delays the others by one chunk at most. A batch
    that ends the encoder is tried again in ever smaller parts, until the segment that does it is alone: that one
    comes back as failed, the others as if it had not been there.

    Args:
        encoder: the encode stage.
        size: says how many segments close a batch.
        limit_seconds: an encoder that needs longer for a batch has hung.
        depth: batches under way at once; two keep the encoder busy while results travel.
    """

    def __init__(self, encoder: Handle, size: BatchSize, limit_seconds: float | None = None, depth: int = 2) -> None:
        self.load = Load()
        self.size = size
        self._encoder = encoder
        self._limit_seconds = limit_seconds
        self._load_seconds = None if limit_seconds is None else _LOAD_LIMITS * limit_seconds
        self._room = depth
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._since = 0.0
        self._alone = asyncio.Lock()

    @property
    def num_waiting(self) -> int:
        """Segments that wait for a batch."""
        return sum(w.num_segments for queue in self._waiting.values() for w in queue)

    def put(self, source: str, chunk: Any, num_segments: int) -> asyncio.Future[Encoded]:
        """Queues a chunk, or a reference to one; the future is its result."""
        result: asyncio.Future[Encoded] = asyncio.get_running_loop().create_future()
        result.add_done_callback(_look)
        self._waiting.setdefault(source, deque()).append(_Waiting(chunk, num_segments, result))
        self._send()
        return result

    def _send(self) -> None:
        while self._room and self._waiting:
            self._room -= 1
            if not self._running:
                self._since = time.monotonic()
            batch = self._take()
            num_segments = sum(waiting.num_segments for waiting in batch)
            is_full = num_segments >= self.size.limit
            task = asyncio.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(functools.partial(self._ended, num_segments, is_full))

    def _ended(self, num_segments: int, is_full: bool, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        now = time.monotonic()
        self.load.busy_seconds += now - self._since
        self.load.num_segments += num_segments
        self._since = now
        self.size.note(self.load.busy_seconds, self.load.num_segments, is_full)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        num_segments = 0
        while self._waiting and num_segments < self.size.limit:
            source = next(iter(self._waiting))
            queue = self._waiting.pop(source)
            batch.append(queue.popleft())
            num_segments += batch[-1].num_segments
            if queue:
                self._waiting[source] = queue  # at the end: the others have their turn first
        self.load.batch_sizes[num_segments] += 1
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        try:
            results = await self._encode(batch)
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.result.done():
                    waiting.result.set_result(result)
        except BaseException as error:  # whatever it is, it belongs to those who wait for the result
            failure = error if isinstance(error, Exception) else WorkerDiedError("the encoder was stopped")
            for waiting in batch:
                if not waiting.result.done():
                    waiting.result.set_exception(failure)
            if failure is not error:
                raise
        finally:
            self._room += 1
            self._send()

    async def _encode(self, batch: Sequence[_Waiting]) -> list[Encoded]:
        """Encodes a batch whole; should the encoder die, in ever smaller parts, while all other batches wait."""
        async with self._alone:
            pass
        try:
            made: list[Encoded] = await self._call("encode", *(waiting.chunk for waiting in batch))
            return made
        except WorkerDiedError:
            async with self._alone:
                return [await self._encode_carefully(waiting) for waiting in batch]

    async def _encode_carefully(self, waiting: _Waiting) -> Encoded:
        try:
            await self._revive()
            made: list[Encoded] = await self._call("encode", waiting.chunk)
            return made[0]
        except WorkerDiedError:
            return join([await self._encode_one(waiting.chunk, i) for i in range(waiting.num_segments)])

    async def _encode_one(self, chunk: Any, position: int) -> Encoded:
        reason = ""
        for _ in range(_MAX_DEATHS):
            await self._revive()
            try:
                made: Encoded = await self._call("encode_one", chunk, position)
                return made
            except WorkerDiedError as error:
                reason = "it hung the encoder" if isinstance(error, WorkerHungError) else "it ended the encoder"
        await self._revive()
        given_up: Encoded = await self._encoder.call("give_up", f"{reason} {_MAX_DEATHS} times")
        return given_up

    async def _revive(self) -> None:
        """Waits until the encoder that took the dead one's place has loaded."""
        for attempt in itertools.count():
            try:
                await self._encoder.call("load", limit_seconds=self._load_seconds)
            except WorkerDiedError:
                if attempt == _MAX_REVIVALS:
                    raise
                await asyncio.sleep(min(5.0, 0.1 * 2**attempt))
            else:
                return

    async def _call(self, method: str, *args: Any) -> Any:
        try:
            return await self._encoder.call(method, *args, limit_seconds=self._limit_seconds)
        except WorkerDiedError:
            self.load.num_deaths += 1
            raise


def _look(result: asyncio.Future[Encoded]) -> None:
    """Looks at a result that nobody may be waiting for any more, so that asyncio does not report it as overlooked."""
    if not result.cancelled():
        result.exception()
