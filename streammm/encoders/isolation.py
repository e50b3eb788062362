"""An encoder given a batch so that one bad segment costs itself alone: used by whoever calls encoders."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streammm.encoders.base import Encoder
from streammm.types import Embeddings, Modality, Segment, Status


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of a batch: its embeddings, and by position what failed in the encoder, in words."""

    embeddings: Embeddings
    failures: Mapping[int, str]

    def __getitem__(self, rows: slice) -> Encoded:
        """The part for some of the segments, positions counted from its start."""
        first, stop, _ = rows.indices(len(self.embeddings))
        return Encoded(
            self.embeddings[rows], {i - first: text for i, text in self.failures.items() if first <= i < stop}
        )


def encode_isolated(encoder: Encoder, segments: Sequence[Segment]) -> Encoded:
    """Encodes a batch; one that fails is tried again by halves, and a segment that fails alone comes back as absent."""
    try:
        return Encoded(encoder.encode(segments), {})
    except Exception as error:  # noqa: BLE001 - whatever a model trips over must not take its neighbours along
        if len(segments) == 1:
            return failed(encoder, f"{type(error).__name__}: {error}")
    middle = len(segments) // 2
    return join([encode_isolated(encoder, segments[:middle]), encode_isolated(encoder, segments[middle:])])


def join(parts: Sequence[Encoded]) -> Encoded:
    """What became of a batch that was encoded in parts."""
    failures: dict[int, str] = {}
    first = 0
    for part in parts:
        failures |= {first + i: text for i, text in part.failures.items()}
        first += len(part.embeddings)
    made = [part.embeddings for part in parts]
    joined = Embeddings(
        made[0].modality,
        np.concatenate([e.vectors for e in made]),
        np.concatenate([e.tags for e in made]),
        np.concatenate([e.present for e in made]),
        tuple(itertools.chain.from_iterable(e.spoken or ((),) * len(e) for e in made)),
    )
    return Encoded(joined, failures)


def failed(encoder: Encoder, reason: str) -> Encoded:
    """One segment that could not be encoded."""
    return Encoded(_nothing(encoder), {0: reason})


def with_failures(segments: Sequence[Segment], modality: Modality, failures: Mapping[int, str]) -> list[Segment]:
    """The segments, those marked as damaged in a modality whose encoder failed on them."""
    return [
        replace(
            segment,
            status={**segment.status, modality: Status.DAMAGED},
            num_errors={**segment.num_errors, modality: segment.num_errors.get(modality, 0) + 1},
        )
        if i in failures
        else segment
        for i, segment in enumerate(segments)
    ]


def _nothing(encoder: Encoder) -> Embeddings:
    return Embeddings(
        encoder.modality,
        np.zeros((1, encoder.dim), np.float32),
        np.zeros((1, len(encoder.classes)), np.float32),
        np.zeros(1, np.bool_),
    )
