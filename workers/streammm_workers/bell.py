"""Wakes whoever reads the journal when it has got something that should not wait."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Bell:
    """Rung by shards of the same process; whoever waits looks by itself now and then, for those of others.

    ``next`` is set when it is rung the next time: to be taken before looking, so that nothing is missed meanwhile.
    """

    def __init__(self) -> None:
        self.next = asyncio.Event()

    def ring(self) -> None:
        """Wakes all who wait."""
        rung, self.next = self.next, asyncio.Event()
        rung.set()


async def rung(event: asyncio.Event, limit_seconds: float) -> None:
    """Waits for a bell; at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_seconds):
            await event.wait()
