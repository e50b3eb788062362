"""Small stand-ins for what takes seconds to load."""

from __future__ import annotations

import numpy as np

from streammm.types import MODALITIES, Classification, Embeddings, ModalityResult, Segment, Status


def segment(index: int, source: str = "s") -> Segment:
    """A segment whose every sample is its index."""
    return Segment(
        source=source,
        index=index,
        start_seconds=2.0 * index,
        end_seconds=2.0 * index + 2.0,
        frames=np.zeros((1, 2, 2, 3), np.uint8),
        frame_seconds=np.zeros(1),
        waveform=np.full(4, index, np.float32),
        cues=(),
        status=dict.fromkeys(MODALITIES, Status.OK),
    )


def row(source: str, index: int) -> Classification:
    """A row."""
    results = {m: ModalityResult(Status.OK, 0.5, (("dog", 0.5),), 1) for m in MODALITIES}
    return Classification(source, index, 2.0 * index, 2.0 * index + 2.0, (("dog", 0.75),), 0.25, results, "m", 0.1)


class FakeEncoder:
    """Embeds a segment as its index; fails on the indexes it is told to."""

    name = "fake"
    modality = "audio"
    dim = 1
    classes = ()

    def __init__(self, *bad: int) -> None:
        self.bad = bad
        self.batches: list[list[int]] = []

    def setup(self) -> None:
        """Nothing to load."""

    def encode(self, segments: list[Segment]) -> Embeddings:
        self.batches.append([s.index for s in segments])
        if any(s.index in self.bad for s in segments):
            raise ArithmeticError("poison")
        vectors = np.array([[s.index] for s in segments], np.float32)
        return Embeddings("audio", vectors, vectors[:, :0], np.ones(len(segments), np.bool_))
