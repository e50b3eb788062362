"""The placement in this process: shards whose stages are threads."""

from __future__ import annotations

from concurrent.futures import Future

from streammm import journal
from streammm.building.decoding import num_decoders
from streammm.config import Config
from streammm_workers.bell import Bell
from streammm_workers.driver import Driver
from streammm_workers.handle import DirectHandle, ThreadHandle
from streammm_workers.observers import Observer
from streammm_workers.plan import Plan
from streammm_workers.shard import Shard
from streammm_workers.sizes import num_cores, slots


class Here:
    """The shards of a run in this process: one a GPU, or one.

    Args:
        config: the whole configuration.
        num_files: how many there are to do, at least.
    """

    def __init__(self, config: Config, num_files: int) -> None:
        self._config = config
        devices = _devices(config)
        cores = max(1, num_cores() // len(devices))
        self._num_decoders = num_decoders(config, -(-num_files // len(devices)), cores)
        self._where: Future[tuple[str, ...]] = Future()
        self._journal = ThreadHandle("journal", self._open_journal)
        self._bell = Bell()
        here = ThreadHandle, self._journal, self._num_decoders, cores, self._bell
        self._shards = [Shard(one, *here) for one in devices]

    async def run(self, plan: Plan, journal_arguments: tuple[str, ...], observer: Observer) -> None:
        """Does a plan."""
        self._where.set_result(journal_arguments)
        driver = Driver(self._config, plan, self._journal, observer, self._bell)
        files = slots(self._config.engine, self._num_decoders)
        await driver.run([(DirectHandle(shard), files) for shard in self._shards])
        await self._journal.call("close")

    def close(self) -> None:
        """Ends them."""
        self._where.cancel()
        for shard in self._shards:
            shard.close()
        self._journal.close()

    def _open_journal(self) -> object:
        """Waits until it is said where the journal is; in its thread, where its library is imported beside all else."""
        return journal.Journal(*self._where.result())


def _devices(config: Config) -> list[Config]:
    """The configuration for each shard of this process: one a GPU, where they are to be used and there are some."""
    from streammm.encoders.placement import devices

    found = devices(config.runtime.backend, config.runtime.device)
    return [config.model_copy(update={"runtime": config.runtime.model_copy(update={"device": d})}) for d in found]
