"""The sources that a run knows: listed ahead of the work, each taken up once, and which of them are live."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from streammm.journal import TODO
from streammm.media.address import may_go_on, public_name
from streammm_workers.handle import Handle
from streammm_workers.shards import Shards
from streammm_workers.tally import Tally
from streammm_workers.todo import Todo

_LISTED_AT_ONCE = 256


class Register:
    """Takes up what is listed and what is added.

    Args:
        journal: handle of the journal.
        todo: where sources wait then.
        shards: who makes room for live ones.
        tally: who counts them.
    """

    def __init__(self, journal: Handle, todo: Todo, shards: Shards, tally: Tally) -> None:
        self._journal = journal
        self._todo = todo
        self._shards = shards
        self._tally = tally
        self._seen: set[str] = set()
        self._live: set[str] = set()

    async def keep_listing(self, sources: Iterator[Any]) -> None:
        """Lists sources, a few hundred ahead of those that are worked on."""
        try:
            while not self._todo.is_stopping:
                found = await asyncio.to_thread(lambda: list(itertools.islice(sources, _LISTED_AT_ONCE)))
                if not found:
                    break
                await self.take_up(found)
                await self._todo.wait_for_room()
        finally:
            await self._todo.end_list()

    async def take_up(self, found: Sequence[Any]) -> dict[str, str]:
        """Takes up those that are not known yet, each a source or a `Skipped` one; the status of each by name."""
        sources: dict[str, str] = {}
        for item in found:
            if isinstance(item, str):
                name = public_name(item)
                if name not in self._seen:  # the same file, named twice
                    self._seen.add(name)
                    sources[name] = item
            else:
                await self._skip(item.source, item.reason, item.detail)
        endless = [name for name, source in sources.items() if may_go_on(source)]
        statuses: dict[str, str] = await self._journal.call("register", list(sources), endless)
        self._tally.count_listed(statuses)
        todo = [source for name, source in sources.items() if statuses[name] == TODO]
        live = [source for source in todo if may_go_on(source)]
        await self._todo.add(live, [source for source in todo if not may_go_on(source)])
        self._live |= set(map(public_name, live))
        for _ in live:
            self._shards.make_room()
        return statuses

    def forget(self, name: str) -> bool:
        """Lets a source be taken up anew; whether it was known."""
        is_known = name in self._seen
        self._seen.discard(name)
        return is_known

    def is_live(self, name: str) -> bool:
        """Whether room was made for it."""
        return name in self._live

    def make_room_for(self, name: str) -> None:
        """Makes room once more for a live source that comes back."""
        if name in self._live:
            self._shards.make_room()

    def note_live(self, name: str) -> None:
        """A source is live that did not look like it."""
        if name not in self._live:
            self._live.add(name)
            self._shards.make_room()

    async def _skip(self, name: str, reason: str, detail: str) -> None:
        await self._journal.call("skip", name, reason)
        self._tally.progress.num_listed += 1
        self._tally.skip(name, reason, detail)
