"""Sound that says where its words are: bursts, each called by its length, so that one which is cut has another name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streammm.types import SAMPLE_RATE_HZ, Cue

_GAP_SECONDS = 0.12


def bursts(lengths_ms: Sequence[int]) -> npt.NDArray[np.float32]:
    """Bursts of so many milliseconds with 120 ms of silence after each."""
    parts: list[npt.NDArray[np.float32]] = []
    for length_ms in lengths_ms:
        parts.append(np.full(length_ms * SAMPLE_RATE_HZ // 1000, 0.5, np.float32))
        parts.append(np.zeros(round(_GAP_SECONDS * SAMPLE_RATE_HZ), np.float32))
    return np.concatenate(parts)


class BurstRecogniser:
    """Recognises bursts; fails on those of the lengths it is told to."""

    name = "bursts"

    def __init__(self, *bad: int) -> None:
        self.bad = bad
        self.heard: list[float] = []

    def setup(self) -> None:
        """Nothing to load."""

    def recognise(self, waveform: npt.NDArray[np.float32]) -> list[Cue]:
        self.heard.append(len(waveform) / SAMPLE_RATE_HZ)
        edges = np.flatnonzero(np.diff((np.abs(waveform) > 0.1).astype(np.int8), prepend=0, append=0))
        spans = (edges.reshape(-1, 2) / SAMPLE_RATE_HZ).tolist()
        words = [Cue(start, end, str(round(1000 * (end - start)))) for start, end in spans]
        if any(int(word.text) in self.bad for word in words):
            raise ArithmeticError("poison")
        return words
