"""Decoded pictures -> the times at which one shot ends and the next begins.

Works on tiny copies of the pictures that are decoded anyway. A cut is where a picture differs from the one before far
more than its neighbours differ from theirs, so that neither fast motion nor a flash is taken for one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from streammm.media.thumbnails import Thumbnail, Thumbnails

_NEIGHBOURS = 2


@dataclass(frozen=True, slots=True)
class _Picture:
    start: Fraction
    small: Thumbnail
    difference: float  # from the picture before


def _difference(one: Thumbnail, other: Thumbnail) -> float:
    return float(np.abs(one - other).mean())


class ShotDetector:
    """Finds cuts.

    The difference of two pictures is the mean absolute difference of their Y, U and V over 32 x 18 pixels, on a scale
    of 255. There is a cut where it is at least ``least_difference`` and at least ``least_ratio`` times the mean of the
    differences at the two pictures before and after: the rule of PySceneDetect's AdaptiveDetector. The defaults are
    those that `benchmarks/shots.py` found best on its film.

    Args:
        least_seconds: a shot is at least so long.
        least_difference: of two pictures, for a cut to be between them.
        least_ratio: of that difference to those around it.
    """

    def __init__(
        self,
        least_seconds: Fraction = Fraction(1, 2),
        least_difference: float = 8.0,
        least_ratio: float = 2.0,
    ) -> None:
        self._least_seconds = least_seconds
        self._least_difference = least_difference
        self._least_ratio = least_ratio
        self._small = Thumbnails()
        self._pictures: deque[_Picture] = deque(maxlen=2 * _NEIGHBOURS + 2)
        self._last_cut: Fraction | None = None
        self.decided: Fraction | None = None
        """No cut before this time can still be found; None before the first picture."""

    def push(self, start: Fraction, frame: av.VideoFrame) -> list[Fraction]:
        """Takes the next picture, shown from ``start`` on; gives the cuts that are certain now."""
        small = self._small(frame)
        if small is None:
            return []
        if self._last_cut is None:
            self._last_cut = self.decided = start
        difference = _difference(small, self._pictures[-1].small) if self._pictures else 0.0
        self._pictures.append(_Picture(start, small, difference))
        if len(self._pictures) <= _NEIGHBOURS:
            return []
        return self._decide(len(self._pictures) - 1 - _NEIGHBOURS)

    def flush(self) -> list[Fraction]:
        """No picture follows; gives the cuts among the last."""
        cuts = []
        for n in range(max(0, len(self._pictures) - _NEIGHBOURS), len(self._pictures)):
            cuts += self._decide(n)
        self._pictures.clear()
        return cuts

    def _decide(self, n: int) -> list[Fraction]:
        """Whether there is a cut at the n-th picture that is kept; everything before it is decided."""
        picture = self._pictures[n]
        self.decided = picture.start
        around = [p.difference for m, p in enumerate(self._pictures) if 0 < abs(m - n) <= _NEIGHBOURS]
        ratio = picture.difference / max(sum(around) / max(1, len(around)), 0.5)
        if picture.difference < self._least_difference or ratio < self._least_ratio or self._is_flash(n):
            return []
        assert self._last_cut is not None
        if picture.start - self._last_cut < self._least_seconds:
            return []
        self._last_cut = picture.start
        return [picture.start]

    def _is_flash(self, n: int) -> bool:
        """True where the next pictures are as before the n-th, or the n-th is as before the last: nothing is new."""
        pictures = list(self._pictures)
        limit = pictures[n].difference / 2
        before, after = pictures[max(0, n - 1 - _NEIGHBOURS) : max(0, n - 1)], pictures[n + 1 : n + 1 + _NEIGHBOURS]
        goes_back = any(_difference(p.small, pictures[n - 1].small) < limit for p in after)
        return goes_back or any(_difference(p.small, pictures[n].small) < limit for p in before)
