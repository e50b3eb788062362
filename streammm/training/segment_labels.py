"""Annotations of one source and the times of its segments -> what each segment is to be taught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streammm.training.annotations import Annotation

_LEAST_SHARE = 0.5 - 1e-9
"""A segment takes a label that covers half of it; times that are rounded may make a little less of a half."""


@dataclass(frozen=True, slots=True)
class SegmentLabels:
    """What is known of T segments of a source and K labels.

    Shape:
        - targets: float32 [T, K], one where the label holds
        - known: bool [T], False where the targets say nothing of this very segment
        - weak: float32 [K], the labels that hold somewhere in the source, or None where nobody gave such labels
    """

    targets: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]
    weak: npt.NDArray[np.float32] | None


def segment_labels(
    annotations: Sequence[Annotation], windows: npt.ArrayLike, labels: Sequence[str], multi_label: bool
) -> SegmentLabels:
    """Gives each segment the labels that cover at least half of it.

    An event that covers half of no segment, be it short or across two, goes to the one that has the most of it, so that
    none is lost. With ``multi_label`` a segment takes all such labels, and where a source has labels with times, all of
    its segments are known: what nobody labelled is not there. Without, it takes the one that covers most, and is known
    only where there is one. A label that is not among ``labels`` takes its segments and teaches nothing.

    Where a source has only weak labels, they are every segment's targets and no segment is known. An empty label over
    the whole source says that nothing is there, which with ``multi_label`` makes all known.

    Args:
        annotations: of this source only.
        windows: float64 [T, 2], start and end seconds of each segment.
        labels: K names, in the order of the columns.
    """
    spans = np.asarray(windows, np.float64).reshape(-1, 2)
    names = list(dict.fromkeys([*labels, *(a.label for a in annotations)]))
    timed = [
        (names.index(a.label), a.start_seconds, a.end_seconds)
        for a in annotations
        if a.start_seconds is not None and a.end_seconds is not None
    ]
    held = {a.label for a in annotations if a.start_seconds is None}
    weak = np.array([label in held for label in labels], np.float32)
    num_segments, num_labels = len(spans), len(labels)
    if not timed:
        is_known = multi_label and held == {""}
        targets = np.tile(weak, (num_segments, 1))
        return SegmentLabels(targets, np.full(num_segments, is_known), weak if weak.any() or is_known else None)
    cover = np.zeros((num_segments, len(names)))
    for k in {k for k, _, _ in timed}:
        for start, end in _union([(a, b) for other, a, b in timed if other == k]):
            cover[:, k] += _overlap(spans, start, end)
    cover /= (spans[:, 1] - spans[:, 0])[:, None]
    takes = cover >= _LEAST_SHARE
    for k, start, end in timed:
        overlap = _overlap(spans, start, end)
        if (overlap > 0).any() and not (takes[:, k] & (overlap > 0)).any():
            takes[np.argmax(overlap), k] = True
    if multi_label:
        known = np.ones(num_segments, bool)
    else:
        most = np.argmax(np.where(takes, cover, -1.0), 1)
        known = takes.any(1) & (most < num_labels)
        takes = (np.arange(len(names)) == most[:, None]) & known[:, None]
    targets = takes[:, :num_labels].astype(np.float32)
    return SegmentLabels(targets, known, weak if weak.any() else None)


def _overlap(spans: npt.NDArray[np.float64], start: float, end: float) -> npt.NDArray[np.float64]:
    overlap: npt.NDArray[np.float64] = np.minimum(spans[:, 1], end) - np.maximum(spans[:, 0], start)
    return overlap.clip(0.0)


def _union(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined
