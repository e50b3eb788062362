"""Rows read back from the JSON in which they are stored: the inverse of `Classification.to_json`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from streammm.types import Classification, Cue, LiveState, Modality, ModalityResult, Status

_AMOUNTS: dict[Modality, str] = {"audio": "samples", "text": "cues", "video": "frames"}


def row_from_json(data: Mapping[str, Any]) -> Classification:
    """The row of which this is the JSON; scores have the six digits that are stored.

    Raises:
        KeyError, ValueError: it is not the JSON of a row.
    """
    return Classification(
        source=data["source"],
        segment=data["segment"],
        start_seconds=data["start_seconds"],
        end_seconds=data["end_seconds"],
        labels=_labels(data["labels"]),
        other=data["other"],
        modalities={
            m: ModalityResult(
                status=Status(found["status"]),
                weight=found["weight"],
                labels=_labels(found["labels"]),
                amount=found[amount],
                num_errors=found["errors"],
                num_dropped=found["dropped"],
                coverage=found["coverage"],
                origin=found.get("from", ""),
                cues=tuple(Cue(**cue) for cue in found.get("said", ())),
            )
            for m, amount in _AMOUNTS.items()
            for found in [data["modalities"][m]]
        },
        model=data["model"],
        latency_seconds=data["latency_seconds"],
        offset_seconds=data["offset_seconds"],
        live=_live(data["live"]) if "live" in data else None,
        outage=data.get("outage", ""),
        found=tuple(data.get("found", ())),
    )


def _labels(found: list[dict[str, Any]]) -> tuple[tuple[str, float], ...]:
    return tuple((entry["label"], entry["score"]) for entry in found)


def _live(found: Mapping[str, Any]) -> LiveState:
    return LiveState(
        start_unix_seconds=datetime.fromisoformat(found["start"]).timestamp(),
        lag_seconds=found["lag_seconds"],
        shed=found["shed"],
        num_reconnects=found["reconnects"],
        outage_seconds=found["outage_seconds"],
        num_dropped_segments=found["dropped_segments"],
        num_shed_steps=found["shed_steps"],
        num_jumps=found["jumps"],
        num_reopens=found["reopens"],
    )
