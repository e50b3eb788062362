"""Other stages and other shards in the place of those that a run on Ray makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streammm.config import Config
from streammm_workers.cluster import ActorSpawn, ShardActor
from streammm_workers.commit import Committer
from streammm_workers.handle import Handle
from streammm_workers.journal_actor import JournalActor
from tests.workers.exits import ExitingJournal, exit_if_told


@dataclass(frozen=True, slots=True)
class Replacing(ActorSpawn):
    """Makes other stages than it is told to; those in ``told`` are given the folder as their first argument."""

    stages: tuple[tuple[type, type], ...] = ()
    told: tuple[tuple[type, type], ...] = ()
    folder: str = ""

    def __call__(self, kind: str, make: Callable[..., object], *args: Any) -> Handle:
        if (other := dict(self.told).get(make)) is not None:
            return ActorSpawn.__call__(self, kind, other, self.folder, *args)
        return ActorSpawn.__call__(self, kind, dict(self.stages).get(make, make), *args)


class ExitingJournalActor(JournalActor):
    """Is told by files beside the database."""

    def __init__(self, url: str) -> None:
        self._journal = ExitingJournal(url)


class ExitingShard(ShardActor):
    """Is told by files in the folder of its stages."""

    def __init__(self, config: Config, spawn: Replacing, num_decoders: int, cores: int) -> None:
        super().__init__(config, spawn, num_decoders, cores)
        self._shard._journal = _Watched(self._shard._journal, spawn.folder)
        self._shard._committer = Committer(self._shard._journal)


class _Watched:
    """The journal's handle."""

    def __init__(self, journal: Handle, folder: str) -> None:
        self._inner = journal
        self._folder = folder

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        is_commit = method == "commit_all"
        if is_commit:
            exit_if_told(self._folder, "before-rows")
        result = await self._inner.call(method, *args, **options)
        if is_commit:
            exit_if_told(self._folder, "after-rows")
        return result

    def close(self) -> None:
        """The run's."""
