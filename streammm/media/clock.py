"""The one clock of a source: pts of any of its streams -> seconds since the start of the source.

Between the decoder and the segmenter. Pts stay integers with a rational time base until the last step, so that the
times of a week-long source are as exact as those of its first second.
"""

from __future__ import annotations

from fractions import Fraction

import av

_WRAP = Fraction(2**33, 90_000)
"""After how many seconds the 33-bit timestamps of an MPEG transport or program stream start again at zero."""


class Clock:
    """Maps timestamps of every stream of one source onto [0, duration).

    Args:
        origin: the container's start time in seconds, which becomes zero; None where the container has no times, and
            then the first timestamp that is seen is taken. It is the zero that players and the ffmpeg tool show.
        wraps: True for containers whose timestamps have 33 bits.
    """

    def __init__(self, origin: Fraction | None, wraps: bool = False) -> None:
        self.origin = origin
        self._wraps = wraps
        self._last: dict[int, Fraction] = {}

    def seconds(self, stream: int, pts: int, time_base: Fraction) -> Fraction:
        """The time of a timestamp of a stream; may be negative for what lies before the start."""
        raw = pts * time_base
        if self.origin is None:
            self.origin = raw
        if self._wraps and stream in self._last:
            raw += round((self._last[stream] - raw) / _WRAP) * _WRAP
        self._last[stream] = raw
        return raw - self.origin if self.origin else raw


class FrameTimes:
    """Gives every decoded picture of one stream a time, also those that come without.

    Raw streams carry no timestamps and AVI has them in the wrong order where pictures are reordered: there the
    decoding timestamps, which are in order, serve instead. A picture without any follows the one before at the nominal
    rate.
    """

    def __init__(self, clock: Clock, stream: av.VideoStream, use_dts: bool) -> None:
        self._clock = clock
        self._index = stream.index
        self._time_base = stream.time_base
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        self._period = 1 / Fraction(rate) if rate > 0 else Fraction(1, 25)
        self._use_dts = use_dts
        self._first_dts: int | None = None
        self._last = Fraction(0), Fraction(0)

    def span(self, frame: av.VideoFrame) -> tuple[Fraction, Fraction]:
        """Start of a picture on the source's clock and how long it says it is shown, in seconds."""
        time_base = frame.time_base or self._time_base
        stamp = frame.pts
        if self._use_dts and frame.dts is not None:
            if self._first_dts is None:
                self._first_dts = frame.dts
            stamp = frame.dts - self._first_dts
        if stamp is None or time_base is None:
            start = sum(self._last, Fraction(0))
        else:
            start = self._clock.seconds(self._index, stamp, time_base)
        duration = frame.duration * time_base if frame.duration and time_base else self._period
        self._last = start, duration
        return start, duration
