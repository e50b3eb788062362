"""The engine's front door: a run in this process, or on Ray. Ray is imported only if it is asked for."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from streammm.build import decode_options, num_decoders
from streammm.config import Config
from streammm.errors import ConfigError
from streammm.journal import Journal
from streammm.media.address import is_file
from streammm.retention import Retention
from streammm.sinks.base import Outlet, Sink
from streammm_workers.driver import Driver
from streammm_workers.handle import DirectHandle, Handle, ThreadHandle
from streammm_workers.plan import Observer, Plan
from streammm_workers.shard import Shard

_PEEK = 64
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
    attend: Callable[[Driver], Coroutine[Any, Any, None]] | None = None
    stays_open: bool = False
    retention: Retention | None = None


def run(
    config: Config,
    sources: Iterable[Any],
    observer: Observer,
    ray_address: str | None = None,
    place: Place | None = None,
    on_stop: Callable[[], None] = lambda: None,
) -> bool:
    """Does all sources: in this process, or on Ray if there is an address (``local`` starts one on this machine).

    The first SIGINT or SIGTERM lets it come to a stop: what is under way is committed. The second ends it at once.

    Args:
        config: the whole configuration; see `build.with_precision` for its ``runtime.precision``.
        sources: what to do, listed as far as there is room for it; see `media.listing`.
        observer: who is told.
        ray_address: where Ray is; None for this process.
        place: where what is made goes.
        on_stop: called when it begins to come to a stop.

    Returns:
        Whether it went to its end; False if it was stopped before.

    Raises:
        ConfigError: the set-up cannot work; no source was given up for it.
        KeyboardInterrupt: it was ended at once.
    """
    iterator = iter(sources)
    first = list(islice(iterator, _PEEK))
    place = place or Place()
    if not first and not place.stays_open:
        return True
    if ray_address is not None and "-" in first:
        raise ConfigError("standard input can only be read in this process: leave --ray out, or give an address")
    decode_options(config)  # a mistake in it is said here: an actor would die of it

    async def main() -> bool:
        async with _interrupts(on_stop) as stop:
            sinks: dict[str, Handle] = {
                sink.name: ThreadHandle("sink", lambda made: made, sink) for sink in place.sinks
            }
            listed = chain(first, iterator)
            beside = (place.outlets, place.attend, place.stays_open, place.retention)
            plan = Plan(listed, place.begin, sinks, stop, *beside)
            files = sum(not isinstance(s, str) or is_file(s) for s in first)
            if ray_address is None:
                await _run_here(config, plan, place, observer, files)
            else:
                from streammm_workers import cluster

                await cluster.run(config, plan, place.journal, observer, files, ray_address)
            return not stop.is_set()

    return asyncio.run(main())


async def _run_here(config: Config, plan: Plan, place: Place, observer: Observer, num_files: int) -> None:
    devices = _devices(config)
    cores = max(1, num_cores() // len(devices))
    decoders = num_decoders(config, -(-num_files // len(devices)), cores)
    journal = ThreadHandle("journal", Journal, *place.journal)
    shards = [Shard(one, ThreadHandle, journal, decoders, cores) for one in devices]
    try:
        driver = Driver(config, plan, journal, observer)
        await driver.run([(DirectHandle(shard), slots(config, decoders)) for shard in shards])
    finally:
        for shard in shards:
            shard.close()
        journal.close()


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _devices(config: Config) -> list[Config]:
    """The configuration for each shard of this process: one a GPU, where they are to be used and there are some."""
    from streammm.encoders.placement import devices

    found = devices(config.runtime.backend, config.runtime.device)
    return [config.model_copy(update={"runtime": config.runtime.model_copy(update={"device": d})}) for d in found]


def slots(config: Config, decoders: int) -> int:
    """Files a shard works on at once; addresses that may be live come on top, since a live stream waits for nobody."""
    return config.engine.sources_in_flight or 2 * decoders


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
