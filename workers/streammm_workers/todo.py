"""Sources that are still to do: those that wait, those that are paused, and how many are under way."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

from streammm.media.address import public_name

_MAX_WAITING = 4096
"""So many sources are listed ahead of those that are being worked on."""


class Todo:
    """A queue whose takers wait until there is something, or until all is done; ``paused`` are put aside, by name.

    Args:
        stop: set where the run is to come to a stop: nothing is given out then.
        stays_open: whether it is never done before that, since sources may be added.
    """

    def __init__(self, stop: asyncio.Event, stays_open: bool) -> None:
        self.paused: dict[str, str] = {}
        self.is_listed = False
        self._stop = stop
        self._stays_open = stays_open
        self._waiting: deque[str] = deque()
        self._num_under_way = 0
        self._num_holds = 0
        self._num_surplus = 0
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._waiting)

    def first(self, most: int) -> Iterator[str]:
        """Those that are next."""
        return itertools.islice(self._waiting, max(0, most))

    def find(self, name: str) -> str | None:
        """The one of this name among those that wait."""
        return next((source for source in self._waiting if public_name(source) == name), None)

    @property
    def is_stopping(self) -> bool:
        """True once the run was asked to come to a stop."""
        return self._stop.is_set()

    def is_done(self) -> bool:
        """True once nothing is left to do, or nothing is under way in a run that stops."""
        if self._num_under_way or self._num_holds:
            return False
        waits = self._stays_open or self._waiting or self.paused
        return self.is_stopping or (self.is_listed and not waits)

    # who takes

    async def next(self) -> str | None:
        """The next source; waits while more are listed or another shard may hand one back. None when all are done."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self.is_stopping or self._waiting or self._num_surplus or self.is_done()
            )
            if self._num_surplus:
                self._num_surplus -= 1
                return None
            if self.is_stopping or not self._waiting:
                return None
            self._num_under_way += 1
            source = self._waiting.popleft()
            self._changed.notify_all()
            return source

    async def let_go(self) -> None:
        """One that was taken is under way no more."""
        async with self._changed:
            self._num_under_way -= 1
            self._changed.notify_all()

    def put_back(self, source: str, is_first: bool = False) -> None:
        """Lets one that was taken wait again, before its taker lets go of it, by which others are told."""
        if is_first:
            self._waiting.appendleft(source)
        else:
            self._waiting.append(source)

    # who adds

    async def add(self, live: Sequence[str], files: Sequence[str]) -> None:
        """Adds sources: a live stream waits for nobody."""
        async with self._changed:
            self._waiting.extendleft(reversed(live))
            self._waiting.extend(files)
            self._changed.notify_all()

    async def wait_for_room(self) -> None:
        """Waits while more than enough are there."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) < _MAX_WAITING or self.is_stopping)

    async def end_list(self) -> None:
        """Nothing more is listed."""
        self.is_listed = not self.is_stopping
        await self.tell()

    def pause(self, name: str, source: str) -> None:
        """Puts one aside that is neither under way nor waits."""
        self.paused[name] = source

    def drop(self, name: str) -> None:
        """Lets one that is paused go."""
        del self.paused[name]

    async def resume(self, name: str) -> None:
        """Lets one that is paused wait again, before all others."""
        async with self._changed:
            source = self.paused.pop(name)
            self._waiting.appendleft(source)
            self._changed.notify_all()

    def take_out(self, source: str, has_taker: bool) -> None:
        """Lets one wait no more; a taker that was there for it alone goes."""
        self._waiting.remove(source)
        self._num_surplus += has_taker

    # who waits for the end

    async def tell(self) -> None:
        """Lets all who wait look again."""
        async with self._changed:
            self._changed.notify_all()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """It is not done meanwhile; whoever waits for a change is told of it afterwards."""
        self._num_holds += 1
        try:
            yield
        finally:
            self._num_holds -= 1
            await self.tell()

    async def wait_until_done(self, limit_seconds: float) -> None:
        """Waits until all is done; at most so long."""
        async with self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_seconds):
                    await self._changed.wait_for(self.is_done)
