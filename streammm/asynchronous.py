"""The flow of `pipeline.py` for an event loop: what `streammm.aclassify` runs. Rows come from a thread, bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import closing, suppress
from os import PathLike, fspath

from streammm.config import Config
from streammm.pipeline import Labels, Reader, configured, flow
from streammm.types import Classification


async def aclassify(
    source: str | PathLike[str], labels: Labels = None, config: Config | None = None, *, ahead: int = 16
) -> AsyncGenerator[Classification, None]:
    """Yields the rows of `classify` to an event loop, which is never blocked: for live sources, and several at once.

    Decoding and encoding go on in threads and processes of their own while a row is dealt with, until ``ahead`` rows
    wait; then no more is taken. A file waits for its consumer. A live source does not: what is not taken in time is
    decoded less and then dropped, oldest first, and rows say so (``live.shed``, ``live.num_dropped_segments`` and an
    ``outage``), so that memory stays bounded and the rows that come are of now.

    Whoever stops before the end should say so, and then everything that was started has ended when this returns:

        async with contextlib.aclosing(streammm.aclassify("rtsp://camera/live")) as rows:
            async for row in rows:
                ...

    The same happens when the consuming task is cancelled.

    Args:
        source: as in `classify`.
        labels: as in `classify`.
        config: as in `classify`.
        ahead: rows that may wait, at least 1.

    Raises:
        ConfigError: as in `classify`.
        SourceError: as in `classify`.
        ValueError: ``ahead`` is less than 1.
    """
    if ahead < 1:
        raise ValueError(f"ahead must be at least 1, got {ahead}")
    config = configured(config, labels)
    worker = _Worker(fspath(source), config, ahead)
    try:
        while (row := await worker.next()) is not None:
            yield row
    finally:
        await worker.stop()


class _Worker:
    """A thread that makes rows for an event loop, a bounded number ahead of it."""

    def __init__(self, source: str, config: Config, ahead: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._made: asyncio.Queue[Classification | BaseException | None] = asyncio.Queue()
        self._room = threading.Semaphore(ahead)
        self._is_stopping = False
        self._reader: Reader | None = None
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._work, args=(source, config), name="streammm-rows", daemon=True)
        self._thread.start()

    async def next(self) -> Classification | None:
        """The next row; None at the end."""
        found = await self._made.get()
        self._room.release()
        if isinstance(found, BaseException):
            raise found
        return found

    async def stop(self) -> None:
        """Ends the thread wherever it is, and waits for it."""
        self._is_stopping = True
        self._room.release()
        if (reader := self._reader) is not None:
            await asyncio.to_thread(reader.close)
        await self._ended.wait()
        self._thread.join()  # it has nothing left to do

    def _opened(self, reader: Reader) -> None:
        self._reader = reader
        if self._is_stopping:  # nobody else knows of it
            reader.close()

    def _work(self, source: str, config: Config) -> None:
        last: BaseException | None = None
        try:
            with closing(flow(source, config, self._opened)) as made:
                for row, _ in made:
                    if row is None:
                        continue
                    self._room.acquire()
                    if self._is_stopping:
                        break
                    self._tell(self._made.put_nowait, row)
        except BaseException as error:  # noqa: BLE001 - it is raised where the rows are awaited
            last = error
        self._tell(self._made.put_nowait, last)
        self._tell(self._ended.set)

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
            self._loop.call_soon_threadsafe(call, *arguments)
