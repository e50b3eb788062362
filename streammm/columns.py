"""Stored rows -> Arrow: one flat table with a fixed schema, whatever is in the rows. Needs pyarrow.

A column for each key of a row; what a row nests is named through: ``video_status``, ``audio_weight``, ``text_labels``,
``live_start``. ``label`` and ``score`` are the best label and its score, null in an outage. Lists of labels are
``list<struct<label: string, score: double>>``, best first. Columns that a row has nothing for are null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

_LABELS = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float64())]))
_CUES = pa.list_(pa.struct([("start_seconds", pa.float64()), ("end_seconds", pa.float64()), ("text", pa.string())]))
_AMOUNTS = {"video": "frames", "audio": "samples", "text": "cues"}


def _of_modality(modality: str) -> list[tuple[str, pa.DataType]]:
    columns = {
        "status": pa.string(),
        "weight": pa.float64(),
        "labels": _LABELS,
        _AMOUNTS[modality]: pa.int64(),
        "coverage": pa.float64(),
        "errors": pa.int64(),
        "dropped": pa.int64(),
    }
    if modality == "text":
        columns |= {"from": pa.string(), "said": _CUES}
    return [(f"{modality}_{name}", kind) for name, kind in columns.items()]


SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("segment", pa.int64()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("label", pa.string()),
        ("score", pa.float64()),
        ("labels", _LABELS),
        ("other", pa.float64()),
        *_of_modality("video"),
        *_of_modality("audio"),
        *_of_modality("text"),
        ("model", pa.string()),
        ("latency_seconds", pa.float64()),
        ("offset_seconds", pa.float64()),
        ("live_start", pa.timestamp("ms", "UTC")),
        ("live_lag_seconds", pa.float64()),
        ("live_shed", pa.string()),
        ("live_reconnects", pa.int64()),
        ("live_outage_seconds", pa.float64()),
        ("live_dropped_segments", pa.int64()),
        ("live_shed_steps", pa.int64()),
        ("live_jumps", pa.int64()),
        ("live_reopens", pa.int64()),
        ("outage", pa.string()),
    ]
)
"""The columns of every table of rows."""


def batch_of(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Stored rows, as `Classification.to_json` makes them, in the columns of ``SCHEMA``.

    Raises:
        KeyError, ValueError: one of them is no row.
    """
    return pa.RecordBatch.from_pylist([_flat(row) for row in rows], SCHEMA)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in row.items() if key not in ("modalities", "live")}
    for modality, found in row["modalities"].items():
        flat |= {f"{modality}_{key}": value for key, value in found.items()}
    if live := row.get("live"):
        flat |= {f"live_{key}": value for key, value in live.items()}
        flat["live_start"] = datetime.fromisoformat(live["start"])
    best = row["labels"][0] if row["labels"] else {"label": None, "score": None}
    return {**flat, "label": best["label"], "score": best["score"]}
