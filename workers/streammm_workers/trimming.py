"""Keeps a run directory as young and as small as it is to be, while a run goes on in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from streammm.retention import Retention
from streammm_workers.metrics import Progress
from streammm_workers.sinks import Sinks


class Trimming:
    """Removes what is too old or too much, and has reached every sink.

    Args:
        retention: what is kept.
        sinks: one of which, ``files``, writes the files of the directory.
        outlets: names of those that must have had what is removed as well.
        progress: where what was removed is counted.
    """

    def __init__(self, retention: Retention, sinks: Sinks, outlets: Sequence[str], progress: Progress) -> None:
        self._retention = retention
        self._sinks = sinks
        self._outlets = outlets
        self._progress = progress

    async def keep(self, is_over: asyncio.Event) -> None:
        """At the start and from time to time, until the run is over."""
        while not is_over.is_set():
            await self.trim()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._retention.pause_seconds):
                    await is_over.wait()

    async def trim(self) -> None:
        """Must not be cancelled in a run that goes on, see `Sinks.trim`."""
        removed = self._progress.removed
        if num_files := await asyncio.to_thread(self._retention.remove_files):
            removed["files"] = removed.get("files", 0) + num_files
        share = await asyncio.to_thread(self._retention.share_too_much)
        found = await self._sinks.trim("files", self._outlets, self._retention.max_age_seconds, share)
        counts, self._progress.num_not_removable = found
        for kind, count in counts.items():
            removed[kind] = removed.get(kind, 0) + count
