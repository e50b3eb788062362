"""The journal on Ray: an actor of its own, which all shards and the driver share.

Ray imports the class of an actor wherever it is called, and SQLAlchemy takes a while: here it is needed by the actor
alone, which in turn needs nothing else that a shard does.
"""

from __future__ import annotations

from typing import Any

from streammm import journal
from streammm_workers.handle import ActorHandle

JOURNAL = "journal"
"""Its name, in the namespace of a run."""


class JournalActor:
    """Calls the methods of a `Journal`."""

    def __init__(self, *arguments: str) -> None:
        self._journal = journal.Journal(*arguments)

    def call(self, method: str, *args: Any) -> Any:
        """Calls one of them."""
        return getattr(self._journal, method)(*args)


class JournalHandle(ActorHandle):
    """The journal by its name, once it is first called: the first shard is made before there is one."""

    def __init__(self, actor: Any = None) -> None:
        super().__init__(actor)

    async def call(self, method: str, *args: Any, num_returns: int = 1, limit_seconds: float | None = None) -> Any:
        if self._actor is None:
            import ray

            self._actor = ray.get_actor(JOURNAL)
        return await super().call("call", method, *args, num_returns=num_returns, limit_seconds=limit_seconds)
