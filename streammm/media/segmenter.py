"""Pictures, sound and text on one clock -> Segments: exact half-open windows, each modality with its status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import av
import numpy as np

from streammm.media.cutting import Shots, Windows
from streammm.media.options import SpeechWindow
from streammm.media.pictures import Picture, PictureSampler
from streammm.media.sound import MARGIN, SoundTrack, Waveform
from streammm.types import MODALITIES, Cue, Modality, Segment, Status

_LEAST_TAIL = Fraction(1, 10)
"""What is left at the end becomes a segment of its own from 0.1 s on: encoders pad sound by up to two of their frames
(2048 samples, 46 ms at 44.1 kHz), and that padding is not worth a row."""

_SILENCE = 10 ** (-60 / 20)
"""Sound that never exceeds -60 dB of full scale counts as silence."""

_BLACK = 24
"""A picture is black when 99 % of its values are below this: the black of studios with its noise, no detail."""

_MAX_HOLD = Fraction(1)
"""A live picture is looked at for a second, or twice its own duration, when none follows: then the camera is away."""


class Segmenter:
    """Collects what the decoders give and hands out each segment once all its streams have passed its end.

    A stream that falls more than ``max_lead_seconds`` behind the other is no longer waited for; that bounds memory to
    the segments that lie open plus the lead.

    Args:
        source: source id, copied into every segment.
        windows: how to cut, or where there are ``shots``, how often to look.
        streams: the modalities that the source has.
        convert: decoded picture -> uint8 [H, W, 3].
        picture_shape: (H, W) of what ``convert`` returns.
        first_segment: index of the first segment to hand out; nothing is kept for those before it.
        shots: where to cut instead of at equal windows.
        speech: how much sound around a segment without captions is handed over with it; None: none.
        max_lead_seconds: how far one stream may run ahead of another.
        is_live: the slower stream is late then, not absent, and a picture is not held on to when none follows.
        offset_seconds: how much later sound starts than the picture, copied into every segment.
    """

    def __init__(
        self,
        source: str,
        windows: Windows,
        streams: frozenset[Modality],
        convert: Callable[[av.VideoFrame], Picture],
        picture_shape: tuple[int, int],
        first_segment: int = 0,
        *,
        shots: Shots | None = None,
        speech: SpeechWindow | None = None,
        max_lead_seconds: float = 60.0,
        is_live: bool = False,
        offset_seconds: float = 0.0,
    ) -> None:
        self._source = source
        self._cutting: Windows | Shots = shots or windows
        self._shots = shots
        self._streams = streams
        self._speech = speech
        self._before = speech.before_seconds if speech else Fraction(0)
        self._after = speech.after_seconds if speech else Fraction(0)
        self._shape = picture_shape
        self._first = first_segment
        self._next = 0 if shots else first_segment
        self._skip = self._cutting.start(self._next) if not shots else Fraction(0)
        self._max_lead = Fraction(max_lead_seconds)
        self._is_live = is_live
        self._offset_seconds = offset_seconds
        self.pictures = PictureSampler(windows.frames_per_second, convert, self._skip, _MAX_HOLD if is_live else None)
        self.sound = SoundTrack()
        self._cues: list[Cue] = []
        self._cues_end = 0.0
        self._errors: list[tuple[Modality, float]] = []
        self._dropped: list[tuple[Modality, float, int]] = []
        self._covered = self._cutting.end(self._next - 1) if self._next else Fraction(0)
        self._expect_end()

    @property
    def end(self) -> Fraction:
        """Where what has arrived so far ends, seconds."""
        end = max(self.pictures.end, self.sound.level or Fraction(0))
        return end if self._streams & {"audio", "video"} else max(end, Fraction(self._cues_end))

    @property
    def next_segment(self) -> int:
        """Index of the segment that will be handed out next."""
        return self._next

    def push_picture(self, start: Fraction, duration: Fraction, frame: av.VideoFrame) -> Iterable[Segment]:
        """Takes the next decoded picture; gives the segments that are complete now, each cut when it is asked for."""
        num_unconvertible = self.pictures.num_unconvertible
        if not self.pictures.push(start, duration, frame):
            self._dropped.append(("video", float(start), 1))
        if self.pictures.num_unconvertible > num_unconvertible:
            self.push_error("video", start)
        if self._shots is not None:
            self._shots.push(start, frame)
            self._expect_end()
        return self._complete() if start >= self._end else ()

    def push_sound(
        self, start: Fraction | float | None, samples: np.ndarray[tuple[int], np.dtype[np.float32]], rate_hz: int
    ) -> Iterable[Segment]:
        """Takes the next piece of sound, float32 [N] at ``rate_hz``; gives the segments that are complete now."""
        if num_dropped := self.sound.push(start, samples, rate_hz):
            self._dropped.append(("audio", float(start or 0), num_dropped))
        if self._next == self._first:
            self.sound.forget(self._skip - self._before)
        return self._complete() if self.sound.level_seconds >= self._end_sound else ()

    def push_cue(self, cue: Cue) -> None:
        """Takes a piece of timed text; one whose segments are all gone is dropped, and counted in the next."""
        self._cues_end = max(self._cues_end, cue.end_seconds)
        if cue.end_seconds > self._start:
            self._cues.append(cue)
        elif self._next > self._first:
            self._dropped.append(("text", float(self._start), 1))

    def push_error(self, modality: Modality, seconds: Fraction | float | None) -> None:
        """Notes that something of a modality could not be decoded at a time, or, if None, where that stream is now."""
        at = seconds if seconds is not None else (self.sound.level if modality == "audio" else self.pictures.end)
        self._errors.append((modality, float(at or 0)))

    def flush(self) -> Iterator[Segment]:
        """Nothing follows: gives all segments that are left, the last one cut off where the source ends."""
        self.pictures.flush()
        if self._shots is not None:
            self._shots.flush()
            self._expect_end()
        end = self.end
        while end - self._covered >= _LEAST_TAIL or (self._next == 0 and end > 0):
            yield from self._cut(min(self._end, end), is_last=True)

    def _complete(self) -> Iterator[Segment]:
        while self._is_complete():
            yield from self._cut(self._end)

    def _is_complete(self) -> bool:
        levels = []
        if "audio" in self._streams:
            levels.append(self.sound.level_seconds - float(self._after + MARGIN))
        if "video" in self._streams:
            levels.append(float(self.pictures.level or 0))
        if not levels or (self._shots is not None and not self._shots.is_decided(self._end)):
            return False
        end = float(self._end)
        return min(levels) >= end or max(levels) >= end + float(self._max_lead)

    def _cut(self, end: Fraction, is_last: bool = False) -> Iterator[Segment]:
        if self._next >= self._first:
            yield self._segment(end, is_last)
        self._next += 1
        self._covered = end
        self._expect_end()
        self._forget(self._start)

    def _segment(self, end: Fraction, is_last: bool) -> Segment:
        start = self._start
        seconds, pictures = self.pictures.between(start, end)
        if not pictures and start < self.pictures.end <= end and (last := self.pictures.last()):
            seconds, pictures = [last[0]], [last[1]]
        waveform, sound_coverage = self.sound.between(start, end)
        cues = tuple(c for c in self._cues if c.start_seconds < end and c.end_seconds > start)
        in_window = [m for m, at in self._errors if start <= at < end]
        num_errors: dict[Modality, int] = {m: in_window.count(m) for m in MODALITIES}
        num_dropped = {
            m: sum(n for name, at, n in self._dropped if name == m and start <= at < end) for m in MODALITIES
        }
        frames = np.stack(pictures) if pictures else np.zeros((0, *self._shape, 3), np.uint8)
        speech_start = max(Fraction(0), start - self._before)
        status: dict[Modality, Status] = {
            "audio": _sound_status(waveform, sound_coverage, num_errors["audio"]),
            "text": Status.OK if cues else _absent_or_damaged(num_errors["text"]),
            "video": _picture_status(frames, num_errors["video"]),
        }
        if self._is_live and not is_last:
            self._mark_late(status, end)
        return Segment(
            source=self._source,
            index=self._next,
            start_seconds=float(start),
            end_seconds=float(end),
            frames=frames,
            frame_seconds=np.asarray(seconds, np.float64),
            waveform=waveform if sound_coverage > 0 else waveform[:0],
            cues=cues,
            status=status,
            coverage={
                "audio": sound_coverage,
                "text": float(bool(cues)),
                "video": min(1.0, len(frames) / max(1, len(self.pictures.instants(start, end)))),
            },
            amounts={"audio": round(sound_coverage * len(waveform)), "text": len(cues), "video": len(frames)},
            num_dropped=num_dropped,
            num_errors=num_errors,
            offset_seconds=self._offset_seconds,
            decoded_unix_seconds=time.time(),
            speech=self._sound_around(speech_start, end, cues, is_last),
            speech_start_seconds=float(speech_start) if self._speech else 0.0,
        )

    def _sound_around(self, start: Fraction, end: Fraction, cues: tuple[Cue, ...], is_last: bool) -> Waveform:
        """What is to be listened to for a segment's words, from ``start`` to after its end; nothing if it is silent."""
        nothing = np.zeros(0, np.float32)
        if self._speech is None or any(cue.text.strip() for cue in cues):
            return nothing
        after = self._after
        if is_last:  # a rest that becomes no segment has no words of its own
            after = min(after, self.end - end) if self.end - end >= _LEAST_TAIL else Fraction(0)
        waveform, coverage = self.sound.between(start, end + after)
        return waveform if coverage and np.abs(waveform).max() >= _SILENCE else nothing

    def _mark_late(self, status: dict[Modality, Status], end: Fraction) -> None:
        """A stream that exists and has not come as far as the end that went out without it is late."""
        if "audio" in self._streams and self.sound.level_seconds < end:
            status["audio"] = Status.LATE
        if "video" in self._streams and (self.pictures.level or 0) < end:
            status["video"] = Status.LATE

    def _expect_end(self) -> None:
        """What the next segment covers: until a stream gets to its end, its frames complete nothing."""
        self._start, self._end = self._cutting.start(self._next), self._cutting.end(self._next)
        self._end_sound = float(self._end + self._after + MARGIN)

    def _forget(self, before: Fraction) -> None:
        self.pictures.forget(before)
        self.sound.forget(before - self._before)
        self._cues = [c for c in self._cues if c.end_seconds > before]
        self._errors = [(m, at) for m, at in self._errors if at >= before]
        self._dropped = [(m, at, n) for m, at, n in self._dropped if at >= before]


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
