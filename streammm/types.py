"""The values that flow: Segment -> Embeddings -> Classification. Frozen, and checked where they are made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

Modality = Literal["audio", "text", "video"]
MODALITIES: tuple[Modality, ...] = ("audio", "text", "video")
"""Every modality, sorted; tensors with an M axis are in this order."""

SCHEMA_VERSION = 2
"""Of what rows, events and quarantine hold; see `streammm.schema`."""

SAMPLE_RATE_HZ = 16_000
"""The rate of every waveform in a Segment."""


class Status(StrEnum):
    """What a modality is worth in one segment."""

    OK = "ok"
    ABSENT = "absent"  # the source has no such stream, or it has nothing in this segment
    SILENT = "silent"  # samples are there and no louder than the silence threshold
    BLACK = "black"  # frames are there and every one of them is dark and flat
    DAMAGED = "damaged"  # decoding failed in this segment; what could be decoded is used
    LATE = "late"  # live only: it had not arrived when the segment had to go out

    @property
    def usable(self) -> bool:
        """True where an encoder has something to work on."""
        return self in (Status.OK, Status.DAMAGED)


@dataclass(frozen=True, slots=True)
class Cue:
    """A piece of timed text, shown during [start_seconds, end_seconds)."""

    start_seconds: float
    end_seconds: float
    text: str

    def __post_init__(self) -> None:
        if not self.end_seconds > self.start_seconds:
            raise ValueError(f"a cue must end after it starts, got [{self.start_seconds}, {self.end_seconds})")


@dataclass(frozen=True, slots=True)
class LiveState:
    """How a live source stands when a segment goes out; the counts are of the whole time since it was first opened.

    ``start_unix_seconds`` is the wall's time of the segment's start and ``lag_seconds`` runs from the segment's end to
    its leaving the decoder. ``shed`` says what the decoder leaves out to keep up: ``none``, ``nonref`` (pictures that
    no other refers to) or ``nonkey`` (all but key pictures).
    """

    start_unix_seconds: float
    lag_seconds: float
    shed: str = "none"
    num_reconnects: int = 0
    outage_seconds: float = 0.0
    num_dropped_segments: int = 0
    num_shed_steps: int = 0
    num_jumps: int = 0
    num_reopens: int = 0

    def to_json(self) -> dict[str, Any]:
        """The state as plain JSON types; the start as UTC in ISO 8601."""
        start = datetime.fromtimestamp(self.start_unix_seconds, UTC)
        return {
            "start": start.isoformat(timespec="milliseconds"),
            "lag_seconds": round(self.lag_seconds, 3),
            "shed": self.shed,
            "reconnects": self.num_reconnects,
            "outage_seconds": round(self.outage_seconds, 3),
            "dropped_segments": self.num_dropped_segments,
            "shed_steps": self.num_shed_steps,
            "jumps": self.num_jumps,
            "reopens": self.num_reopens,
        }


@dataclass(frozen=True, slots=True)
class Segment:
    """One window of a source, [start_seconds, end_seconds) on the source's clock, with all that was seen in it.

    Shape:
        - frames: uint8 [T, H, W, 3], RGB; T is 0 where there is no picture
        - frame_seconds: float64 [T], presentation time of each frame
        - waveform: float32 [N] in [-1, 1] at 16 kHz; N is 0 where there is no sound
        - speech: float32 [S], the sound from ``speech_start_seconds`` on, before the segment's start, to after its end,
          for its words to be recognised; S is 0 where that is not asked for, or there are captions, or silence

    By modality, ``coverage`` is the share of the window that was there (of the samples, the others being zero, and of
    the sampling instants), ``amounts`` counts what is used (samples, cues, frames), also after `only` has left the
    payload behind, ``num_dropped`` what was decoded and dropped because it came twice, out of order or too late, and
    ``num_errors`` what could not be decoded. ``offset_seconds`` is by how much sound starts later than the picture in
    the source's own timestamps, which was corrected. ``decoded_unix_seconds`` is when the segment was complete;
    latency counts from there. ``live`` is None for a file; ``outage`` says in words why a stretch of a live source is
    missing, and then there is nothing else in the segment.
    """

    source: str
    index: int
    start_seconds: float
    end_seconds: float
    frames: npt.NDArray[np.uint8]
    frame_seconds: npt.NDArray[np.float64]
    waveform: npt.NDArray[np.float32]
    cues: tuple[Cue, ...]
    status: Mapping[Modality, Status]
    coverage: Mapping[Modality, float] = field(default_factory=dict)
    amounts: Mapping[Modality, int] = field(default_factory=dict)
    num_dropped: Mapping[Modality, int] = field(default_factory=dict)
    num_errors: Mapping[Modality, int] = field(default_factory=dict)
    offset_seconds: float = 0.0
    decoded_unix_seconds: float = 0.0
    live: LiveState | None = None
    outage: str = ""
    speech: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    speech_start_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.index < 0 or not self.end_seconds > self.start_seconds:
            raise ValueError(f"segment {self.index} must cover time, got [{self.start_seconds}, {self.end_seconds})")
        if self.frames.dtype != np.uint8 or self.frames.ndim != 4 or self.frames.shape[3] != 3:
            raise ValueError(f"frames must be uint8 [T, H, W, 3], got {self.frames.dtype} {self.frames.shape}")
        if self.frame_seconds.shape != self.frames.shape[:1]:
            raise ValueError(f"frame_seconds must be [{len(self.frames)}], got {self.frame_seconds.shape}")
        for name, sound in (("waveform", self.waveform), ("speech", self.speech)):
            if sound.dtype != np.float32 or sound.ndim != 1:
                raise ValueError(f"{name} must be float32 [N], got {sound.dtype} {sound.shape}")
        if set(self.status) != set(MODALITIES):
            raise ValueError(f"status must name {MODALITIES}, got {tuple(self.status)}")

    @property
    def text(self) -> str:
        """What is shown or said during the segment, cues joined by a space."""
        return " ".join(cue.text for cue in self.cues)

    def with_words(self, words: tuple[Cue, ...]) -> Self:
        """The same segment with recognised words in place of captions; unchanged if there are none."""
        if not words:
            return self
        return replace(
            self,
            cues=words,
            status={**self.status, "text": Status.OK},
            coverage={**self.coverage, "text": 1.0},
            amounts={**self.amounts, "text": len(words)},
        )

    def only(self, *modalities: Modality) -> Self:
        """The same segment without the pictures or the sound of other modalities: what travels to one encoder.

        What is left out is not held: the empty arrays in its place are no views of it.
        ``speech``, which is sound that becomes text, is kept where both of these are asked for.
        """
        return replace(
            self,
            frames=self.frames if "video" in modalities else self.frames[:0].copy(),
            frame_seconds=self.frame_seconds if "video" in modalities else self.frame_seconds[:0].copy(),
            waveform=self.waveform if "audio" in modalities else self.waveform[:0].copy(),
            cues=self.cues if "text" in modalities else (),
            speech=self.speech if {"audio", "text"} <= set(modalities) else self.speech[:0].copy(),
        )


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What one encoder makes of a batch of segments.

    Shape:
        - vectors: float32 [B, D]; a row of zeros where ``present`` is False
        - tags: float32 [B, C] in [0, 1], the scores of the encoder's own classes; C is 0 where it has none
        - present: bool [B], False where the segment had nothing for this encoder

    ``spoken`` has, for each segment, the words that were recognised in its sound and encoded in place of captions; it
    is () where nothing was listened to.
    """

    modality: Modality
    vectors: npt.NDArray[np.float32]
    tags: npt.NDArray[np.float32]
    present: npt.NDArray[np.bool_]
    spoken: tuple[tuple[Cue, ...], ...] = ()

    def __post_init__(self) -> None:
        if not len(self.vectors) == len(self.tags) == len(self.present) or len(self.spoken) not in (0, len(self)):
            raise ValueError(
                f"one row per segment, got vectors {self.vectors.shape}, tags {self.tags.shape}, "
                f"present {self.present.shape}, spoken ({len(self.spoken)})"
            )

    def __len__(self) -> int:
        return len(self.present)

    def __getitem__(self, rows: slice) -> Embeddings:
        return Embeddings(self.modality, self.vectors[rows], self.tags[rows], self.present[rows], self.spoken[rows])


@dataclass(frozen=True, slots=True)
class ModalityResult:
    """What one modality says of a segment, alone.

    ``weight`` is its share in the fused scores, in [0, 1]; ``labels`` are its own scores, best first.
    ``amount`` is what it was worked out from: frames of video, samples of audio, cues of text; ``coverage`` is the
    share of the segment that this is, and ``num_dropped`` what else had come and could not be placed. ``origin`` says
    where text comes from, ``captions`` or ``speech``, and ``cues`` are what it reads where rows are to hold that.
    """

    status: Status
    weight: float
    labels: tuple[tuple[str, float], ...]
    amount: int
    num_errors: int = 0
    num_dropped: int = 0
    coverage: float = 1.0
    origin: str = ""
    cues: tuple[Cue, ...] = ()


@dataclass(frozen=True, slots=True)
class Classification:
    """One row of the result: what is seen, heard and said in one segment.

    ``labels`` are fused scores, best first; they and ``other``, the share of "none of these", sum to at most 1.
    ``found`` are the labels whose score reaches their threshold, best first.
    ``latency_seconds`` runs to the row's being made, of a file from the segment's leaving the decoder, of a live source
    from the segment's end. ``offset_seconds``, ``live`` and ``outage`` are the segment's; where there is an outage,
    there are no labels. ``scores``, float32 [K], are those of all labels in the order of the vocabulary, from which
    events are made: they are not written, and a row that was read back has none.
    """

    source: str
    segment: int
    start_seconds: float
    end_seconds: float
    labels: tuple[tuple[str, float], ...]
    other: float
    modalities: Mapping[Modality, ModalityResult]
    model: str
    latency_seconds: float
    offset_seconds: float = 0.0
    live: LiveState | None = None
    outage: str = ""
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32), compare=False, repr=False)
    found: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The same for the same source, window and model, whenever and wherever it was worked out."""
        key = f"{self.source}\0{self.start_seconds:.6f}\0{self.end_seconds:.6f}\0{self.model}"
        return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON types, in the order in which people read it."""
        amounts = {"video": "frames", "audio": "samples", "text": "cues"}
        row = {
            "id": self.id,
            "schema": SCHEMA_VERSION,
            "source": self.source,
            "segment": self.segment,
            "start_seconds": round(self.start_seconds, 6),
            "end_seconds": round(self.end_seconds, 6),
            "labels": _scores_json(self.labels),
            "other": round(self.other, 6),
            "found": list(self.found),
            "modalities": {
                name: {
                    "status": str(result.status),
                    "weight": round(result.weight, 6),
                    "labels": _scores_json(result.labels),
                    amounts[name]: result.amount,
                    "coverage": round(result.coverage, 4),
                    "errors": result.num_errors,
                    "dropped": result.num_dropped,
                    **({"from": result.origin} if result.origin else {}),
                    **({"said": [_cue_json(cue) for cue in result.cues]} if result.cues else {}),
                }
                for name, result in sorted(self.modalities.items(), reverse=True)
            },
            "model": self.model,
            "latency_seconds": round(self.latency_seconds, 4),
            "offset_seconds": round(self.offset_seconds, 4),
        }
        if self.live is not None:
            row["live"] = self.live.to_json()
        if self.outage:
            row["outage"] = self.outage
        return row


@dataclass(frozen=True, slots=True)
class SourceReport:
    """How the reading of one source ended: rows and seconds of media in all, and what went wrong on the way.

    ``num_restarts`` counts workers that died on it and were replaced.
    """

    source: str
    num_segments: int
    media_seconds: float
    num_errors: int
    last_error: str
    num_restarts: int


def _cue_json(cue: Cue) -> dict[str, Any]:
    return {"start_seconds": round(cue.start_seconds, 3), "end_seconds": round(cue.end_seconds, 3), "text": cue.text}


def _scores_json(labels: tuple[tuple[str, float], ...]) -> list[dict[str, Any]]:
    return [{"label": label, "score": round(score, 6)} for label, score in labels]
