"""Embeddings in a journal: read back as they were, and content of whole small numbers in a byte each at most."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from streammm.journal import Entry
from streammm.kept import Kept, embeddings_entry, kept_of
from streammm.types import MODALITIES, Embeddings, Segment, Status


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 255.0, 7.0],
        [0.0, 256.0, 7.0],
        [-1.0, 2.0, 3.0],
        [0.5, 1.0, 2.0],
        [1.0, np.nan, 2.0],
        [np.inf, 1.0, 2.0],
        [3.4e38, 1.0, 1e-40],
    ],
)
def test_what_is_kept_is_read_back(values: list[float]) -> None:
    vectors = np.array(values * 100, np.float32)
    _, found = kept(vectors)
    assert (found.source, found.segment, found.start_seconds, found.end_seconds) == ("a.mp4", 3, 6.0, 8.0)
    np.testing.assert_allclose(found.vectors["video"], vectors, rtol=2**-17, atol=1e-42)
    assert found.vectors["video"].dtype == np.float32
    assert found.tags["video"].tolist() == [0.25]
    assert kept(vectors, is_there=False)[1].vectors == {}


@pytest.mark.parametrize(("is_pixels", "bytes_a_number"), [(True, 1.0), (False, 2.9)])
def test_pixels_take_a_byte_each_and_other_numbers_less_than_three(is_pixels: bool, bytes_a_number: float) -> None:
    draw = np.random.default_rng(0)
    made = draw.integers(0, 256, 9000) if is_pixels else draw.normal(size=9000)
    entry, _ = kept(made.astype(np.float32))
    assert len(json.loads(entry.text)["vectors"]["video"]) < 9000 * bytes_a_number * 4 / 3 + 50


@pytest.mark.parametrize("damage", ["no base64!", "eA==", "eJxLTEoGAAJNASc=", "u1:eA=="])
def test_a_damaged_array_is_an_error_when_it_is_looked_at(damage: str) -> None:
    entry, _ = kept(np.ones(3, np.float32))
    fields = json.loads(entry.text) | {"vectors": {"video": damage}}
    found = kept_of(replace(entry, text=json.dumps(fields)))
    with pytest.raises(ValueError, match=r"."):
        found.vectors["video"]
    with pytest.raises(ValueError, match="packed in the way 1"):
        kept_of(replace(entry, text=json.dumps(fields | {"packed": 1})))


def kept(vectors: np.ndarray, is_there: bool = True) -> tuple[Entry, Kept]:
    """The entry of a segment, and what is read of it."""
    empty = np.zeros(0, np.float32)
    status = dict.fromkeys(MODALITIES, Status.OK)
    segment = Segment("a.mp4", 3, 6.0, 8.0, np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0), empty, (), status)
    made = Embeddings("video", vectors[None], np.full((1, 1), 0.25, np.float32), np.array([is_there]))
    entry = embeddings_entry(segment, {"video": made}, 0)
    return entry, kept_of(entry)
