"""The engine's front door: a run in this process, or on Ray, of which only the one that is asked for is imported."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol

from streammm.building.decoding import decode_options
from streammm.config import Config
from streammm.errors import ConfigError
from streammm.media.address import is_file
from streammm.retention import Retention
from streammm.sinks.base import Outlet, Sink
from streammm_workers.handle import Handle, ThreadHandle
from streammm_workers.observers import Observer
from streammm_workers.plan import Plan

if TYPE_CHECKING:
    from streammm_workers.by_hand import ByHand

PEEK = 64
"""So many sources are looked at before the work is laid out."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's journal is, and who reads it.

    Args:
        journal: arguments of `Journal`; by default it is in memory.
        sinks: who is given what is committed.
        begin: called once the set-up is known to work, before anything is written.
        outlets: where it is delivered as well.
        retention: what is kept of a run directory, whose sink is named ``files``; None: everything.
        attend, stays_open: see `Plan`.
    """

    journal: tuple[str, ...] = ()
    sinks: Sequence[Sink] = ()
    begin: Callable[[], object] = field(default=lambda: None)
    outlets: Sequence[Outlet] = ()
    attend: Callable[[ByHand], Coroutine[Any, Any, None]] | None = None
    stays_open: bool = False
    retention: Retention | None = None


class Workers(Protocol):
    """Where the work is done: this process or a cluster. They load from when they are made."""

    async def run(self, plan: Plan, journal_arguments: tuple[str, ...], observer: Observer) -> None:
        """Does a plan; ``journal_arguments`` are those of `Journal`."""

    def close(self) -> None:
        """Ends them."""


@contextmanager
def workers(config: Config, first: Sequence[Any], ray_address: str | None = None) -> Iterator[Workers]:
    """The workers for `run_on`, which load while their caller sets up what else a run needs.

    Args:
        config: the whole configuration; see `with_precision` for its ``runtime.precision``.
        first: the first of what is to be done, `PEEK` or all of it, after which the work is laid out.
        ray_address: where Ray is; ``local`` starts one on this machine; None for this process.

    Raises:
        ConfigError: the configuration has a mistake, or there is no Ray at the address.
    """
    if ray_address is not None and "-" in first:
        raise ConfigError("standard input can only be read in this process: leave --ray out, or give an address")
    decode_options(config)  # a mistake in it is said here: an actor would die of it
    num_files = sum(not isinstance(s, str) or is_file(s) for s in first)
    made: Workers
    if ray_address is None:
        from streammm_workers.here import Here

        made = Here(config, num_files)
    else:
        from streammm_workers.cluster import Cluster

        made = Cluster(config, num_files, ray_address)
    try:
        yield made
    finally:
        made.close()


def run(
    config: Config,
    sources: Iterable[Any],
    observer: Observer,
    ray_address: str | None = None,
    place: Place | None = None,
    on_stop: Callable[[], None] = lambda: None,
) -> bool:
    """Does all sources: in this process, or on Ray if there is an address; see `workers` and `run_on`."""
    iterator = iter(sources)
    first = list(islice(iterator, PEEK))
    place = place or Place()
    if not first and not place.stays_open:
        return True
    with workers(config, first, ray_address) as made:
        return run_on(made, chain(first, iterator), observer, place, on_stop)


def run_on(
    made: Workers,
    sources: Iterable[Any],
    observer: Observer,
    place: Place,
    on_stop: Callable[[], None] = lambda: None,
) -> bool:
    """Does all sources.

    The first SIGINT or SIGTERM lets it come to a stop: what is under way is committed. The second ends it at once.

    Args:
        made: who works; once.
        sources: what to do, listed as far as there is room for it; see `media.listing`.
        observer: who is told.
        place: where what is made goes.
        on_stop: called when it begins to come to a stop.

    Returns:
        Whether it went to its end; False if it was stopped before.

    Raises:
        ConfigError: the set-up cannot work; no source was given up for it.
        KeyboardInterrupt: it was ended at once.
    """
    iterator = iter(sources)
    first = list(islice(iterator, 1))
    if not first and not place.stays_open:
        return True

    async def main() -> bool:
        async with _interrupts(on_stop) as stop:
            sinks: dict[str, Handle] = {
                sink.name: ThreadHandle("sink", lambda made: made, sink) for sink in place.sinks
            }
            beside = (place.outlets, place.attend, place.stays_open, place.retention)
            plan = Plan(chain(first, iterator), place.begin, sinks, stop, *beside)
            await made.run(plan, place.journal, observer)
            return not stop.is_set()

    return asyncio.run(main())


@asynccontextmanager
async def _interrupts(on_stop: Callable[[], None]) -> AsyncIterator[asyncio.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second cancels the task that is inside."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    was_cancelled = False

    def interrupt() -> None:
        nonlocal was_cancelled
        if stop.is_set():
            was_cancelled = True
            task.cancel()
        else:
            stop.set()
            on_stop()

    signals = (signal.SIGINT, signal.SIGTERM)
    with suppress(NotImplementedError, RuntimeError, ValueError):  # only the main thread gets signals
        for number in signals:
            loop.add_signal_handler(number, interrupt)
    try:
        yield stop
    except asyncio.CancelledError:
        if was_cancelled:
            raise KeyboardInterrupt from None
        raise
    finally:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in signals:
                loop.remove_signal_handler(number)
