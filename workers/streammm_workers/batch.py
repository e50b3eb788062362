"""Micro-batching: chunks of many sources wait here for an encoder and go to it together, round robin by source."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from streammm.encoders.isolation import Encoded
from streammm_workers.handle import Handle, WorkerDiedError


@dataclass(frozen=True, slots=True)
class _Waiting:
    chunk: Any  # list[Segment], or a reference to one
    num_segments: int
    result: asyncio.Future[Encoded]


class Batcher:
    """Feeds one encode stage.

    A batch goes out as soon as the encoder has room, with whatever waits then: nothing is held back to fill it. Each
    source gives one chunk a turn, so a source that floods the queue delays the others by one chunk at most.

    Args:
        encoder: the encode stage.
        max_segments: a batch is closed once it holds this many.
        depth: batches under way at once; two keep the encoder busy while results travel.
    """

    def __init__(self, encoder: Handle, max_segments: int, depth: int = 2) -> None:
        self._encoder = encoder
        self._max_segments = max_segments
        self._room = depth
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._running: set[asyncio.Task[None]] = set()

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
            task = asyncio.create_task(self._run(self._take()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        num_segments = 0
        while self._waiting and num_segments < self._max_segments:
            source = next(iter(self._waiting))
            queue = self._waiting.pop(source)
            batch.append(queue.popleft())
            num_segments += batch[-1].num_segments
            if queue:
                self._waiting[source] = queue  # at the end: the others have their turn first
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        try:
            results = await self._encoder.call("encode", *(waiting.chunk for waiting in batch))
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


def _look(result: asyncio.Future[Encoded]) -> None:
    """Looks at a result that nobody may be waiting for any more, so that asyncio does not report it as overlooked."""
    if not result.cancelled():
        result.exception()
