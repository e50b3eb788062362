"""Which of the decoded pictures are kept: the one that is shown at each sampling instant.

Instants lie at the centres of equal bins, (n + 1/2) / rate, on the source's clock. They do not depend on where
segments begin, so overlapping segments share pictures and a variable frame rate needs no special case.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
import av.error
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]


class PictureSampler:
    """Holds the last decoded picture until the next one starts, and converts only those that an instant falls on.

    Args:
        rate_hz: instants a second.
        convert: decoded picture -> uint8 [H, W, 3].
        skip_seconds: instants before this time are passed over without converting anything.
        max_hold_seconds: how long a picture stays when none follows; by default for ever, as players show it.
    """

    def __init__(
        self,
        rate_hz: Fraction,
        convert: Callable[[av.VideoFrame], Picture],
        skip_seconds: Fraction,
        max_hold_seconds: Fraction | None = None,
    ) -> None:
        self._rate_hz = rate_hz
        self._max_hold = max_hold_seconds
        self._convert = convert
        self._next = max(0, _ceil(skip_seconds * rate_hz - Fraction(1, 2)))
        self._next_seconds = self._seconds(self._next)
        self._taken: dict[int, tuple[float, Picture]] = {}
        self._held: av.VideoFrame | None = None
        self._held_start = Fraction(0)
        self._held_end = Fraction(0)
        self._held_picture: Picture | None = None
        self.num_out_of_order = 0
        self.num_unconvertible = 0

    @property
    def level(self) -> Fraction | None:
        """Every instant before this time is decided; None before the first picture."""
        return self._held_start if self._held is not None else None

    @property
    def decided(self) -> Fraction | None:
        """The first instant that is not decided; None before the first picture."""
        return self._next_seconds if self._held is not None else None

    @property
    def end(self) -> Fraction:
        """When the last picture stops being shown."""
        return self._held_end

    def push(self, start: Fraction, duration: Fraction, frame: av.VideoFrame) -> bool:
        """Takes the next decoded picture, shown from ``start`` on; one that starts before the last is counted only.

        Returns:
            False if the picture came out of order and was dropped.
        """
        if self._held is not None and start <= self._held_start:
            self.num_out_of_order += 1
            return False
        if self._max_hold is None:
            self._settle(start)
        else:
            self._settle(min(start, self._held_start + max(self._max_hold, 2 * (self._held_end - self._held_start))))
            self._pass_over(start)
        self._held, self._held_picture = frame, None
        self._held_start, self._held_end = start, start + duration
        return True

    def hold_until(self, end: Fraction) -> None:
        """The last picture is shown at least until a time: those that followed were left out."""
        if self._held is not None:
            self._held_end = max(self._held_end, end)

    def flush(self) -> None:
        """No picture follows: the last one is shown for as long as it says."""
        self._settle(self._held_end)

    def between(self, start: Fraction, end: Fraction) -> tuple[list[float], list[Picture]]:
        """Presentation times and pictures of the instants in [start, end)."""
        found = [self._taken[n] for n in self.instants(start, end) if n in self._taken]
        return [seconds for seconds, _ in found], [picture for _, picture in found]

    def instants(self, start: Fraction, end: Fraction) -> range:
        """The numbers of the instants in [start, end)."""
        return range(_ceil(start * self._rate_hz - Fraction(1, 2)), _ceil(end * self._rate_hz - Fraction(1, 2)))

    def last(self) -> tuple[float, Picture] | None:
        """The last picture, whether an instant fell on it or not; for a tail too short for an instant."""
        return None if self._held is None else self._hold()

    def forget(self, before: Fraction) -> None:
        """Drops the pictures of all instants before a time."""
        for n in [n for n in self._taken if self._seconds(n) < before]:
            del self._taken[n]

    def _settle(self, until: Fraction) -> None:
        """Gives every open instant before ``until`` the picture that is held, or none if it lies before that one."""
        if until <= self._next_seconds:
            return
        stop = _ceil(until * self._rate_hz - Fraction(1, 2))
        if self._held is not None:
            first = max(self._next, _ceil(self._held_start * self._rate_hz - Fraction(1, 2)))
            for n in range(first, stop):
                if (held := self._hold()) is not None:
                    self._taken[n] = held
        self._pass_over(until)

    def _pass_over(self, until: Fraction) -> None:
        """Leaves the open instants before ``until`` as they are."""
        if until > self._next_seconds:
            self._next = max(self._next, _ceil(until * self._rate_hz - Fraction(1, 2)))
            self._next_seconds = self._seconds(self._next)

    def _seconds(self, n: int) -> Fraction:
        return (n + Fraction(1, 2)) / self._rate_hz

    def _hold(self) -> tuple[float, Picture] | None:
        """The picture that is held, converted once; None, and counted, if it cannot be."""
        if self._held_picture is None and self._held is not None:
            try:
                self._held_picture = self._convert(self._held)
            except (av.error.FFmpegError, ValueError):
                self.num_unconvertible += 1
                self._held = None
        return None if self._held_picture is None else (float(self._held_start), self._held_picture)


def instants_before(time_base: Fraction, rate_hz: Fraction, origin: Fraction) -> Callable[[int], int]:
    """How many instants lie before a timestamp, as a function of it: in whole numbers, since every packet asks.

    Args:
        time_base: of the timestamps, seconds.
        rate_hz: instants a second.
        origin: where the source's clock begins on that of the timestamps, seconds.
    """
    scale, shift = time_base * rate_hz, origin * rate_hz + Fraction(1, 2)
    per_tick, first = scale.numerator * shift.denominator, shift.numerator * scale.denominator
    whole = scale.denominator * shift.denominator
    return lambda pts: -((first - pts * per_tick) // whole)


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
