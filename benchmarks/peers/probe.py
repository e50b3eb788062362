"""Encoders for streammm that say what came to them, as `work.Probe` does: ``encoders.video=probe:Pictures``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from work import loudness, quarters

from streammm.encoders.base import present, spread
from streammm.types import Embeddings, Modality, Segment

MOST_PICTURES = 8


class _Probe:
    name = "probe"
    modality: Modality
    classes: tuple[str, ...] = ()
    dim = 0

    def setup(self) -> None:
        """Nothing to load."""

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        rows = present(segments, self.modality)
        vectors = np.full((int(rows.sum()), self.dim), np.nan, np.float32)
        for vector, n in zip(vectors, np.flatnonzero(rows), strict=True):
            values = self.values(segments[n])
            vector[: len(values)] = values
        return spread(self.modality, rows, vectors, np.zeros((len(vectors), 0), np.float32))

    def values(self, segment: Segment) -> list[float]:
        raise NotImplementedError


class Pictures(_Probe):
    """Of each picture its time and the mean of its quarters; NaN follows."""

    modality: Modality = "video"
    dim = 5 * MOST_PICTURES

    def values(self, segment: Segment) -> list[float]:
        times = zip(segment.frame_seconds, segment.frames, strict=True)
        return [value for at, frame in times for value in (float(at), *quarters(frame))]


class Sound(_Probe):
    """The loudness."""

    modality: Modality = "audio"
    dim = 1

    def values(self, segment: Segment) -> list[float]:
        return [loudness(segment.waveform)]
