"""Where one segment ends and the next begins: at equal windows, or where the shot changes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av

from streammm.media.shots import ShotDetector


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


class Shots:
    """Segments are shots: cut where the picture changes at once, and where a shot gets longer than a maximum.

    Args:
        detector: finds the cuts in decoded pictures.
        max_seconds: a longer shot is cut every so often.
        has_pictures: False where there is nothing to find a cut in.
    """

    def __init__(self, detector: ShotDetector, max_seconds: Fraction, has_pictures: bool = True) -> None:
        self._detector = detector
        self._max_seconds = max_seconds
        self._is_open = has_pictures
        self._cuts: list[Fraction] = []
        self._ends: list[Fraction] = []

    def push(self, start: Fraction, frame: av.VideoFrame) -> None:
        """Takes the next decoded picture."""
        self._cuts.extend(self._detector.push(start, frame))

    def flush(self) -> None:
        """No picture follows."""
        if self._is_open:
            self._cuts.extend(self._detector.flush())
        self._is_open = False

    def is_decided(self, time: Fraction) -> bool:
        """True when no cut before a time can still be found."""
        return not self._is_open or (self._detector.decided or 0) >= time

    def start(self, index: int) -> Fraction:
        """Where the next segment starts."""
        return self._ends[index - 1] if index else Fraction(0)

    def end(self, index: int) -> Fraction:
        """Where segment ``index`` ends; final once it is decided."""
        start = self.start(index)
        cut = next((c for c in self._cuts if c > start), None)
        longest = start + self._max_seconds
        end = longest if cut is None else min(cut, longest)
        self._cuts = [c for c in self._cuts if c > start]
        self._ends[index:] = [end]
        return end
