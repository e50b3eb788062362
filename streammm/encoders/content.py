"""Raw content in the place of an encoder's vectors: what nets are trained on that begin with nothing, or are tuned.

`small`, `founding_cnn` and `founding_rnn` without a file are nets that `streammm train` has yet to make, and `content`
is what it extracts for published ones that it trains further. What they will look at is kept as features are, so that
it is decoded once however often they are trained.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streammm.encoders.base import Picture, present, spread
from streammm.errors import ConfigError
from streammm.types import MODALITIES, Cue, Embeddings, Modality, Segment, Status

UNTRAINED: dict[tuple[str, Modality], str] = {
    ("small", "video"): "SmallPictureNet",
    ("small", "audio"): "SmallSoundNet",
    ("founding_cnn", "video"): "FoundingCnn",
    ("founding_rnn", "text"): "FoundingRnn",
}
"""The nets that can be trained from nothing, by name and modality."""

PIXELS = 64

_NAME = "content"


def content_name(modality: Modality, picture: Picture) -> str:
    """Names the `Content` that an encoder looks at."""
    return f"{_NAME}:{picture.shorter_side}/{picture.crop}" if modality == "video" else _NAME


def is_content(name: str) -> bool:
    """Whether a name is that of some `Content`."""
    return name.partition(":")[0] == _NAME or any(name == untrained for untrained, _ in UNTRAINED)


class Content:
    """Pictures, sound or text of a segment as they are.

    ``Embeddings.vectors`` are float32 [B, D], filled up with NaN: pixels in [0, 255] of frames of 64 by 64, or as large
    as the name says, samples at 16 kHz, or the numbers of the text's characters.

    Raises:
        ConfigError: there is no such net for that modality.
    """

    classes: tuple[str, ...] = ()
    dim = 0

    def __init__(self, name: str, modality: Modality) -> None:
        self.name = name
        self.modality: Modality = modality
        self.picture = Picture(PIXELS, PIXELS)
        kind, _, sides = name.partition(":")
        if kind == _NAME and (match := re.fullmatch(r"(\d{1,4})/(\d{1,4})", sides)):
            self.picture = Picture(int(match[1]), int(match[2]))
        elif name != _NAME and (name, modality) not in UNTRAINED:
            raise ConfigError(f"{name} is no encoder of {modality}")

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


def segment_of(content: npt.NDArray[np.float32], modality: Modality, picture: Picture) -> Segment:
    """The segment that a row of `Content` is of, for an encoder to look at; nothing else of it is known."""
    values = content[~np.isnan(content)]
    frames = np.zeros((0, 1, 1, 3), np.uint8)
    waveform = np.zeros(0, np.float32)
    cues: tuple[Cue, ...] = ()
    if modality == "video":
        frames = values.astype(np.uint8).reshape(-1, picture.crop, picture.crop, 3)
    elif modality == "audio":
        waveform = values
    else:
        cues = (Cue(0.0, 1.0, "".join(map(chr, values.astype(int)))),)
    status = dict.fromkeys(MODALITIES, Status.OK)
    return Segment("", 0, 0.0, 1.0, frames, np.zeros(len(frames)), waveform, cues, status)
