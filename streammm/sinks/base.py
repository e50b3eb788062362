"""What every sink is: a reader of the journal with a cursor of its own, which gets every entry once and in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from streammm.journal import Entry


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
