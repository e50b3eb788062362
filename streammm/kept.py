"""Embeddings as they are kept in a journal: one line of JSON a segment, arrays in base64, and read back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streammm.journal import Entry
from streammm.types import Embeddings, Modality, Segment

KIND = "embeddings"

_BYTES = "u1:"
"""Begins what is kept a byte a number."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What the encoders made of one segment: by modality that was there, float32 [D] vectors and [C] class scores."""

    source: str
    segment: int
    start_seconds: float
    end_seconds: float
    vectors: Mapping[Modality, npt.NDArray[np.float32]]
    tags: Mapping[Modality, npt.NDArray[np.float32]]


def embeddings_entry(segment: Segment, embeddings: Mapping[Modality, Embeddings], position: int) -> Entry:
    """What is committed of one segment of a batch of embeddings."""
    there = {m: made for m, made in embeddings.items() if made.present[position]}
    fields = {
        "start_seconds": segment.start_seconds,
        "end_seconds": segment.end_seconds,
        "vectors": {m: _to_text(made.vectors[position]) for m, made in there.items()},
        "tags": {m: _to_text(made.tags[position]) for m, made in there.items()},
    }
    return Entry(segment.source, segment.index, KIND, json.dumps(fields))


def kept_of(entry: Entry) -> Kept:
    """The embeddings in an entry of their kind.

    Raises:
        KeyError, ValueError: it holds none.
    """
    fields = json.loads(entry.text)
    assert entry.segment is not None
    return Kept(
        entry.source,
        entry.segment,
        fields["start_seconds"],
        fields["end_seconds"],
        {m: _to_array(text) for m, text in fields["vectors"].items()},
        {m: _to_array(text) for m, text in fields["tags"].items()},
    )


def tight(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | npt.NDArray[np.uint8]:
    """The same numbers as uint8 if all of them are, as those of pixels: a quarter of the bytes."""
    with np.errstate(invalid="ignore"):
        small = values.astype(np.uint8)
    return small if np.array_equal(small, values) else values


def _to_text(values: npt.NDArray[np.float32]) -> str:
    found = tight(values)
    if found.dtype == np.uint8:
        return _BYTES + base64.b64encode(found.tobytes()).decode()
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def _to_array(text: str) -> npt.NDArray[np.float32]:
    kind = "u1" if text.startswith(_BYTES) else "<f4"
    return np.frombuffer(base64.b64decode(text.removeprefix(_BYTES), validate=True), kind).astype(np.float32)
