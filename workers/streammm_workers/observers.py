"""Who a run is told to, and several of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from streammm.errors import SourceError
from streammm.journal import Entry
from streammm.types import SourceReport


class Observer(Protocol):
    """Who a run is told to: a terminal, a program."""

    def entries(self, entries: Sequence[Entry]) -> None:
        """Rows, events and what was given up, as they are committed; in order within each source."""

    def finished(self, report: SourceReport) -> None:
        """A source has ended, all its rows were told before."""

    def failed(self, error: SourceError) -> None:
        """A source was given up."""

    def skipped(self, source: str, reason: str, detail: str) -> None:
        """A source was left out on purpose."""

    def progress(self, snapshot: dict[str, Any]) -> None:
        """How the run stands, about once a second; see `metrics.Rates`."""


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
