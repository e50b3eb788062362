"""When the reader of a live source may sleep: packets then pile up and are done with in one go.

To wake up for a packet costs more than the packet does, and none is wanted before the one that completes a segment.
"""

from __future__ import annotations

from collections import deque

_LONGEST_SECONDS = 0.5
_SHARE_OF_LAG = 0.25
"""How long a nap may be of the lag from which pictures are left out: what has piled up looks as if it lagged."""

_LEAST_SECONDS = 0.02
_AHEAD_SECONDS = 0.03
"""So long before a segment can be complete the reader is awake."""

_WAITED_SECONDS = 0.002
"""Whoever waits that long for a packet has read all that was there."""

_MOST_BYTES = 64 * 1024
"""No more than this is to pile up, the least that a connection has room for."""

_KNOWN = 8
_EARLIER_SECONDS = 0.1
"""A packet that was there already may have come that much earlier: so the time at which it comes is found again."""


class Naps:
    """Says how long to sleep after a packet.

    Args:
        started: when reading began, seconds on the source's clock, as are all times here.
        bearable_lag_seconds: a lag of which nothing comes.
    """

    def __init__(self, started: float, bearable_lag_seconds: float) -> None:
        self._started = started
        self._longest_seconds = min(_LONGEST_SECONDS, _SHARE_OF_LAG * bearable_lag_seconds)
        self._num_bytes = 0
        self._was_there = False
        self._delays: deque[float] = deque(maxlen=_KNOWN)

    def note(self, num_bytes: int, waited_seconds: float) -> None:
        """Takes a packet, for which one had to wait so long."""
        self._num_bytes += num_bytes
        self._was_there = waited_seconds < _WAITED_SECONDS

    def complete(self, now: float, end: float) -> None:
        """Takes that a segment which ends at ``end`` is complete with the last packet."""
        self._delays.append(now - end - (_EARLIER_SECONDS if self._was_there else 0.0))

    def seconds(self, now: float, next_end: float) -> float:
        """How long to sleep after a packet, 0 for not at all: more may be there.

        Not before two segments have shown how long after its end one is complete, and not where the next is due.
        """
        if self._was_there or len(self._delays) < 2:
            return 0.0
        due = next_end + min(self._delays) - _AHEAD_SECONDS
        fills = _MOST_BYTES * (now - self._started) / max(1, self._num_bytes)
        seconds = min(self._longest_seconds, due - now, fills)
        return seconds if seconds >= _LEAST_SECONDS else 0.0
