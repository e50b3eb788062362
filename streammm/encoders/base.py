"""What every encoder is: a batch of segments in, one row of embeddings for each out.

Encoders stand between the segmenter and the fusion; each looks at one modality and knows nothing of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from streammm.types import Embeddings, Modality, Segment


@dataclass(frozen=True, slots=True)
class Picture:
    """The pictures that an encoder looks at: the shorter side scaled to so many pixels, then a square cut out."""

    shorter_side: int = 256
    crop: int = 224


USUAL_PICTURE = Picture()


@runtime_checkable
class Encoder(Protocol):
    """Turns segments into embeddings, one modality at a time; used by one thread at a time.

    ``classes`` names the columns of ``Embeddings.tags``, and is () where the encoder has no classes of its own.
    A segment's row is the same whatever else is in the batch.

    Some have more: ``picture`` says which pictures an encoder of video wants, `USUAL_PICTURE` where it is missing;
    ``embed(texts, keep=False)`` makes vectors of length one from texts, which labels without training need of the one
    of text; ``descriptions`` says of each class what it is; ``identity`` names the weights.
    """

    name: str
    modality: Modality
    dim: int
    classes: tuple[str, ...]

    def setup(self) -> None:
        """Load the weights and make ready to run; a second call does nothing.

        Raises:
            ConfigError: weights are missing or changed, or this machine cannot run what was asked for.
        """
        ...

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        """One row for each segment, zeros where it has nothing usable.

        Raises:
            EncodeError: the runtime failed, or ``setup`` was not called.
        """
        ...


def present(segments: Sequence[Segment], modality: Modality) -> npt.NDArray[np.bool_]:
    """Which segments have something usable in this modality: bool [B]."""
    return np.array([_has_payload(s, modality) and s.status[modality].usable for s in segments], np.bool_)


def spread(
    modality: Modality,
    rows_present: npt.NDArray[np.bool_],
    vectors: npt.NDArray[np.float32],
    tags: npt.NDArray[np.float32],
) -> Embeddings:
    """Embeddings of the whole batch from the rows of its present segments, zeros elsewhere.

    Shape:
        - rows_present: bool [B] with P of them True
        - vectors: float32 [P, D]
        - tags: float32 [P, C]
    """
    all_vectors = np.zeros((len(rows_present), vectors.shape[1]), np.float32)
    all_tags = np.zeros((len(rows_present), tags.shape[1]), np.float32)
    all_vectors[rows_present] = vectors
    all_tags[rows_present] = tags
    return Embeddings(modality, all_vectors, all_tags, rows_present)


def _has_payload(segment: Segment, modality: Modality) -> bool:
    if modality == "video":
        return len(segment.frames) > 0
    if modality == "audio":
        return len(segment.waveform) > 0
    return bool(segment.text.strip())
