"""Raw content in the place of an encoder's vectors: what nets are trained on that begin with nothing.

`small`, `founding_cnn` and `founding_rnn` without a file are nets that `streammm train` has yet to make. What they will
look at is kept as features are, so that it is decoded once however often they are trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streammm.encoders.base import Picture, present, spread
from streammm.errors import ConfigError
from streammm.types import Embeddings, Modality, Segment

UNTRAINED: dict[tuple[str, Modality], str] = {
    ("small", "video"): "SmallPictureNet",
    ("small", "audio"): "SmallSoundNet",
    ("founding_cnn", "video"): "FoundingCnn",
    ("founding_rnn", "text"): "FoundingRnn",
}
"""The nets that can be trained from nothing, by name and modality."""

PIXELS = 64


class Content:
    """Pictures, sound or text of a segment as they are.

    ``Embeddings.vectors`` are float32 [B, D], filled up with NaN: pixels in [0, 255] of frames of 64 by 64, samples at
    16 kHz, or the numbers of the text's characters.

    Raises:
        ConfigError: there is no such net for that modality.
    """

    classes: tuple[str, ...] = ()
    dim = 0
    picture = Picture(PIXELS, PIXELS)

    def __init__(self, name: str, modality: Modality) -> None:
        if (name, modality) not in UNTRAINED:
            raise ConfigError(f"{name} is no encoder of {modality}")
        self.name = name
        self.modality: Modality = modality

    def setup(self) -> None:
        """Nothing to load."""

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        rows = present(segments, self.modality)
        found = [self._content(s) for s, is_present in zip(segments, rows, strict=True) if is_present]
        width = max(map(len, found), default=0)
        vectors = np.full((len(found), width), np.nan, np.float32)
        for vector, content in zip(vectors, found, strict=True):
            vector[: len(content)] = content
        return spread(self.modality, rows, vectors, np.zeros((len(found), 0), np.float32))

    def _content(self, segment: Segment) -> npt.NDArray[np.float32]:
        if self.modality == "video":
            return segment.frames.reshape(-1).astype(np.float32)
        if self.modality == "audio":
            return segment.waveform
        return np.array([ord(character) for character in segment.text.strip()], np.float32)
