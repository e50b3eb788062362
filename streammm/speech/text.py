"""A text encoder that also reads what is said: the words of a segment that has no captions are recognised first.

A segment's words are those that end in it. They are looked for in its own sound together with a fixed stretch before
and after it (`media.options.SpeechWindow`), so that one which the segment's start or end cuts is heard whole and told
once. Nothing else goes into it: the words are the same whatever else is in the batch, however the source was read up
to there, and live as from a file. They are never late, for a segment is handed out when what is listened to has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from streammm.encoders.text import MiniLM
from streammm.speech.base import Recogniser
from streammm.types import SAMPLE_RATE_HZ, Cue, Embeddings, Modality, Segment

_SAMPLE_SECONDS = 1 / SAMPLE_RATE_HZ
"""Sound is cut at whole samples, so that its end may be off by one from the segment's."""


class ListeningReader:
    """Reads captions, and where a segment has none, what is said in it; a recogniser and a text encoder in one."""

    modality: Modality = "text"

    def __init__(self, encoder: MiniLM, recogniser: Recogniser) -> None:
        self._encoder = encoder
        self._recogniser = recogniser
        self.name = f"{encoder.name}+{recogniser.name}"
        self.dim = encoder.dim
        self.classes = encoder.classes

    def setup(self) -> None:
        self._recogniser.setup()
        self._encoder.setup()

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        spoken = tuple(self.words(segment) for segment in segments)
        read = [segment.with_words(words) for segment, words in zip(segments, spoken, strict=True)]
        return replace(self._encoder.encode(read), spoken=spoken)

    def embed(self, texts: Sequence[str], *, keep: bool = False) -> npt.NDArray[np.float32]:
        """Embeddings of texts; see the encoder's own."""
        return self._encoder.embed(texts, keep=keep)

    def words(self, segment: Segment) -> tuple[Cue, ...]:
        """What is said in a segment, on the source's clock; nothing where there are captions."""
        if segment.text.strip() or not len(segment.speech):
            return ()
        zero = segment.speech_start_seconds
        stop = zero + len(segment.speech) / SAMPLE_RATE_HZ
        words = []
        for word in self._recogniser.recognise(segment.speech):
            end = min(zero + word.end_seconds, stop)
            if segment.start_seconds + _SAMPLE_SECONDS < end <= segment.end_seconds + _SAMPLE_SECONDS:
                words.append(Cue(min(zero + word.start_seconds, end - _SAMPLE_SECONDS), end, word.text))
        return tuple(words)
