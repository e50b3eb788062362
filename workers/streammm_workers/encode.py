"""The encode stage: one encoder, given micro-batches of segments of many sources."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streammm.build import make_encoder, make_vocabulary
from streammm.config import Config
from streammm.encoders.base import Encoder
from streammm.fusion.vocabulary import Vocabulary
from streammm.types import Embeddings, Modality, Segment


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of one chunk: its embeddings, and by segment index what failed in the encoder, in words."""

    embeddings: Embeddings
    failures: dict[int, str]


class EncodeWorker:
    """Runs the encoder of one modality; it is loaded by `load` or by whatever else is called first."""

    def __init__(self, config: Config, modality: Modality) -> None:
        self._config = config
        self._modality: Modality = modality

    @functools.cached_property
    def _encoder(self) -> Encoder:
        encoder = make_encoder(self._config, self._modality)
        encoder.setup()
        return encoder

    def load(self) -> None:
        """Loads the encoder, if it is not.

        Raises:
            ConfigError: it is not installed, or cannot run here.
        """
        _ = self._encoder

    def encode(self, *chunks: list[Segment]) -> list[Encoded]:
        """Encodes chunks as one batch and gives each its part back.

        A batch that fails is tried again chunk by chunk and a chunk segment by segment, so that one bad segment costs
        itself alone: it comes back as absent, with the failure.
        """
        self.load()
        segments = [segment for chunk in chunks for segment in chunk]
        encoded = self._encode(segments)
        ends = np.cumsum([len(chunk) for chunk in chunks]).tolist()
        return [
            Encoded(
                encoded.embeddings[end - len(chunk) : end],
                {s.index: encoded.failures[i] for i, s in enumerate(chunk, end - len(chunk)) if i in encoded.failures},
            )
            for chunk, end in zip(chunks, ends, strict=True)
        ]

    def vocabulary(self) -> Vocabulary:
        """The labels of the configuration, worded for every modality; asked of the worker that reads text."""
        return make_vocabulary(self._config, self._encoder)

    def _encode(self, segments: Sequence[Segment]) -> Encoded:
        """Embeddings of all segments, failures by position."""
        try:
            return Encoded(self._encoder.encode(segments), {})
        except Exception as error:  # noqa: BLE001 - whatever a model trips over must not take its neighbours along
            if len(segments) == 1:
                return Encoded(self._nothing(), {0: f"{type(error).__name__}: {error}"})
        middle = len(segments) // 2
        left, right = self._encode(segments[:middle]), self._encode(segments[middle:])
        joined = Embeddings(
            left.embeddings.modality,
            np.concatenate([left.embeddings.vectors, right.embeddings.vectors]),
            np.concatenate([left.embeddings.tags, right.embeddings.tags]),
            np.concatenate([left.embeddings.present, right.embeddings.present]),
        )
        return Encoded(joined, left.failures | {middle + i: text for i, text in right.failures.items()})

    def _nothing(self) -> Embeddings:
        encoder = self._encoder
        return Embeddings(
            encoder.modality,
            np.zeros((1, encoder.dim), np.float32),
            np.zeros((1, len(encoder.classes)), np.float32),
            np.zeros(1, np.bool_),
        )
