"""Decoded pieces of sound -> the waveform of any window, placed on the source's clock, with what is missing known.

What a window holds depends only on the pieces that lie in it, never on what was read before: starting in the middle
of a source gives the same samples as reading up to there. So sound is kept at its own rate, each window finds out for
itself where its pieces belong, and resampling starts on a grid that is fixed to the clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.filter.context import FilterContext

from streammm.types import SAMPLE_RATE_HZ

Waveform = npt.NDArray[np.float32]

_TOLERANCE_SECONDS = 0.040
"""Timestamps are rounded (Matroska and FLV to a millisecond) and jitter; a piece starts anew only where it is off by
more than 40 ms, about the least offset between sound and picture that viewers notice (ITU-R BT.1359)."""

MARGIN = Fraction(1, 100)
"""Sound is resampled with 10 ms more at both ends: the filter of libswresample reaches 16 output samples, 1 ms."""


@dataclass(frozen=True, slots=True)
class _Piece:
    start: float  # seconds on the source's clock
    rate_hz: int
    samples: Waveform

    @property
    def end(self) -> float:
        return self.start + len(self.samples) / self.rate_hz


class SoundTrack:
    """Keeps pieces of sound and reads windows back.

    Pieces that follow one another are joined sample by sample, and the whole run is laid where the mean of its
    timestamps says, which takes out their rounding and any slow drift. Where a timestamp is off by more than 40 ms
    there is a gap of zeros, or the part that is already there is dropped.
    """

    def __init__(self) -> None:
        self._pieces: deque[_Piece] = deque()
        self._level: float | None = None
        self.num_overlaps = 0

    @property
    def level(self) -> Fraction | None:
        """Time up to which sound has arrived; None before the first piece."""
        return None if self._level is None else Fraction(self._level)

    @property
    def level_seconds(self) -> float:
        """The same as a plain number, minus infinity before the first piece."""
        return -math.inf if self._level is None else self._level

    def push(self, start: Fraction | float | None, samples: Waveform, rate_hz: int = SAMPLE_RATE_HZ) -> int:
        """Takes the next piece, float32 [N] at ``rate_hz``, starting at ``start`` or, if None, where the last ended.

        Returns:
            How many of its samples will be dropped, because there is sound at their time already.
        """
        at = float(start) if start is not None else max(0.0, self.level_seconds)
        piece = _Piece(at, rate_hz, samples)
        num_dropped = 0
        if self._level is not None and at < self._level - _TOLERANCE_SECONDS:
            self.num_overlaps += 1
            num_dropped = min(len(samples), round((self._level - at) * rate_hz))
        self._pieces.append(piece)
        self._level = max(self.level_seconds, piece.end)
        return num_dropped

    def between(self, start: Fraction, end: Fraction) -> tuple[Waveform, float]:
        """Waveform float32 [N] at 16 kHz of [start, end), zeros where nothing arrived, and the share that did."""
        first, stop = round(start * SAMPLE_RATE_HZ), round(end * SAMPLE_RATE_HZ)
        waveform = np.zeros(stop - first, np.float32)
        filled = first
        covered = 0
        for run in self._runs(float(start - MARGIN), float(end + MARGIN)):
            low, high = max(run.first_output, filled), min(run.stop_output, stop)
            if low < high:
                waveform[low - first : high - first] = run.resampled(low, high)
                covered += high - low
                filled = high
        return waveform, covered / len(waveform) if len(waveform) else 0.0

    def forget(self, before: Fraction) -> None:
        """Drops the pieces that are of no use to windows that start at a time or later."""
        limit = float(before - MARGIN)
        while self._pieces and self._pieces[0].end <= limit:
            self._pieces.popleft()

    def _runs(self, low: float, high: float) -> Iterator[_Run]:
        """The pieces that touch [low, high), joined where they follow one another, in order of arrival."""
        run: _Run | None = None
        for piece in self._pieces:
            if piece.end <= low or piece.start >= high:
                continue
            if run is None or not run.join(piece):
                if run is not None:
                    yield run
                run = _Run(piece)
        if run is not None:
            yield run


class _Run:
    """Pieces that follow one another without a gap."""

    def __init__(self, piece: _Piece) -> None:
        self._rate_hz = piece.rate_hz
        self._pieces = [piece.samples]
        self._length = len(piece.samples)
        self._sum = piece.start * self._rate_hz

    def join(self, piece: _Piece) -> bool:
        """Appends a piece if it belongs to the run."""
        offset = piece.start * piece.rate_hz - self._length
        tolerance = _TOLERANCE_SECONDS * piece.rate_hz
        if piece.rate_hz != self._rate_hz or abs(offset - self._offset) > tolerance:
            return False
        self._pieces.append(piece.samples)
        self._length += len(piece.samples)
        self._sum += offset
        return True

    @property
    def _offset(self) -> float:
        """Where the run starts, in its own samples since the clock's zero: the mean of what its pieces say."""
        return self._sum / len(self._pieces)

    @property
    def first_output(self) -> int:
        """The first sample at 16 kHz, counted from the clock's zero, that the run covers."""
        return math.ceil(round(self._offset) * SAMPLE_RATE_HZ / self._rate_hz)

    @property
    def stop_output(self) -> int:
        """The sample at 16 kHz after the last."""
        return math.ceil((round(self._offset) + self._length) * SAMPLE_RATE_HZ / self._rate_hz)

    def resampled(self, low: int, high: int) -> Waveform:
        """Samples [low, high) at 16 kHz, counted from the clock's zero."""
        samples = np.concatenate(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
        offset = round(self._offset)
        if self._rate_hz == SAMPLE_RATE_HZ:
            return samples[low - offset : high - offset]
        # The conversion starts at a sample that falls on a sample at 16 kHz, so that its phase is fixed to the clock.
        step = self._rate_hz // math.gcd(self._rate_hz, SAMPLE_RATE_HZ)
        margin = round(MARGIN * self._rate_hz)
        from_native = (math.floor(low * self._rate_hz / SAMPLE_RATE_HZ) - margin) // step * step
        to_native = math.ceil(high * self._rate_hz / SAMPLE_RATE_HZ) + margin
        window = np.zeros(to_native - from_native, np.float32)
        begin, stop = max(from_native, offset), min(to_native, offset + self._length)
        window[begin - from_native : stop - from_native] = samples[begin - offset : stop - offset]
        converted = _resample(window, self._rate_hz)
        skip = low - from_native * SAMPLE_RATE_HZ // self._rate_hz
        return converted[skip : skip + high - low]


_AT_ONCE = 16_384
"""Buffers that malloc keeps; larger ones are mapped anew each time, which costs twice what resampling does."""


def _resample(samples: Waveform, rate_hz: int) -> Waveform:
    """float32 [N] at ``rate_hz`` -> float32 [M] at 16 kHz; sample 0 stays where it is."""
    graph = Graph()
    graph.threads = 1  # else it begins with one for each core
    source = graph.add_abuffer(format="fltp", sample_rate=rate_hz, layout="mono", channels=1)
    wanted = graph.add("aformat", sample_rates=str(SAMPLE_RATE_HZ), sample_fmts="fltp", channel_layouts="mono")
    sink = graph.add("abuffersink")
    graph.link_nodes(source, wanted, sink).configure()
    pieces: list[Waveform] = []
    for i in range(0, len(samples), _AT_ONCE):
        frame = av.AudioFrame.from_ndarray(samples[None, i : i + _AT_ONCE], format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        source.push(frame)
        pieces += _pulled(sink)
    source.push(None)
    pieces += _pulled(sink)
    return np.concatenate(pieces)


def _pulled(sink: FilterContext) -> Iterator[Waveform]:
    """What there is at the end of a graph, float32 [N] each."""
    with suppress(BlockingIOError, EOFError):
        while True:
            frame: Any = sink.pull()
            yield np.frombuffer(memoryview(frame.planes[0]), np.float32, frame.samples)


_HALF_POWER = np.float32(math.sqrt(0.5))


class Downmix:
    """Decoded sound of any format and layout -> float32 [N], one channel at its own rate.

    libswresample does it, but for what most decoders make: there the same sums cost a fraction when done here.
    """

    def __init__(self) -> None:
        self._resampler: av.AudioResampler | None = None
        self._rate_hz = 0

    def __call__(self, frame: av.AudioFrame) -> Waveform:
        """One decoded frame; a format that changes in mid-stream is followed.

        Raises:
            av.error.FFmpegError: the frame cannot be converted.
        """
        if frame.format.name == "fltp" and frame.layout.name in ("mono", "stereo"):
            channels = [np.frombuffer(memoryview(plane), np.float32, frame.samples) for plane in frame.planes]
            return channels[0] if len(channels) == 1 else channels[0] * _HALF_POWER + channels[1] * _HALF_POWER
        if self._resampler is None or frame.sample_rate != self._rate_hz:
            self._start(frame)
        assert self._resampler is not None
        try:
            pieces = self._resampler.resample(frame)
        except ValueError:  # the format or the layout changed
            self._start(frame)
            pieces = self._resampler.resample(frame)
        found = [np.frombuffer(memoryview(p.planes[0]), np.float32, p.samples) for p in pieces]
        return found[0] if len(found) == 1 else np.concatenate([np.zeros(0, np.float32), *found])

    def _start(self, frame: av.AudioFrame) -> None:
        self._rate_hz = frame.sample_rate
        self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=frame.sample_rate)
