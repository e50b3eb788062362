"""The last picture of each source of a shard, made only while somebody watches, and never stored."""

from __future__ import annotations

import time

_WATCHED_SECONDS = 5.0
"""Whoever watches asks about once a second; so long after the last question nobody does."""

_EVERY_SECONDS = 1.0
"""A source gives a picture at most this often."""


class Pictures:
    """Pictures that were not taken yet, the last of each source."""

    def __init__(self) -> None:
        self._found: dict[str, bytes] = {}
        self._made: dict[str, float] = {}
        self._asked: float | None = None

    def is_due(self, name: str) -> bool:
        """Whether another picture of a source is wanted by now."""
        now = time.monotonic()
        if self._asked is None or now - self._asked > _WATCHED_SECONDS:
            return False
        return now - self._made.get(name, -_EVERY_SECONDS) >= _EVERY_SECONDS

    def put(self, name: str, jpeg: bytes) -> None:
        """Takes a picture of a source; b"" for none."""
        if jpeg:
            self._found[name] = jpeg
            self._made[name] = time.monotonic()

    def forget(self, name: str) -> None:
        """A source is over."""
        self._found.pop(name, None)
        self._made.pop(name, None)

    def take(self) -> dict[str, bytes]:
        """The pictures since the last time, by source; being asked for them is what has them made."""
        self._asked = time.monotonic()
        found, self._found = self._found, {}
        return found
