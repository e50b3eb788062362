"""The commit point: rows, cursor and fusion state of a source go in together, sinks read rows from here.

This one keeps everything in memory for the length of a run. The engine talks to it through `lease`, `commit` and
`read` only, wherever it lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from streammm.types import Classification


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a source has come: the next segment to do, and the fusion state before it (None at the beginning)."""

    next_segment: int = 0
    state: dict[str, torch.Tensor] | None = None


@dataclass(slots=True)
class _Entry:
    epoch: int = -1
    cursor: Cursor = field(default_factory=Cursor)


class Journal:
    """Keeps each source's cursor, and the rows that no sink has read yet."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._unread: list[Classification] = []

    def lease(self, source: str, epoch: int) -> Cursor | None:
        """Gives a source to the holder of ``epoch`` from its cursor on; None if a higher epoch has it already."""
        entry = self._entries.setdefault(source, _Entry())
        if epoch < entry.epoch:
            return None
        entry.epoch = epoch
        return entry.cursor

    def commit(self, source: str, epoch: int, rows: Sequence[Classification], cursor: Cursor) -> int | None:
        """Takes rows and the cursor after them, all or nothing.

        Returns:
            How many rows wait to be read, for the writer to hold back by; None if the epoch is out of date, and then
            nothing was taken.
        """
        entry = self._entries[source]
        if epoch != entry.epoch or cursor.next_segment < entry.cursor.next_segment:
            return None
        self._unread.extend(row for row in rows if row.segment >= entry.cursor.next_segment)
        entry.cursor = cursor
        return len(self._unread)

    def num_unread(self) -> int:
        """How many rows wait to be read."""
        return len(self._unread)

    def finish(self, source: str) -> None:
        """Forgets a source that is done."""
        self._entries.pop(source, None)

    def read(self) -> list[Classification]:
        """Hands out the rows committed since the last reading, in order within each source."""
        rows, self._unread = self._unread, []
        return rows
