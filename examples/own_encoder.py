"""An encoder of your own in forty lines: which colour fills the picture. Labels are looked up among its classes.

python examples/own_encoder.py talk.mp4
PYTHONPATH=examples streammm run talk.mp4 --set encoders.video=own_encoder:Colours --labels red,green,blue,grey
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

import streammm
from streammm.config import load
from streammm.encoders.base import present, spread
from streammm.types import Embeddings, Modality, Segment


class Colours:
    """The share of each colour in the pictures of a segment."""

    name = "colours"
    modality: Modality = "video"
    classes = ("red", "green", "blue", "grey")
    dim = 4

    def setup(self) -> None:
        """Nothing to load; weights would be read here, never at import."""

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        rows = present(segments, self.modality)
        pictures = [segment.frames for segment, is_there in zip(segments, rows, strict=True) if is_there]
        means = np.array([frames.mean((0, 1, 2)) for frames in pictures], np.float32).reshape(-1, 3)
        above = means - means.mean(1, keepdims=True)  # of what is grey, no colour is
        shares = np.exp(np.hstack([above, np.full((len(above), 1), 16, np.float32)]) / 8)
        shares /= shares.sum(1, keepdims=True)
        return spread(self.modality, rows, vectors=shares, tags=shares)


CONFIG = load(settings=["encoders.video=own_encoder:Colours", "fusion.weights={video: 1, audio: 0, text: 0}"])

if __name__ == "__main__":
    for row in streammm.classify(sys.argv[1], Colours.classes, CONFIG):
        label, score = row.labels[0]
        print(f"{row.start_seconds:7.1f} s  {label} {score:.2f}")
