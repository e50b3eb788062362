"""Entries as a journal hands them out, with known content."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from streammm.errors import SourceError
from streammm.events import Event
from streammm.journal import Entry, quarantine_entry
from streammm.types import Classification, Cue, LiveState, Modality, ModalityResult, Status

LIVE = LiveState(1_767_225_599.0, 0.2)  # a second before 2026


def row(
    source: str = "a.mp4",
    segment: int = 0,
    labels: Sequence[tuple[str, float]] = (("music", 0.75), ("bird", 0.25)),
    seconds: float = 2.0,
    **changes: Any,
) -> Classification:
    """A row of segment number so and so, each of so many seconds."""
    results: dict[Modality, ModalityResult] = {
        "video": ModalityResult(Status.OK, 0.5, (("bird", 0.5),), 4),
        "audio": ModalityResult(Status.OK, 0.25, (("music", 0.9),), 32_000),
        "text": ModalityResult(Status.OK, 0.25, (), 1, origin="captions", cues=(Cue(0.5, 1.0, "hello"),)),
    }
    values: dict[str, Any] = {
        "source": source,
        "segment": segment,
        "start_seconds": seconds * segment,
        "end_seconds": seconds * (segment + 1),
        "labels": tuple(labels),
        "other": 0.0,
        "found": tuple(label for label, score in labels if score >= 0.2),
        "modalities": results,
        "model": "m:1",
        "latency_seconds": 0.5,
    }
    return Classification(**(values | changes))


def row_entry(made: Classification, position: int = 0) -> Entry:
    return Entry(made.source, made.segment, "row", json.dumps(made.to_json(), ensure_ascii=False), position)


def rows(first: int, last: int, source: str = "a.mp4", **changes: Any) -> list[Entry]:
    """The rows of segments [first, last), at positions one higher than their segments."""
    return [row_entry(row(source, n, **changes), n + 1) for n in range(first, last)]


def event_entry(position: int = 0, source: str = "a.mp4", state: str = "open") -> Entry:
    event: Any = Event(source, "music", 2.0, 6.0, 4.0, 0.7, 0.9, 0.8, 2, 4.0, state)  # type: ignore[arg-type]
    return Entry(source, 2, "event", json.dumps({**event.to_json(), "segment": 2, "model": "m:1"}), position)


def quarantined(position: int = 0, source: str = "b.mp4") -> Entry:
    made = quarantine_entry(SourceError(source, "torn", "in two"))
    return Entry(made.source, made.segment, made.kind, made.text, position)
