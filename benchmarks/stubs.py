"""Decoders and encoders that do nothing but take their time, for benchmarks of the engine around them.

A module of its own, which Ray's workers import by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from streammm.config import Config
from streammm.encoders.isolation import Encoded
from streammm.fusion.vocabulary import Vocabulary
from streammm.types import MODALITIES, Embeddings, Modality, Segment, Status
from streammm_workers.cluster import ActorSpawn
from streammm_workers.decode import Chunk, DecodeWorker
from streammm_workers.encode import EncodeWorker
from streammm_workers.handle import DirectHandle, Handle, ThreadHandle

LABELS = ("music", "speech", "car", "dog")
NUM_TAGS = {"audio": 521, "video": 1000, "text": 0}
FEATURES = 384

SECONDS_A_SEGMENT = 0.025
"""How long a shard's picture encoder on Ray needs for a segment, which limits it to 40 a second."""


class StubDecoder:
    """Hands out segments without pictures or sound; a source is named NUMBER:SEGMENTS."""

    def __init__(self, options: object = None) -> None:
        self._next: dict[str, tuple[int, int]] = {}

    def open(self, ticket: str, source: str, first_segment: int) -> None:
        self._next[ticket] = first_segment, int(source.rpartition(":")[2])

    def next(
        self, ticket: str, num_segments: int, is_watched: bool = False
    ) -> tuple[Chunk, list[Segment], list[Segment]]:
        first, count = self._next[ticket]
        last = min(count, first + num_segments)
        self._next[ticket] = last, count
        found = [_segment(ticket.partition(":")[2], n) for n in range(first, last)]
        return Chunk(found, last == count, 0, ""), found, found

    def close(self, ticket: str) -> None:
        self._next.pop(ticket, None)


class StubEncoder:
    """Answers with the same tags for every segment, after a while where ``seconds`` says so."""

    def __init__(self, config: Config, modality: Modality, seconds: float = 0.0) -> None:
        self._modality: Modality = modality
        self._seconds = seconds

    def load(self) -> str:
        return "cpu"

    def encode(self, *chunks: list[Segment]) -> list[Encoded]:
        if self._seconds:
            time.sleep(self._seconds * sum(map(len, chunks)))
        return [self._encoded(len(chunk)) for chunk in chunks]

    def vocabulary(self) -> Vocabulary:
        k = len(LABELS)
        return Vocabulary(
            LABELS,
            np.eye(k, FEATURES, dtype=np.float32),
            np.full((k, NUM_TAGS["video"]), 0.3, np.float32),
            np.full((k, NUM_TAGS["audio"]), 1 / NUM_TAGS["audio"], np.float32),
            np.ones((len(MODALITIES), k), np.float32),
        )

    def _encoded(self, count: int) -> Encoded:
        tags = np.full((count, NUM_TAGS[self._modality]), 0.01, np.float32)
        vectors = np.zeros((count, FEATURES), np.float32)
        return Encoded(Embeddings(self._modality, vectors, tags, np.ones(count, np.bool_)), {})


def _segment(source: str, index: int) -> Segment:
    status = {m: Status.ABSENT if m == "text" else Status.OK for m in MODALITIES}
    return Segment(
        source,
        index,
        2.0 * index,
        2.0 * index + 2.0,
        np.zeros((0, 1, 1, 3), np.uint8),
        np.zeros(0),
        np.zeros(0, np.float32),
        (),
        status,
        decoded_unix_seconds=time.time(),
    )


def stub_stage(kind: str, make: Callable[..., object], *args: Any) -> Handle:
    """Puts a stub in the place of a stage of this process."""
    if make is DecodeWorker:
        return DirectHandle(StubDecoder())
    if make is EncodeWorker:
        return DirectHandle(StubEncoder(*args))
    return ThreadHandle(kind, make, *args)


class StubSpawn(ActorSpawn):
    """Puts stubs in the place of stages on Ray; pictures are what takes time."""

    def __call__(self, kind: str, make: Callable[..., object], *args: Any) -> Handle:
        if make is DecodeWorker:
            return ActorSpawn.__call__(self, kind, StubDecoder, *args)
        seconds = SECONDS_A_SEGMENT if kind == "encode-video" else 0.0
        return ActorSpawn.__call__(self, kind, StubEncoder, *args, seconds)
