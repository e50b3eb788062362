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

    A stream whose time jumps back by more than a second, or ahead by more than `max_step_seconds`, has been restarted
    or damaged: it goes on where the latest stream is, and the other streams follow into the same new epoch when they
    jump, so that picture and sound stay together.

    Args:
        origin: the container's start time in seconds, which becomes zero; None where the container has no times, and
            then the first timestamp that is seen is taken. It is the zero that players and the ffmpeg tool show.
        wraps: True for containers whose timestamps have 33 bits, and which may be cut and joined anywhere.
    """

    def __init__(self, origin: Fraction | None, wraps: bool = False) -> None:
        self.origin = origin
        self.max_step_seconds = 60 if wraps else 3600
        self.num_jumps = 0
        self._wraps = wraps
        self._raw: dict[int, Fraction] = {}
        self._times: dict[int, Fraction] = {}
        self._epochs: dict[int, int] = {}
        self._shifts = [Fraction(0)]

    def seconds(self, stream: int, pts: int, time_base: Fraction) -> Fraction:
        """The time of a timestamp of a stream; may be negative for what lies before the start."""
        raw = pts * time_base
        if self.origin is None:
            self.origin = raw
        if self._wraps and stream in self._raw:
            raw += round((self._raw[stream] - raw) / _WRAP) * _WRAP
        self._raw[stream] = raw
        time = raw - self.origin if self.origin else raw
        if len(self._shifts) > 1:
            time += self._shifts[self._epochs.setdefault(stream, len(self._shifts) - 1)]
        last = self._times.get(stream, time)
        if not -1 <= time - last <= self.max_step_seconds:
            time = self._jump(stream, time, last)
        self._times[stream] = time
        return time

    def _jump(self, stream: int, time: Fraction, last: Fraction) -> Fraction:
        """Moves a stream into the next epoch that fits, or into a new one that goes on at the latest time."""
        self.num_jumps += 1
        epoch = self._epochs.get(stream, 0)
        bare = time - self._shifts[epoch]
        for later in range(epoch + 1, len(self._shifts)):
            if -1 <= bare + self._shifts[later] - last <= self.max_step_seconds:
                self._epochs[stream] = later
                return bare + self._shifts[later]
        latest = max(self._times.values())
        self._shifts.append(latest - bare)
        self._epochs[stream] = len(self._shifts) - 1
        for other in self._times:
            self._epochs.setdefault(other, 0)
        return latest


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
        duration = min(duration, Fraction(self._clock.max_step_seconds))
        self._last = start, duration
        return start, duration
