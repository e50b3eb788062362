"""What a run is given: what is to be done, and where it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from streammm.retention import Retention
from streammm.sinks.base import Outlet
from streammm_workers.by_hand import ByHand
from streammm_workers.handle import Handle


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
