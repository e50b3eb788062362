"""The encode stage: one encoder, given micro-batches of segments of many sources."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from streammm.building.encoders import make_encoder
from streammm.building.vocabulary import make_vocabulary
from streammm.config import Config
from streammm.encoders.base import Encoder
from streammm.encoders.isolation import Encoded, encode_isolated, failed
from streammm.encoders.placement import Placement
from streammm.fusion.vocabulary import Vocabulary
from streammm.types import Embeddings, Modality, Segment


class EncodeWorker:
    """Runs the encoder of one modality; it is loaded by `load` or by whatever else is called first."""

    def __init__(self, config: Config, modality: Modality) -> None:
        self._config = config
        self._modality: Modality = modality
        self._loaded: Encoder | None = None

    @functools.cached_property
    def _device(self) -> str:
        return Placement(self._config.runtime.backend, self._config.runtime.device).resolved().device

    @property
    def _encoder(self) -> Encoder:
        if self._loaded is None:  # no cached_property: all encoders would wait for its one lock, and load in turns
            encoder = make_encoder(self._config, self._modality)
            if self._device != "cpu":
                from streammm.encoders.torch_runtime import take_own_stream

                take_own_stream(self._device)
            encoder.setup()
            self._loaded = encoder
        return self._loaded

    def load(self) -> str:
        """Loads the encoder, if it is not; returns the device that it computes on.

        Raises:
            ConfigError: it is not installed, or cannot run here.
        """
        _ = self._encoder
        return self._device

    def encode(self, *chunks: list[Segment]) -> list[Encoded]:
        """Encodes chunks as one batch and gives each its part back, with what failed in it by position."""
        encoded = self._told(encode_isolated(self._encoder, [segment for chunk in chunks for segment in chunk]))
        ends = np.cumsum([len(chunk) for chunk in chunks]).tolist()
        return [encoded[end - len(chunk) : end] for chunk, end in zip(chunks, ends, strict=True)]

    def encode_one(self, chunk: list[Segment], position: int) -> Encoded:
        """Encodes one segment of a chunk alone."""
        return self._told(encode_isolated(self._encoder, chunk[position : position + 1]))

    def give_up(self, reason: str) -> Encoded:
        """What stands for a segment that ends whoever encodes it."""
        return failed(self._encoder, reason)

    def _told(self, encoded: Encoded) -> Encoded:
        """What leaves the worker: an error may quote the text that it is about, so of some runs only its kind does."""
        if self._config.privacy.keeps_media:
            return encoded
        kinds = {i: text.partition(":")[0] for i, text in encoded.failures.items()}
        return replace(encoded, failures=kinds, embeddings=_without_words(encoded.embeddings))

    def vocabulary(self) -> Vocabulary:
        """The labels of the configuration, worded for every modality; asked of the worker that reads text."""
        return make_vocabulary(self._config, self._encoder)


def _without_words(made: Embeddings) -> Embeddings:
    """The same; of what was recognised only when it was said."""
    return replace(made, spoken=tuple(tuple(replace(cue, text="") for cue in words) for words in made.spoken))
