"""What a run is given: what is to be done, where it goes, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from streammm.errors import SourceError
from streammm.journal import Entry
from streammm.retention import Retention
from streammm.sinks.base import Outlet
from streammm.types import SourceReport
from streammm_workers.handle import Handle

if TYPE_CHECKING:
    from streammm_workers.by_hand import ByHand


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and what with it.

    Args:
        sources: what to do, each a source or a `Skipped` one; read as far as there is room.
        begin: called once the set-up is known to work, before anything is changed.
        sinks: stages with the methods of `sinks.base.Sink`, by name.
        outlets: where what is committed is delivered as well.
        retention: what is kept of the run directory, whose sink is named ``files``; None: everything.
        stop: set to let the run come to a stop.
        attend: runs beside, with the run in its hands: such as a page from which sources are added and paused.
        stays_open: the run goes on when all is done, since sources may be added, until it is stopped.
    """

    sources: Iterator[Any]
    begin: Callable[[], object]
    sinks: dict[str, Handle]
    stop: asyncio.Event
    outlets: Sequence[Outlet] = ()
    attend: Callable[[ByHand], Coroutine[Any, Any, None]] | None = None
    stays_open: bool = False
    retention: Retention | None = None
