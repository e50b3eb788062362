"""How far a live source's decoding is behind the wall's clock, and what is left out to catch up."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

from streammm.media.options import LiveOptions

_MINUTES = 10
"""The least lag of the last ten minutes is taken as that of the way here: clocks drift by some 60 ms in that time."""

_SETTLE_SECONDS = 10.0
"""Servers send what they have stored at once, and for so long the lag is not yet that of the way."""

_SKIPS: dict[str, Literal["DEFAULT", "NONREF", "NONKEY"]] = {"none": "DEFAULT", "nonref": "NONREF", "nonkey": "NONKEY"}


class Lag:
    """Takes the wall's time and the source's time of every packet.

    The lag counts from the least of the last minutes, since nobody knows how long a packet has been on its way. It
    goes by what the decoder has got to, not by who takes the segments.
    """

    def __init__(self, options: LiveOptions) -> None:
        self._options = options
        self._minima: deque[tuple[int, float]] = deque()
        self._first: float | None = None
        self._started = self._now = math.nan
        self.seconds = 0.0
        self.shed = "none"
        self.num_steps = 0

    @property
    def least(self) -> float:
        """The wall's time less the source's, when nothing lagged."""
        return min((value for _, value in self._minima), default=0.0)

    @property
    def skips(self) -> Literal["DEFAULT", "NONREF", "NONKEY"]:
        """What the decoder leaves out now, in FFmpeg's word."""
        return _SKIPS[self.shed]

    @property
    def is_hopeless(self) -> bool:
        """True where leaving out pictures has not helped."""
        return self.seconds > self._options.reopen_lag_seconds

    def note(self, now: float, time: float) -> None:
        """Takes a packet of ``time`` on the source's clock that was decoded at ``now`` on the wall's."""
        self._started, self._now = (now if math.isnan(self._started) else self._started), now
        minute, value = int(now // 60), now - time
        if self._minima and self._minima[-1][0] == minute:
            self._minima[-1] = minute, min(value, self._minima[-1][1])
        else:
            self._minima.append((minute, value))
            while self._minima[0][0] <= minute - _MINUTES:
                self._minima.popleft()
        self.seconds = value - self.least
        self._choose()

    def _choose(self) -> None:
        shed = self.shed
        if self.seconds > self._options.nonkey_lag_seconds:
            shed = "nonkey"
        elif self.seconds > self._options.nonref_lag_seconds and shed == "none":
            shed = "nonref"
        elif self.seconds < self._options.restore_lag_seconds:
            shed = "none"
        if shed != self.shed:
            self.shed = shed
            self.num_steps += 1

    def drift(self, tolerance_seconds: float) -> float:
        """By how much the source's clock has come off the wall's, where that is more than it may be; then it counts
        as mended."""
        if not self._now - self._started > _SETTLE_SECONDS:
            return 0.0
        if self._first is None:
            self._first = self.least
        off = self.least - self._first
        if abs(off) <= tolerance_seconds:
            return 0.0
        self._minima = deque((minute, value - off) for minute, value in self._minima)
        return off
