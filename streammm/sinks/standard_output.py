"""Entries on standard output, a line each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from streammm.journal import Entry
from streammm.sinks.base import Written


class StandardOutput:
    """Writes entries as they are in the journal. What a run that was killed had printed may come again.

    Args:
        name: of its cursor.
        kinds: what it is told.
    """

    batch_entries = 1000
    linger_seconds = 0.0

    def __init__(self, name: str = "-", kinds: tuple[str, ...] = ("row",)) -> None:
        self.name = name
        self.kinds = kinds

    def start(self, position: int, mark: Any, run: str) -> int:
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        sys.stdout.writelines(entry.text + "\n" for entry in entries)
        sys.stdout.flush()
        return Written()

    def close(self) -> None:
        """Not ours to close."""
