"""Embeddings in a journal: read back as they were, and content of whole small numbers in a byte each."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streammm.kept import embeddings_entry, kept_of
from streammm.types import MODALITIES, Embeddings, Segment, Status


@pytest.mark.parametrize(
    ("values", "bytes_a_number"),
    [
        ([0.0, 255.0, 7.0], 1),
        ([0.0, 256.0, 7.0], 4),
        ([-1.0, 2.0, 3.0], 4),
        ([0.5, 1.0, 2.0], 4),
        ([1.0, np.nan, 2.0], 4),
        ([np.inf, 1.0, 2.0], 4),
    ],
)
def test_what_is_kept_is_read_back(values: list[float], bytes_a_number: int) -> None:
    empty = np.zeros(0, np.float32)
    status = dict.fromkeys(MODALITIES, Status.OK)
    segment = Segment("a.mp4", 3, 6.0, 8.0, np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0), empty, (), status)
    vectors = np.tile(np.array(values * 100, np.float32), (2, 1))
    made = Embeddings("video", vectors, np.full((2, 1), 0.25, np.float32), np.array([False, True]))
    entry = embeddings_entry(segment, {"video": made}, 1)
    found = kept_of(entry)
    assert (found.source, found.segment, found.start_seconds, found.end_seconds) == ("a.mp4", 3, 6.0, 8.0)
    np.testing.assert_array_equal(found.vectors["video"], vectors[1])
    assert found.vectors["video"].dtype == np.float32
    assert found.tags["video"].tolist() == [0.25]
    assert len(json.loads(entry.text)["vectors"]["video"]) == pytest.approx(300 * bytes_a_number * 4 / 3, abs=4)
    assert kept_of(embeddings_entry(segment, {"video": made}, 0)).vectors == {}
