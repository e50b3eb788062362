"""Stages without a model, which load at once: encoders that see brightness and hear loudness, decoders that make up.

Without torch as well, as the stages are whose places they take: Ray starts a process for each.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from streammm.config import Config
from streammm.encoders.base import present, spread
from streammm.encoders.isolation import Encoded
from streammm.fusion.vocabulary import Vocabulary
from streammm.types import MODALITIES, Embeddings, Modality, Segment, Status
from streammm_workers.decode import Chunk, DecodeWorker
from streammm_workers.encode import EncodeWorker

LABELS = ("bright", "dark")


class LightEncoder:
    """Scores a segment by the mean of its pictures, or the power of its sound: a row is the same in any batch."""

    name = "light"
    dim = 2
    classes = LABELS

    def __init__(self, modality: Modality) -> None:
        self.modality: Modality = modality

    def setup(self) -> None:
        """Nothing to load."""

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        there = present(segments, self.modality)
        levels = [self._level(s) for s, is_there in zip(segments, there, strict=True) if is_there]
        vectors = np.array([[level, 1.0 - level] for level in levels], np.float32).reshape(-1, 2)
        return spread(self.modality, there, vectors, vectors)

    def _level(self, segment: Segment) -> float:
        if self.modality == "video":
            return float(segment.frames.mean()) / 255
        return float(np.sqrt(np.square(segment.waveform, dtype=np.float64).mean())) if self.modality == "audio" else 0.5


class LightEncodeWorker(EncodeWorker):
    """The encode stage around it."""

    def __init__(self, config: Config, modality: Modality) -> None:
        super().__init__(config, modality)
        self._loaded = LightEncoder(modality)
        self._device = "cpu"

    def vocabulary(self) -> Vocabulary:
        scores = np.eye(2, dtype=np.float32)
        return Vocabulary(LABELS, scores, scores, scores, np.ones((len(MODALITIES), 2), np.float32))


class SlowEncodeWorker(LightEncodeWorker):
    """Needs a while for each batch, so that what is decoded piles up before it."""

    seconds = 0.02

    def encode(self, *chunks: list[Segment]) -> list[Encoded]:
        time.sleep(self.seconds)
        return super().encode(*chunks)


class SlowerEncodeWorker(SlowEncodeWorker):
    """Needs a longer while."""

    seconds = 0.25


class Payload:
    """Counts the bytes of pictures and sound that are alive in this process: of each array until it is freed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.alive_bytes = self.most_bytes = 0

    def add(self, array: np.ndarray[Any, Any]) -> None:
        weakref.finalize(array, self._note, -array.nbytes)
        self._note(array.nbytes)

    def _note(self, num_bytes: int) -> None:
        with self._lock:
            self.alive_bytes += num_bytes
            self.most_bytes = max(self.most_bytes, self.alive_bytes)


PAYLOAD = Payload()


class MadeUpDecoder(DecodeWorker):
    """Hands out segments of full size at once: a source named NAME:COUNT has so many."""

    num_frames, num_samples = 4, 32_000

    def open(self, ticket: str, source: str, first_segment: int) -> None:
        self._made: dict[str, tuple[int, int]] = {**getattr(self, "_made", {}), ticket: (first_segment, _count(source))}

    def next(
        self, ticket: str, num_segments: int, is_watched: bool = False
    ) -> tuple[Chunk, list[Segment], list[Segment]]:
        first, count = self._made[ticket]
        last = min(count, first + num_segments)
        self._made[ticket] = last, count
        found = [self._segment(ticket.partition(":")[2], n) for n in range(first, last)]
        headers = [s.only("text") for s in found]
        return (
            Chunk(headers, last == count, 0, ""),
            [s.only("video") for s in found],
            [s.only("audio") for s in found],
        )

    def close(self, ticket: str) -> None:
        getattr(self, "_made", {}).pop(ticket, None)

    def _segment(self, source: str, index: int) -> Segment:
        frames = np.full((self.num_frames, 224, 224, 3), index % 256, np.uint8)
        waveform = np.full(self.num_samples, index % 256 / 256, np.float32)
        for array in (frames, waveform):
            PAYLOAD.add(array)
        status: dict[Modality, Status] = {"audio": Status.OK, "text": Status.ABSENT, "video": Status.OK}
        times = 2.0 * index + np.arange(self.num_frames) / 2
        return Segment(source, index, 2.0 * index, 2.0 * index + 2.0, frames, times, waveform, (), status)


def _count(source: str) -> int:
    return int(source.rpartition(":")[2])
