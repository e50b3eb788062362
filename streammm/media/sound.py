"""Resampled pieces of sound -> one waveform on the source's clock, with what is missing known."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from streammm.types import SAMPLE_RATE_HZ

_TOLERANCE = SAMPLE_RATE_HZ * 40 // 1000
"""Timestamps are rounded (Matroska and FLV to a millisecond) and jitter; a piece is moved only when it is off by more
than 40 ms, about the least offset between sound and picture that viewers notice (ITU-R BT.1359)."""


class SoundTrack:
    """Places pieces of sound at their times and reads windows back.

    Pieces that follow one another are joined sample by sample. One that starts more than 40 ms late leaves a gap of
    zeros; of one that starts more than 40 ms early, the part that is already there is dropped.
    """

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, npt.NDArray[np.float32]]] = deque()
        self._next: int | None = None
        self.num_overlaps = 0

    @property
    def level(self) -> Fraction | None:
        """Time up to which sound has arrived; None before the first piece."""
        return None if self._next is None else Fraction(self._next, SAMPLE_RATE_HZ)

    @property
    def num_samples(self) -> int:
        """The same in samples, 0 before the first piece."""
        return self._next or 0

    def push(self, start: Fraction | None, samples: npt.NDArray[np.float32]) -> None:
        """Takes the next piece, float32 [N] at 16 kHz, which starts at ``start`` or, if None, where the last ended."""
        at = self._next or 0
        if start is not None:
            wanted = round(start * SAMPLE_RATE_HZ)
            if self._next is None or wanted - at > _TOLERANCE:
                at = wanted
            elif at - wanted > _TOLERANCE:
                self.num_overlaps += 1
                samples = samples[at - wanted :]
        if at < 0:
            samples, at = samples[-at:], min(at + len(samples), 0)
        if len(samples):
            self._pieces.append((at, samples))
        self._next = at + len(samples)

    def between(self, start: Fraction, end: Fraction) -> tuple[npt.NDArray[np.float32], float]:
        """Waveform float32 [N] of [start, end), zeros where nothing arrived, and the share of it that did."""
        first, stop = round(start * SAMPLE_RATE_HZ), round(end * SAMPLE_RATE_HZ)
        waveform = np.zeros(stop - first, np.float32)
        covered = 0
        for at, samples in self._pieces:
            low, high = max(at, first), min(at + len(samples), stop)
            if low < high:
                waveform[low - first : high - first] = samples[low - at : high - at]
                covered += high - low
        return waveform, covered / len(waveform) if len(waveform) else 0.0

    def forget(self, before: Fraction) -> None:
        """Drops the pieces that end before a time."""
        first = round(before * SAMPLE_RATE_HZ)
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= first:
            self._pieces.popleft()
