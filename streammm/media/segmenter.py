"""Pictures, sound and text on one clock -> Segments: exact half-open windows, each modality with its status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from streammm.media.pictures import Picture, PictureSampler
from streammm.media.sound import SoundTrack
from streammm.types import MODALITIES, SAMPLE_RATE_HZ, Cue, Modality, Segment, Status

_LEAST_TAIL = Fraction(1, 10)
"""What is left at the end becomes a segment of its own from 0.1 s on: encoders pad sound by up to two of their frames
(2048 samples, 46 ms at 44.1 kHz), and that padding is not worth a row."""

_SILENCE = 10 ** (-60 / 20)
"""Sound that never exceeds -60 dB of full scale counts as silence."""

_BLACK = 24
"""A picture is black when 99 % of its values are below this: the black of studios with its noise, no detail."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How a source is cut: segment i covers [i * hop, i * hop + length), sampled at ``frames_per_second``."""

    length_seconds: Fraction = Fraction(2)
    hop_seconds: Fraction = Fraction(2)
    frames_per_second: Fraction = Fraction(2)

    def __post_init__(self) -> None:
        if not (0 < self.hop_seconds <= self.length_seconds and self.frames_per_second > 0):
            raise ValueError(f"need 0 < hop <= length and a positive frame rate, got {self}")

    def start(self, index: int) -> Fraction:
        """Where segment ``index`` starts."""
        return index * self.hop_seconds

    def end(self, index: int) -> Fraction:
        """Where segment ``index`` ends, unless the source ends before."""
        return index * self.hop_seconds + self.length_seconds


class Segmenter:
    """Collects what the decoders give and hands out each segment once all its streams have passed its end.

    A stream that falls more than ``max_lead_seconds`` behind the other is no longer waited for; that bounds memory to
    the windows that lie open plus the lead.

    Args:
        source: source id, copied into every segment.
        windows: how to cut.
        streams: the modalities that the source has.
        convert: decoded picture -> uint8 [H, W, 3].
        picture_shape: (H, W) of what ``convert`` returns.
        first_segment: index of the first segment to hand out; nothing is kept for those before it.
        max_lead_seconds: how far one stream may run ahead of another.
    """

    def __init__(
        self,
        source: str,
        windows: Windows,
        streams: frozenset[Modality],
        convert: Callable[[av.VideoFrame], Picture],
        picture_shape: tuple[int, int],
        first_segment: int = 0,
        max_lead_seconds: float = 60.0,
    ) -> None:
        self._source = source
        self._windows = windows
        self._streams = streams
        self._shape = picture_shape
        self._first = self._next = first_segment
        self._expect_end()
        self._max_lead = Fraction(max_lead_seconds)
        self.pictures = PictureSampler(windows.frames_per_second, convert, windows.start(first_segment))
        self.sound = SoundTrack()
        self._cues: list[Cue] = []
        self._cues_end = 0.0
        self._errors: list[tuple[Modality, float]] = []

    @property
    def end(self) -> Fraction:
        """Where what has arrived so far ends, seconds."""
        end = max(self.pictures.end, self.sound.level or Fraction(0))
        return end if self._streams & {"audio", "video"} else max(end, Fraction(self._cues_end))

    def push_picture(self, start: Fraction, duration: Fraction, frame: av.VideoFrame) -> Iterable[Segment]:
        """Takes the next decoded picture; gives the segments that are complete now, each cut when it is asked for."""
        self.pictures.push(start, duration, frame)
        return self._complete() if start >= self._end else ()

    def push_sound(
        self, start: Fraction | None, samples: np.ndarray[tuple[int], np.dtype[np.float32]]
    ) -> Iterable[Segment]:
        """Takes the next piece of sound, float32 [N] at 16 kHz; gives the segments that are complete now."""
        self.sound.push(start, samples)
        if self._next == self._first:
            self.sound.forget(self._windows.start(self._first))
        return self._complete() if self.sound.num_samples >= self._end_sample else ()

    def push_cue(self, cue: Cue) -> None:
        """Takes a piece of timed text, which must come before the segments that it belongs to are complete."""
        self._cues_end = max(self._cues_end, cue.end_seconds)
        if cue.end_seconds > self._windows.start(self._next):
            self._cues.append(cue)

    def push_error(self, modality: Modality, seconds: Fraction | None) -> None:
        """Notes that something of a modality could not be decoded at a time, or, if None, where that stream is now."""
        at = seconds if seconds is not None else (self.sound.level if modality == "audio" else self.pictures.end)
        self._errors.append((modality, float(at or 0)))

    def flush(self) -> Iterator[Segment]:
        """Nothing follows: gives all segments that are left, the last one cut off where the source ends."""
        self.pictures.flush()
        end = self.end
        while end - self._covered() >= _LEAST_TAIL or (self._next == 0 and end > 0):
            yield self._cut(min(self._windows.end(self._next), end))

    def _covered(self) -> Fraction:
        return self._windows.end(self._next - 1) if self._next else Fraction(0)

    def _complete(self) -> Iterator[Segment]:
        while self._is_complete(self._end):
            yield self._cut(self._end)

    def _is_complete(self, end: Fraction) -> bool:
        levels = [
            level or Fraction(0)
            for name, level in (("audio", self.sound.level), ("video", self.pictures.level))
            if name in self._streams
        ]
        return bool(levels) and (min(levels) >= end or max(levels) >= end + self._max_lead)

    def _cut(self, end: Fraction) -> Segment:
        start = self._windows.start(self._next)
        seconds, pictures = self.pictures.between(start, end)
        if not pictures and start < self.pictures.end <= end and (last := self.pictures.last()):
            seconds, pictures = [last[0]], [last[1]]
        waveform, coverage = self.sound.between(start, end)
        cues = tuple(c for c in self._cues if c.start_seconds < end and c.end_seconds > start)
        in_window = [m for m, at in self._errors if start <= at < end]
        num_errors: dict[Modality, int] = {m: in_window.count(m) for m in MODALITIES}
        frames = np.stack(pictures) if pictures else np.zeros((0, *self._shape, 3), np.uint8)
        segment = Segment(
            source=self._source,
            index=self._next,
            start_seconds=float(start),
            end_seconds=float(end),
            frames=frames,
            frame_seconds=np.asarray(seconds, np.float64),
            waveform=waveform if coverage > 0 else waveform[:0],
            audio_coverage=coverage,
            cues=cues,
            status={
                "audio": _sound_status(waveform, coverage, num_errors["audio"]),
                "text": Status.OK if cues else _absent_or_damaged(num_errors["text"]),
                "video": _picture_status(frames, num_errors["video"]),
            },
            amounts={"audio": round(coverage * len(waveform)), "text": len(cues), "video": len(frames)},
            num_errors=num_errors,
            decoded_unix_seconds=time.time(),
        )
        self._next += 1
        self._expect_end()
        self._forget(self._windows.start(self._next))
        return segment

    def _expect_end(self) -> None:
        """Where the next segment ends: until a stream gets there, its frames complete nothing."""
        self._end = self._windows.end(self._next)
        self._end_sample = round(self._end * SAMPLE_RATE_HZ)

    def _forget(self, before: Fraction) -> None:
        self.pictures.forget(before)
        self.sound.forget(before)
        self._cues = [c for c in self._cues if c.end_seconds > before]
        self._errors = [(m, at) for m, at in self._errors if at >= before]


def _absent_or_damaged(num_errors: int) -> Status:
    return Status.DAMAGED if num_errors else Status.ABSENT


def _sound_status(waveform: np.ndarray[tuple[int], np.dtype[np.float32]], coverage: float, num_errors: int) -> Status:
    if num_errors or coverage == 0:
        return _absent_or_damaged(num_errors)
    return Status.SILENT if np.abs(waveform).max() < _SILENCE else Status.OK


def _picture_status(frames: Picture, num_errors: int) -> Status:
    if num_errors or not len(frames):
        return _absent_or_damaged(num_errors)
    return Status.BLACK if (frames[:, ::4, ::4] >= _BLACK).mean() < 0.01 else Status.OK
