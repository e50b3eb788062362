"""Several observers of one run: each is told everything, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streammm.errors import SourceError
from streammm.journal import Entry
from streammm.types import SourceReport
from streammm_workers.plan import Observer


class Observers:
    """Tells several observers.

    Args:
        observers: who is told, in this order.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def entries(self, entries: Sequence[Entry]) -> None:
        """Passed on."""
        for observer in self._observers:
            observer.entries(entries)

    def finished(self, report: SourceReport) -> None:
        """Passed on."""
        for observer in self._observers:
            observer.finished(report)

    def failed(self, error: SourceError) -> None:
        """Passed on."""
        for observer in self._observers:
            observer.failed(error)

    def skipped(self, source: str, reason: str, detail: str) -> None:
        """Passed on."""
        for observer in self._observers:
            observer.skipped(source, reason, detail)

    def progress(self, snapshot: dict[str, Any]) -> None:
        """Passed on."""
        for observer in self._observers:
            observer.progress(snapshot)
