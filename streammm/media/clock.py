"""The one clock of a source: timestamps of any of its streams -> seconds since the start of the source.

Between the demuxer and the segmenter. Timestamps stay integers with a rational time base until the last step, so that
the times of a week-long source are as exact as those of its first second. Jumps are found and mended in the packets,
before anything is decoded, so that a reader who decodes only a part comes to the same times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import av

_WRAP = Fraction(2**33, 90_000)
"""After how many seconds the 33-bit timestamps of an MPEG transport or program stream start again at zero."""

_OUTAGE_TOLERANCE = 3
"""A live stream that is silent for a while and then goes on that much later, within 3 s, has not jumped."""


@dataclass(slots=True)
class _Run:
    """Packets of one stream that follow one another without a jump, in ticks of its time base."""

    time_base: Fraction
    begin: int
    last: int
    end: int
    least_step: int
    most_step: int
    shift: int


class Clock:
    """Puts the timestamps of every stream of one source onto [0, duration).

    A stream whose time jumps back by more than a second, or ahead by more than `max_step_seconds`, has been restarted
    or damaged: it goes on where the latest stream ends, and the other streams follow into the same new epoch when they
    jump, so that picture and sound stay together.

    Args:
        origin: the container's start time in seconds, which becomes zero; None where the container has no times, and
            then the first timestamp that is seen is taken. It is the zero that players and the ffmpeg tool show.
        wraps: True for containers whose timestamps have 33 bits, and which may be cut and joined anywhere.
        now: for live sources, the seconds that have passed on the wall since the source's zero. The first timestamp
            is laid there, and so is what follows a jump.
    """

    def __init__(self, origin: Fraction | None, wraps: bool = False, now: Callable[[], float] | None = None) -> None:
        self.origin = None if now else origin
        self.max_step_seconds = 10 if now else 60 if wraps else 3600
        self.num_jumps = 0
        self._wraps = wraps
        self._now = now
        self._reference = self.origin
        self._raw: dict[int, Fraction] = {}
        self._times: dict[int, Fraction] = {}
        self._arrivals: dict[int, float] = {}
        self._epochs: dict[int, int] = {}
        self._runs: dict[int, _Run] = {}
        self._shifts = [Fraction(0)]
        self._end = Fraction(0)

    def place(self, packet: av.Packet[Any]) -> None:
        """Rewrites the timestamps of the next packet of a stream so that jumps and wraps are gone."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        shown = packet.pts if packet.pts is not None else stamp
        run = self._runs.get(packet.stream_index)
        if run is None or not run.least_step <= stamp - run.last <= run.most_step:
            run = self._look_closely(packet, stamp, shown)
        run.last = stamp
        run.end = max(run.end, shown + (packet.duration or 0))
        if self._now:
            self._arrivals[packet.stream_index] = self._now()
        if run.shift:
            packet.pts = None if packet.pts is None else packet.pts + run.shift
            packet.dts = None if packet.dts is None else packet.dts + run.shift

    def _look_closely(self, packet: av.Packet[Any], stamp: int, shown: int) -> _Run:
        """At the first packet of a stream, and where its time has jumped: what the time of the next ones is off by."""
        self._catch_up()
        time_base = packet.time_base
        ahead, duration = (shown - stamp) * time_base, (packet.duration or 0) * time_base
        shift = self.shift(packet.stream_index, stamp * time_base, ahead, duration)
        run = _Run(
            time_base=time_base,
            begin=stamp,
            last=stamp,
            end=shown,
            least_step=-int(1 / time_base),
            most_step=int(self.max_step_seconds / time_base),
            shift=round(shift / time_base),
        )
        self._runs[packet.stream_index] = run
        return run

    def _catch_up(self) -> None:
        """Brings the exact times up to where the packets are."""
        for stream, run in self._runs.items():
            passed = (run.last - run.begin) * run.time_base
            self._raw[stream] += passed
            self._times[stream] += passed
            self._end = max(self._end, (run.end + run.shift) * run.time_base - (self.origin or 0))
            run.begin = run.last

    def shift(
        self, stream: int, raw: Fraction, ahead: Fraction = Fraction(0), duration: Fraction = Fraction(0)
    ) -> Fraction:
        """By how much the time of the next packet of a stream is off, seconds.

        Args:
            stream: index of the stream.
            raw: when the packet is decoded.
            ahead: how much later it is shown.
            duration: how long it is shown.
        """
        if self.origin is None:
            self.origin = raw - (Fraction(self._now()) if self._now else 0)
            self._reference = raw
        before = raw
        if self._wraps and (near := self._raw.get(stream, self._reference)) is not None:
            raw += round((near - raw) / _WRAP) * _WRAP
        self._raw[stream] = raw
        time = raw - self.origin + self._shifts[self._epochs.setdefault(stream, len(self._shifts) - 1)]
        last = self._times.get(stream, time)
        if not -1 <= time - last <= self.max_step_seconds and not self._was_away(stream, time - last):
            time = self._jump(stream, time, last, ahead)
        self._times[stream] = time
        self._end = max(self._end, time + ahead + duration)
        if self._now:
            self._arrivals[stream] = self._now()
        return raw - before + self._shifts[self._epochs[stream]]

    def seconds(self, pts: int, time_base: Fraction) -> Fraction:
        """The time of a timestamp that was placed; may be negative for what lies before the start."""
        time = pts * time_base
        return time - self.origin if self.origin else time

    def in_seconds(self, time_base: Fraction) -> Callable[[int], float]:
        """`seconds` as a function that gives the nearest float: in whole numbers, since every packet asks.

        To be made when something was placed.
        """
        origin = self.origin or Fraction(0)
        whole = lcm(time_base.denominator, origin.denominator)
        per_tick = time_base.numerator * (whole // time_base.denominator)
        first = origin.numerator * (whole // origin.denominator)
        return lambda pts: (pts * per_tick - first) / whole

    def move(self, seconds: Fraction) -> None:
        """Lets everything that follows be later by so much: a live source whose own clock is off."""
        self._catch_up()
        self._runs.clear()
        self.num_jumps += 1
        self._shifts.append(self._shifts[-1] + seconds)
        for stream in self._epochs:
            self._epochs[stream] = len(self._shifts) - 1
            self._times[stream] += seconds
        self._end += seconds

    def _was_away(self, stream: int, step: Fraction) -> bool:
        """True where the wall's clock moved on as far as the stream's: nothing came, and nothing jumped."""
        if self._now is None or step < 0:
            return False
        return abs(self._now() - self._arrivals[stream] - step) < _OUTAGE_TOLERANCE

    def _jump(self, stream: int, time: Fraction, last: Fraction, ahead: Fraction) -> Fraction:
        """Moves a stream into the next epoch that fits, or into a new one that goes on at the latest time."""
        self.num_jumps += 1
        epoch = self._epochs[stream]
        bare = time - self._shifts[epoch]
        for later in range(epoch + 1, len(self._shifts)):
            if -1 <= bare + self._shifts[later] - last <= self.max_step_seconds:
                self._epochs[stream] = later
                return bare + self._shifts[later]
        goes_on = max(self._end, Fraction(self._now())) if self._now else self._end
        self._shifts.append(goes_on - ahead - bare)
        self._epochs[stream] = len(self._shifts) - 1
        return goes_on - ahead


class FrameTimes:
    """Gives every decoded picture of one stream a time, also those that come without.

    Raw streams carry no timestamps and AVI has them in the wrong order where pictures are reordered: there the
    decoding timestamps, which are in order, serve instead. A picture without any follows the one before at the nominal
    rate.
    """

    def __init__(self, clock: Clock, stream: av.VideoStream, use_dts: bool) -> None:
        self._clock = clock
        self._time_base = stream.time_base
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        self.period = 1 / Fraction(rate) if rate > 0 else Fraction(1, 25)
        self.use_dts = use_dts
        self._first_dts: int | None = None
        self._last = Fraction(0), Fraction(0)

    @property
    def is_anchored(self) -> bool:
        """True once it is known where the decoding timestamps begin, if they are what counts."""
        return not self.use_dts or self._first_dts is not None

    def span(self, frame: av.VideoFrame) -> tuple[Fraction, Fraction]:
        """Start of a picture on the source's clock and how long it says it is shown, in seconds."""
        time_base = frame.time_base or self._time_base
        stamp = frame.pts
        if self.use_dts and frame.dts is not None:
            if self._first_dts is None:
                self._first_dts = frame.dts
            stamp = frame.dts - self._first_dts
        if stamp is None or time_base is None:
            start = sum(self._last, Fraction(0))
        elif self.use_dts:
            start = stamp * time_base
        else:
            start = self._clock.seconds(stamp, time_base)
        duration = frame.duration * time_base if frame.duration and time_base else self.period
        duration = min(duration, Fraction(self._clock.max_step_seconds))
        self._last = start, duration
        return start, duration
