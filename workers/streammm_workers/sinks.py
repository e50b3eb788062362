"""The sinks that a run keeps up with, and its observer: readers of the journal, asked after together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from streammm.journal import Entry
from streammm_workers.bell import Bell, rung
from streammm_workers.handle import Handle

_READ_SECONDS = 0.02, 0.25
"""How often sinks look into the journal: at first, so that the first row is not kept waiting, and at the least,
unless the bell is rung."""

_READ_SHARE = 0.1
"""In between they pause for this share of the time that they have looked for."""

_READ_ENTRIES = 1000


class Sinks:
    """Each gets every entry once and in order; one that is slow keeps no other waiting.

    Args:
        sinks: stages with the methods of `sinks.base.Sink`, by name.
        journal: its handle.
        bell: rung for what should not wait, and when the run is over.
    """

    def __init__(self, sinks: Mapping[str, Handle], journal: Handle, bell: Bell) -> None:
        self._sinks = dict(sinks)
        self._journal = journal
        self._bell = bell
        self._written: dict[str, tuple[int, Any]] = {}
        self._writing = {name: asyncio.Lock() for name in self._sinks}
        self.positions: dict[str, int] = {}

    async def start(self) -> None:
        """Lets each go on where the journal says that it was."""
        for name, sink in self._sinks.items():
            position, mark = await self._journal.call("sink", name)
            self.positions[name] = await sink.call("start", position, mark)

    async def keep_delivering(self, is_over: asyncio.Event) -> None:
        """Looks for all of them at once, until the run is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while not is_over.is_set():
                ring = self._bell.next
                free = [name for name, writing in self._writing.items() if not writing.locked()]
                found = await self._read(free)
                for name in free:
                    if found[name] and found[name][-1].position > self.positions[name]:  # nobody else was quicker
                        group.create_task(self.deliver(name, found[name]))
                pause_seconds = min(_READ_SECONDS[1], max(_READ_SECONDS[0], _READ_SHARE * (time.monotonic() - began)))
                await rung(ring, pause_seconds)

    async def deliver(self, name: str, found: Sequence[Entry] = ()) -> None:
        """Takes to a sink what was committed since the last time, beginning with what was found already.

        Must not be cancelled in a run that goes on: what was written and not noted would be written again.
        """
        async with self._writing[name]:
            position = self.positions[name]
            entries = [entry for entry in found if entry.position > position] or (await self._read([name]))[name]
            while entries:
                mark = await self._sinks[name].call("write", entries)
                self.positions[name] = entries[-1].position
                self._written[name] = (self.positions[name], mark)
                if len(entries) < _READ_ENTRIES:
                    break
                entries = (await self._read([name]))[name]

    async def deliver_all(self) -> None:
        """Takes the rest to all, and notes it."""
        for name in self._sinks:
            await self.deliver(name)
        await self._read([])

    async def trim(
        self, name: str, outlets: Sequence[str], max_age_seconds: float | None, share: float
    ) -> tuple[dict[str, int], int]:
        """Removes what retention may remove, from the journal and from one sink; must not be cancelled either.

        Args:
            name: of the sink.
            outlets: who else must have had what is removed.
            max_age_seconds: what is older goes; None for any age.
            share: of all entries, which goes whatever its age.

        Returns:
            What was removed, by kind, and how many entries more are due and wait.
        """
        async with self._writing[name]:
            await self._read([])  # the journal knows then what has been written
            readers = [*self._sinks, *outlets]
            upto, counts, num_waiting = await self._journal.call("removable", readers, max_age_seconds, share)
            if not upto:
                return {}, num_waiting
            mark = await self._sinks[name].call("trim", counts)
            await self._journal.call("remove_up_to", upto, {name: (self.positions[name], mark)})
        return counts, num_waiting

    async def close(self) -> None:
        """Lets all of them go."""
        for sink in self._sinks.values():
            await sink.call("close")

    async def _read(self, names: Sequence[str]) -> dict[str, list[Entry]]:
        """What sinks have not had yet; with the question the journal is told what has been written."""
        written, self._written = self._written, {}
        after = {name: self.positions[name] for name in names}
        found: dict[str, list[Entry]] = await self._journal.call("exchange", written, after, _READ_ENTRIES)
        return found
