"""What may be done to the sources of a run while it goes on: they are added, paused, resumed and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streammm.media.address import public_name
from streammm_workers.handle import Handle
from streammm_workers.register import Register
from streammm_workers.shards import Shards
from streammm_workers.standing import Standing, StandingError
from streammm_workers.todo import Todo


class ByHand:
    """A run in the hands of whoever attends to it.

    Args:
        journal: handle of the journal.
        todo, register, standing, shards: parts of the run.
    """

    def __init__(self, journal: Handle, todo: Todo, register: Register, standing: Standing, shards: Shards) -> None:
        self._journal = journal
        self._todo = todo
        self._register = register
        self._standing = standing
        self._shards = shards

    async def add(self, found: Sequence[Any]) -> dict[str, str]:
        """Takes up more sources, each a source or a `Skipped` one; what was removed or given up begins again.

        Returns:
            The status of each in the journal, by name: `TODO` where it is taken up now.

        Raises:
            StandingError: the run comes to its end.
        """
        if self._todo.is_stopping or self._todo.is_done():
            raise StandingError("the run comes to its end and takes no more sources")
        sources = {public_name(item): item for item in found if isinstance(item, str)}
        async with self._todo.held():
            has_secret = any(name != source for name, source in sources.items())
            await self._journal.call("name_sources", None if has_secret else list(sources.values()))
            for name in sources:
                if name not in self._standing.working and (status := await self._journal.call("put_back", name)):
                    self._standing.come_back(name, status)
            return await self._register.take_up(found)

    async def pause(self, name: str) -> None:
        """Lets a source come to a stop and leaves it alone until it is resumed; its place is in the journal.

        Raises:
            StandingError: it is neither under way nor waiting.
        """
        if name not in self._todo.paused:
            await self._standing.leave(name, "paused")

    async def resume(self, name: str) -> None:
        """Takes up a source again that was paused, or one that was given up.

        Raises:
            StandingError: it is neither.
        """
        if name in self._standing.given_up:
            source, _ = self._standing.given_up[name]
            await self.add([source])
            return
        if (working := self._standing.working.get(name)) is not None and working.leaves_as == "paused":
            working.leaves_as = "again"
            return
        if name not in self._todo.paused:
            raise StandingError(f"{name} is not paused")
        await self._todo.resume(name)
        self._register.make_room_for(name)

    async def remove(self, name: str) -> None:
        """Lets a source come to a stop and leaves it out from here on; what was made of it stays.

        Raises:
            StandingError: it is neither under way nor waiting nor paused.
        """
        if name in self._todo.paused:
            async with self._todo.held():
                self._todo.drop(name)
                await self._standing.remove(name)
        else:
            await self._standing.leave(name, "removed")

    def standing(self, most: int = 200) -> dict[str, str]:
        """How sources stand that are not over, by name, those under way first: ``working``, ``pausing``, ``removing``,
        ``paused``, ``waiting``."""
        return self._standing.words(most)

    async def pictures(self) -> dict[str, bytes]:
        """See `Shards.pictures`."""
        return await self._shards.pictures()
