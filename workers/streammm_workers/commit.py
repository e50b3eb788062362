"""Commits of a shard's sources, taken to the journal together: a call and a transaction for all of a moment."""

from __future__ import annotations

import asyncio

from streammm.journal import Commit
from streammm_workers.handle import Handle

_MOMENT_SECONDS = 0.005
"""The sources of a batch are done with it in less."""


class Committer:
    """Waits a moment for others to join, and takes what came meanwhile as long as there is some.

    Args:
        journal: its handle.
    """

    def __init__(self, journal: Handle) -> None:
        self._journal = journal
        self._waiting: list[tuple[Commit, asyncio.Future[bool | None]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def commit(self, commit: Commit) -> bool | None:
        """Takes a commit to the journal; returns and raises what the journal does, see `Journal.commit_all`."""
        answer: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((commit, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await answer

    async def _send(self) -> None:
        await asyncio.sleep(_MOMENT_SECONDS)
        while self._waiting:
            together, self._waiting = self._waiting, []
            try:
                results = await self._journal.call("commit_all", [commit for commit, _ in together])
            except Exception as error:  # noqa: BLE001 - each source is told, and says what becomes of it
                for _, answer in together:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for (_, answer), result in zip(together, results, strict=True):
                    if not answer.done():  # whoever waited may be gone
                        answer.set_result(result)
        self._sender = None
