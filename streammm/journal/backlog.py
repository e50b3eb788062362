"""What lies in memory: rows that some sink has not had yet, of which there may be only so many."""

from __future__ import annotations

from collections.abc import Collection

_MAX_UNREAD = 10_000


class Backlog:
    """How many entries were made, and how far each sink has come, where a journal is in memory."""

    def __init__(self) -> None:
        self._num_added = 0
        self._read_up_to: dict[str, int] = {}

    def add(self, num_entries: int) -> None:
        """Notes entries."""
        self._num_added += num_entries

    def move(self, sink: str, position: int) -> int:
        """Notes how far a sink is; the position up to which every sink has had all, which may go."""
        self._read_up_to[sink] = position
        return min(self._read_up_to.values())

    def leave_out(self, sinks: Collection[str]) -> None:
        """Waits for some sinks no more."""
        self._read_up_to = {name: at for name, at in self._read_up_to.items() if name not in sinks}

    def has_room(self) -> bool:
        """False where writers must wait for the sinks."""
        return not self._read_up_to or self._num_added - min(self._read_up_to.values()) < _MAX_UNREAD
