"""Takes what is committed to one outlet, which may be away for as long as it likes: nothing else waits for it.

What it has not taken stays in the journal. A failure of any kind is the outlet's own: it is closed, left alone for a
while that grows, and started again from its cursor. What it will never take is set aside by position and counted.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from streammm.journal import Entry
from streammm.media.address import redact
from streammm.sinks.base import Outlet, UnreachableError, Written
from streammm.sinks.standard_output import StandardOutput
from streammm_workers.bell import Bell, rung
from streammm_workers.handle import Handle, ThreadHandle

_LOOK_SECONDS = 0.25
_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 30.0
_TELL_SECONDS = 1.0

_NONSENSE = (ValueError, TypeError, KeyError)
"""What is raised by whoever reads an entry that does not have its form, before anything of it is written."""


class Delivery:
    """One outlet's place in the journal.

    Args:
        outlet: what to deliver to; it works in a thread of its own.
        journal: handle of the journal.
    """

    def __init__(self, outlet: Outlet, journal: Handle) -> None:
        self.name = outlet.name
        self.position = 0
        self.num_delivered = 0
        self.num_failures = 0
        self.error = ""
        self.num_refused = 0
        self.last_refusal = ""
        self._outlet = outlet
        self._handle: Handle = ThreadHandle("sink", lambda: outlet)
        self._journal = journal
        self._mark: Any = None
        self._run = ""
        self._is_started = False
        self._is_refused_due = False
        self._pending: tuple[list[Entry], int] | None = None
        self._waiting_since: float | None = None
        self._pause_seconds = 0.0
        self._next_try = 0.0

    async def find_place(self) -> None:
        """Finds out where it was."""
        self._run = await self._journal.call("run_id")
        self.position, self._mark = await self._journal.call("sink", self.name)
        self.num_refused, self.last_refusal = await self._journal.call("refused", self.name)

    async def keep_delivering(self, is_over: asyncio.Event, bell: Bell) -> None:
        """Delivers what comes until it is over; the bell is rung for what should not wait, and then."""
        while not is_over.is_set():
            ring = bell.next
            await self._go_on(is_last=False)
            await rung(ring, _LOOK_SECONDS)

    async def finish(self, patience_seconds: float, is_refused_too: bool = False) -> int:
        """Delivers the rest and closes the outlet; one that fails is tried for so long after the last success.

        Args:
            patience_seconds: for how long.
            is_refused_too: offer what was set aside once more.

        Returns:
            How many entries are left.
        """
        self._next_try = 0.0
        self._is_refused_due = is_refused_too
        taken, deadline = self.position, time.monotonic() + patience_seconds
        while not await self._go_on(is_last=True):
            if not (self._is_refused_due or await self._count_left()):
                break
            now = time.monotonic()
            if self.position != taken:
                taken, deadline = self.position, now + patience_seconds
            elif now >= deadline:
                break
            self._next_try = min(self._next_try, deadline)
            await asyncio.sleep(max(0.0, self._next_try - now))
        with suppress(UnreachableError):
            await self._call("close")
        self._handle.close()
        return await self._count_left()

    def state(self, last: int) -> dict[str, Any]:
        """How it stands, as plain JSON types; ``last`` is the position of the last entry that is known."""
        return {
            "behind": max(0, last - self.position),
            "delivered": self.num_delivered,
            "refused": self.num_refused,
            "last_refusal": self.last_refusal,
            "failures": self.num_failures,
            "error": self.error,
        }

    async def _count_left(self) -> int:
        return int(await self._journal.call("count_after", self.position, self._outlet.kinds))

    async def _go_on(self, is_last: bool) -> bool:
        """Delivers what there is, unless it has to be left alone; False if not all of it could be."""
        if time.monotonic() < self._next_try:
            return False
        try:
            if not self._is_started:
                position = await self._call("start", self.position, self._mark, self._run)
                if position != self.position:
                    self.position, self._pending = position, None
                self._is_started = True
            if self._is_refused_due:
                await self._retry_refused()
                self._is_refused_due = False
            while await self._take(is_last):
                pass
        except UnreachableError as error:
            await self._leave_alone(error)
            return False
        self.error = ""
        return True

    async def _take(self, is_last: bool) -> bool:
        """Delivers a batch; False if there is none, or if it may still grow."""
        if self._pending is None:
            if not await self._is_due(is_last):
                return False
            outlet = self._outlet
            self._pending = await self._journal.call("read_kinds", self.position, outlet.batch_entries, outlet.kinds)
        entries, up_to = self._pending  # after a failure the same as before, by which a receiver may know it
        written = Written(self._mark)
        if entries:
            written = await self._write(entries, self._mark)
            self._count(entries, written)
            self._pause_seconds = 0.0
        await self._journal.call("advance", self.name, up_to, written.mark, written.refused)
        self.position, self._mark, self._pending, self._waiting_since = up_to, written.mark, None, None
        return True

    async def _retry_refused(self) -> None:
        """Offers what was set aside once more."""
        after = 0
        while entries := await self._journal.call("read_refused", self.name, after, self._outlet.batch_entries):
            written = await self._write(entries, self._mark)
            taken = [entry.position for entry in entries if entry.position not in written.refused]
            await self._journal.call("forget_refused", self.name, taken)
            await self._journal.call("advance", self.name, self.position, written.mark, written.refused)
            self._mark, after = written.mark, entries[-1].position
            self.num_refused -= len(entries)
            self._count(entries, written)

    def _count(self, entries: Sequence[Entry], written: Written) -> None:
        told = written.num_told
        self.num_delivered += len(entries) - len(written.refused) if told is None else told
        self.num_refused += len(written.refused)
        self.last_refusal = [self.last_refusal, *written.refused.values()][-1]

    async def _is_due(self, is_last: bool) -> bool:
        """Whether there is enough, or it has waited long enough."""
        num_waiting = await self._journal.call("last_position") - self.position
        if num_waiting <= 0:
            return False
        now = time.monotonic()
        self._waiting_since = now if self._waiting_since is None else self._waiting_since
        if is_last or num_waiting >= self._outlet.batch_entries:
            return True
        # Where rows lie in memory, writers wait for what is full.
        return now - self._waiting_since >= self._outlet.linger_seconds or not await self._journal.call("may_go_on")

    async def _write(self, entries: list[Entry], mark: Any) -> Written:
        """Hands entries over; those that the outlet cannot make sense of are found and set aside."""
        try:
            written: Written = await self._call("write", entries)
        except _NONSENSE as error:
            if len(entries) == 1:
                return Written(mark, {entries[0].position: f"it makes no sense of it: {type(error).__name__}: {error}"})
            middle = len(entries) // 2
            first = await self._write(entries[:middle], mark)
            second = await self._write(entries[middle:], first.mark)
            return Written(second.mark, {**first.refused, **second.refused})
        return written

    async def _call(self, method: str, *args: Any) -> Any:
        try:
            return await self._handle.call(method, *args)
        except UnreachableError:
            raise
        except Exception as error:  # libraries raise whatever they do, and none of it may stop a run
            if method == "write" and isinstance(error, _NONSENSE):
                raise
            if isinstance(error, BrokenPipeError) and isinstance(self._outlet, StandardOutput):
                raise  # whoever reads what we print has gone, as `| head` does
            raise UnreachableError(f"{type(error).__name__}: {error}") from error

    async def _leave_alone(self, error: UnreachableError) -> None:
        self.num_failures += 1
        self.error = redact(str(error).strip().partition("\n")[0]) or type(error).__name__
        self._pause_seconds = min(_MAX_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * self._pause_seconds))
        pause = self._pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come back at once
        self._is_started = False
        with suppress(UnreachableError):
            await self._call("close")
        self._next_try = time.monotonic() + max(pause, error.retry_seconds)


async def finish_all(
    deliveries: Sequence[Delivery], patience_seconds: float, is_refused_too: bool = False
) -> dict[str, int]:
    """Finishes all, side by side; by name, how many entries are left of those that could not be."""
    left = await asyncio.gather(*(one.finish(patience_seconds, is_refused_too) for one in deliveries))
    return {one.name: count for one, count in zip(deliveries, left, strict=True) if count}


def deliver(
    journal_arguments: Sequence[str],
    outlets: Sequence[Outlet],
    patience_seconds: float,
    on_state: Callable[[dict[str, dict[str, Any]]], None],
    is_refused_too: bool = False,
) -> dict[str, int]:
    """Delivers what a journal holds and outlets have not taken, without a run.

    Args:
        journal_arguments: of `Journal`.
        outlets: where to.
        patience_seconds: how long one that cannot be reached is tried.
        on_state: told about once a second how they stand; see `Delivery.state`.
        is_refused_too: offer what was set aside once more.

    Returns:
        By name, how many entries are left.
    """

    from streammm.journal import Journal

    async def main() -> dict[str, int]:
        journal = ThreadHandle("journal", Journal, *journal_arguments)
        deliveries = [Delivery(outlet, journal) for outlet in outlets]

        async def tell() -> None:
            last = await journal.call("last_position")
            on_state({delivery.name: delivery.state(last) for delivery in deliveries})

        async def keep_telling() -> None:
            while True:
                await tell()
                await asyncio.sleep(_TELL_SECONDS)

        try:
            for delivery in deliveries:
                await delivery.find_place()
            telling = asyncio.create_task(keep_telling())
            left = await finish_all(deliveries, patience_seconds, is_refused_too)
            telling.cancel()
            await tell()
            return left
        finally:
            journal.close()

    return asyncio.run(main())
