"""What every sink is: a reader of the journal with a cursor of its own, which gets every entry once and in order.

A `Sink` belongs to a run: what it cannot write ends the run. An `Outlet` leads out of it, to a server or a file that
others read: what it cannot write waits in the journal, and nothing else waits for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from streammm.errors import StreammmError
from streammm.journal import Entry

KINDS = ("row", "event", "quarantine")
"""What an outlet may be told."""


class Sink(Protocol):
    """Takes what is committed. ``name`` tells its cursor from those of other sinks of the run."""

    name: str

    def start(self, position: int, mark: Any) -> int:
        """Makes ready to go on where the journal says that this sink was, and takes back what it has beyond that.

        Args:
            position: of the last entry that it is known to have; 0 at the beginning.
            mark: what `write` returned then.

        Returns:
            After which position to read: this one, or 0 if it has to be told everything again.
        """

    def write(self, entries: Sequence[Entry]) -> Any:
        """Takes the next entries; they are safe when this returns.

        Returns:
            A mark, of plain JSON types.
        """

    def close(self) -> None:
        """Lets go of what it writes to."""


class UnreachableError(StreammmError):
    """An outlet cannot be written now, and may be later. ``retry_seconds`` is how long it asks to be left alone."""

    def __init__(self, detail: str, retry_seconds: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


@dataclass(frozen=True, slots=True)
class Written:
    """What became of entries: a mark of plain JSON types, and by position why some of them will never be taken.

    ``num_told`` is how many were passed on, None where that is all others.
    """

    mark: Any = None
    refused: Mapping[int, str] = field(default_factory=dict)
    num_told: int | None = None


class Outlet(Protocol):
    """Takes what is committed to where others read it.

    Attributes:
        name: tells its cursor from those of others; made from its address, without secrets.
        kinds: the kinds of entries that it is told.
        batch_entries: how many it takes at once, at most.
        linger_seconds: how long fewer than that may wait for more.
    """

    name: str
    kinds: tuple[str, ...]
    batch_entries: int
    linger_seconds: float

    def start(self, position: int, mark: Any, run: str) -> int:
        """As `Sink.start`; also after every failure. ``run`` tells this run from all others.

        Raises:
            UnreachableError, OSError: not now.
        """

    def write(self, entries: Sequence[Entry]) -> Written:
        """Takes the next entries; they are safe when this returns, but those that it says are refused.

        Raises:
            UnreachableError, OSError: not now; some of them may have been taken all the same, and come again.
        """

    def close(self) -> None:
        """Lets go of what it writes to; `start` may follow."""


def entry_id(entry: Entry, data: Mapping[str, Any]) -> str:
    """The id of what an entry tells, the same whenever and however often it is told."""
    if isinstance(found := data.get("id"), str):
        return found
    key = f"{entry.kind}\0{entry.source}\0{entry.segment}"
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]


def data_of(entry: Entry) -> dict[str, Any]:
    """What an entry tells, as plain JSON types."""
    found: dict[str, Any] = json.loads(entry.text)
    return found
