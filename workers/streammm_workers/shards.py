"""The shards of a run, as the driver sees them: how loaded each is, and who takes sources for it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from streammm.errors import ConfigError
from streammm_workers.handle import Handle, WorkerDiedError
from streammm_workers.metrics import ShardLoad

_log = logging.getLogger(__name__)


class Shards:
    """They may come at any time, and may go. ``loads`` is by shard what it last said of itself.

    Args:
        take: takes one source after another for a shard; a shard has as many such takers as it has slots.
        hang_seconds: one that does not say for so long how it is has hung.
    """

    def __init__(self, take: Callable[[Handle], Coroutine[Any, Any, None]], hang_seconds: float) -> None:
        self.loads: dict[Handle, ShardLoad] = {}
        self._take = take
        self._hang_seconds = hang_seconds
        self._group: asyncio.TaskGroup | None = None
        self._slots: dict[Handle, int] = {}
        self._takers: set[asyncio.Task[None]] = set()
        self._turns = itertools.count()
        self._asked: dict[Handle, asyncio.Task[None]] = {}

    # who is there

    async def load(self, shards: Sequence[Handle], group: asyncio.TaskGroup) -> None:
        """Loads the first; whatever keeps them from it is a mistake in the set-up. Takers belong to the group."""
        self._group = group
        try:
            await asyncio.gather(*(shard.call("start") for shard in shards))
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"the engine cannot start: {type(error).__name__}: {error}") from error

    def join(self, shard: Handle) -> None:
        """Counts a shard in, which has loaded."""
        self.loads[shard] = ShardLoad({}, 0)

    def leave(self, shard: Handle) -> None:
        """Counts a shard out, which stays away."""
        self.loads.pop(shard, None)
        self._slots.pop(shard, None)

    # who takes

    @property
    def has_takers(self) -> bool:
        """Whether anybody still takes sources."""
        return bool(self._takers)

    def give_slots(self, shard: Handle, slots: int) -> None:
        """Lets a shard work on so many files at once, if it is not at more already."""
        self._add_takers(shard, slots - self._slots.get(shard, 0))
        self._slots[shard] = max(slots, self._slots.get(shard, 0))

    def make_room(self) -> None:
        """Lets one more source be worked on: a live one takes no file's place."""
        if self.loads:
            self._add_takers(list(self.loads)[next(self._turns) % len(self.loads)], 1)

    def cancel_takers(self) -> None:
        """Lets nobody take sources any more."""
        for task in list(self._takers):
            task.cancel()

    def _add_takers(self, shard: Handle, count: int) -> None:
        assert self._group is not None
        for _ in range(count):
            task = self._group.create_task(self._take(shard))
            self._takers.add(task)
            task.add_done_callback(self._takers.discard)

    # what all are asked

    async def drain(self) -> None:
        """Lets all come to a stop."""
        for shard in list(self.loads):
            with suppress(WorkerDiedError):
                await shard.call("drain")

    async def pictures(self) -> dict[str, bytes]:
        """The last pictures of sources under way as JPEG, by name, those since the last time it was asked for them."""
        found: dict[str, bytes] = {}
        for shard in list(self.loads):
            with suppress(WorkerDiedError):
                found |= await shard.call("pictures")
        return found

    async def ask(self, limit_seconds: float) -> None:
        """Asks all how they are and waits so long; who has not answered by then does later, or has hung."""
        for shard in self.loads:
            if shard not in self._asked:
                self._asked[shard] = asyncio.create_task(self._ask(shard))
        if self._asked:
            await asyncio.wait(list(self._asked.values()), timeout=limit_seconds)

    async def ask_anew(self, limit_seconds: float) -> None:
        """Asks all once more, whoever has not answered yet as well: what they cost in all is known only at the end."""
        for task in list(self._asked.values()):
            task.cancel()
        if last := [asyncio.create_task(self._ask(shard)) for shard in self.loads]:
            await asyncio.wait(last, timeout=limit_seconds)

    async def _ask(self, shard: Handle) -> None:
        try:
            load = await shard.call("load", limit_seconds=self._hang_seconds)
            if shard in self.loads:
                self.loads[shard] = load
                self.give_slots(shard, load.sizes.get("sources_in_flight", 0))
        except WorkerDiedError as error:  # its sources come back by themselves
            _log.info("a shard does not say how it is: %s", error)
        finally:
            self._asked.pop(shard, None)
