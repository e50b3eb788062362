"""How each source stands that is not over: which shard is at it, and what becomes of one that is to leave."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from streammm.errors import SourceError, StreammmError
from streammm.journal import REMOVED
from streammm.media.address import public_name
from streammm_workers.handle import Handle, WorkerDiedError
from streammm_workers.register import Register
from streammm_workers.tally import Tally
from streammm_workers.todo import Todo

_MAX_GIVEN_UP = 4096
"""So many that were given up are known, to be tried again."""

_Leaves = Literal["", "paused", "removed", "again"]

_WORDS: dict[_Leaves, str] = {"": "working", "again": "working", "paused": "pausing", "removed": "removing"}


class StandingError(StreammmError):
    """What is asked for does not fit how a source, or the run, stands."""


@dataclass(slots=True)
class Working:
    """A source that a shard is at; ``leaves_as`` is what becomes of it once it has drained, where it was asked to."""

    source: str
    shard: Handle
    leaves_as: _Leaves = ""


class Standing:
    """``working`` are those under way by name, ``given_up`` those of this run that were, each with the reason.

    Args:
        journal: handle of the journal.
        todo: where those wait that are not under way.
        register: who knows which of them are live.
        tally: who counts those that are removed, and come back.
    """

    def __init__(self, journal: Handle, todo: Todo, register: Register, tally: Tally) -> None:
        self.working: dict[str, Working] = {}
        self.given_up: dict[str, tuple[str, str]] = {}
        self._journal = journal
        self._todo = todo
        self._register = register
        self._tally = tally

    def begin(self, source: str, shard: Handle) -> Working:
        """A shard is at a source from now on."""
        working = self.working[public_name(source)] = Working(source, shard)
        return working

    async def end(self, working: Working, has_left: bool) -> None:
        """A shard is at a source no more; it becomes what it was asked to, if it has left."""
        name = public_name(working.source)
        del self.working[name]
        if has_left:
            await self._note_left(name, working.source, working.leaves_as)

    def give_up(self, error: SourceError) -> None:
        """Remembers a source under way that was given up."""
        if (working := self.working.get(error.source)) is not None and len(self.given_up) < _MAX_GIVEN_UP:
            self.given_up[error.source] = (working.source, error.reason)

    async def leave(self, name: str, leaves_as: Literal["paused", "removed"]) -> None:
        """Lets a source come to a stop, or wait no more.

        Raises:
            StandingError: it is neither under way nor waiting.
        """
        if (working := self.working.get(name)) is not None:
            working.leaves_as = leaves_as
            await self._drain(name, working)
            return
        if (source := self._todo.find(name)) is None:
            raise StandingError(f"{name} is neither under way nor waiting")
        async with self._todo.held():
            self._todo.take_out(source, self._register.is_live(name))  # the place that was made for it
            await self._note_left(name, source, leaves_as)

    async def drain_leaving(self) -> None:
        """Asks once more for those that are to leave: a shard that was made anew knows nothing of it."""
        for name, working in list(self.working.items()):
            if working.leaves_as:
                await self._drain(name, working)

    async def remove(self, name: str) -> None:
        """Leaves a source out from here on that is not under way."""
        await self._journal.call("remove", name)
        self._tally.skip(name, REMOVED, "removed by hand")

    def come_back(self, name: str, status: str) -> None:
        """Takes back what was counted of a source that was removed or given up, in this run or before."""
        if self._register.forget(name):
            _, reason = self.given_up.pop(name, (None, None))
            self._tally.take_back(status, reason)

    def words(self, most: int) -> dict[str, str]:
        """See `ByHand.standing`."""
        found = {name: _WORDS[one.leaves_as] for name, one in self.working.items()}
        found |= dict.fromkeys(self._todo.paused, "paused")
        for source in self._todo.first(most - len(found)):
            found.setdefault(public_name(source), "waiting")
        return found

    async def _drain(self, name: str, working: Working) -> None:
        with suppress(WorkerDiedError):
            await working.shard.call("drain_source", name)

    async def _note_left(self, name: str, source: str, left_as: _Leaves) -> None:
        if left_as == "paused":
            self._todo.pause(name, source)
        elif left_as == "removed":
            await self.remove(name)
        elif left_as == "again":
            self._todo.put_back(source, is_first=True)
            self._register.make_room_for(name)
