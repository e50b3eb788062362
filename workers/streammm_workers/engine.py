"""The engine's front door: a run in this process, or on Ray. Ray is imported only if it is asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from streammm.build import num_decoders
from streammm.config import Config
from streammm.errors import ConfigError
from streammm.journal import Journal
from streammm_workers.driver import Observer, drive, slots
from streammm_workers.handle import DirectHandle, ThreadHandle
from streammm_workers.shard import Shard


def run(config: Config, sources: Sequence[str], observer: Observer, ray_address: str | None = None) -> None:
    """Does all sources: in this process, or on Ray if there is an address (``local`` starts one on this machine).

    Raises:
        ConfigError: the set-up cannot work; no source was given up for it.
    """
    if not sources:
        return
    if ray_address is None:
        asyncio.run(_run_here(config, sources, observer))
    elif "-" in sources:
        raise ConfigError("standard input can only be read in this process: leave --ray out, or give an address")
    else:
        from streammm_workers import cluster

        asyncio.run(cluster.run(config, sources, observer, ray_address))


async def _run_here(config: Config, sources: Sequence[str], observer: Observer) -> None:
    decoders = num_decoders(config, len(sources), os.cpu_count() or 1)
    journal = DirectHandle(Journal())
    shard = Shard(config, ThreadHandle, journal, decoders)
    try:
        await drive(config, sources, [DirectHandle(shard)], journal, slots(config, decoders, sources), observer)
    finally:
        shard.close()
