"""Scores and labelled times of a validation set -> for each label what makes an event of it, for the greatest event F1.

One setting is changed at a time, for all labels at once since these are followed apart, and kept for a label where its
F1 grows; that is gone through until nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streammm.events import Event, EventTracker
from streammm.training.metrics.events import Timed, event_counts
from streammm.training.metrics.segments import F1

Floats = npt.NDArray[np.float64]

OPEN, CLOSE, MIN, MERGE = range(4)
"""The settings of a label, in the columns of an array [K, 4]: two scores and two times in seconds."""

_OPEN_FACTORS = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5)
_CLOSE_SHARES = (0.25, 0.5, 0.75, 1.0)
_MIN_SEGMENTS = (0, 1, 2, 3)
_MERGE_SEGMENTS = (0, 1, 2, 4)
_MAX_ROUNDS = 3
_LEAST_EVENTS = 5
"""A label with fewer events keeps what it has: F1 of a handful says nothing."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One source: its true events, and T segments with the scores of K labels.

    Shape:
        - windows: float64 [T, 2], start and end seconds
        - scores: float64 [T, K]
    """

    truth: Sequence[Timed]
    windows: Floats
    scores: Floats
    media_seconds: float = 0.0


def usual_settings(thresholds: npt.ArrayLike) -> Floats:
    """What makes an event before anything is tuned: from its threshold down to half of it, float64 [K, 4]."""
    opens = np.asarray(thresholds, np.float64)
    return np.stack([opens, opens / 2, np.zeros_like(opens), np.zeros_like(opens)], 1)


def tune_events(sources: Sequence[Scored], labels: Sequence[str], thresholds: npt.ArrayLike) -> Floats:
    """The settings float64 [K, 4] with which the events found are most like the true ones.

    They are where they begin within a segment of each other, and end within one or half of the true one's length, so
    that what is merged has not only to begin well. Of equally good settings the first that was found is kept, which
    are the usual ones.
    """
    found = usual_settings(thresholds)
    length = float(np.median(np.concatenate([s.windows[:, 1] - s.windows[:, 0] for s in sources])))
    best, num_true = _f1(sources, labels, found, length)
    candidates: dict[int, list[Any]] = {
        OPEN: [np.minimum(0.95, factor * found[:, OPEN]) for factor in _OPEN_FACTORS],
        CLOSE: list(_CLOSE_SHARES),
        MIN: [count * length for count in _MIN_SEGMENTS],
        MERGE: [count * length for count in _MERGE_SEGMENTS],
    }
    for _ in range(_MAX_ROUNDS):
        before = found.copy()
        for column, values in candidates.items():
            for value in values:
                tried = found.copy()
                if column == OPEN:
                    tried[:, CLOSE] *= value / np.maximum(tried[:, OPEN], 1e-9)  # in the same proportion
                tried[:, column] = value * tried[:, OPEN] if column == CLOSE else value
                f1, _ = _f1(sources, labels, tried, length)
                better = (f1 > best + 1e-9) & (num_true >= _LEAST_EVENTS)
                found[better], best[better] = tried[better], f1[better]
        if np.array_equal(found, before):
            break
    return found


def _f1(
    sources: Sequence[Scored], labels: Sequence[str], settings: Floats, collar: float
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """F1 of each label, and how many true events it has: both [K]."""
    counts = np.zeros((len(labels), 3), np.int64)
    for source in sources:
        closed = [event for event in told_events(source, labels, settings) if event.state == "close"]
        counts += event_counts(source.truth, closed, labels, collar, offset_collar_seconds=collar)
    return np.nan_to_num(F1.of_counts(counts).by_label), counts[:, 0] + counts[:, 2]


def told_events(source: Scored, labels: Sequence[str], settings: Floats) -> list[Event]:
    """What becomes of events in a source, with settings [K, 4]."""
    tracker = EventTracker(
        "",
        labels,
        on=settings[:, OPEN],
        off=np.minimum(settings[:, CLOSE], settings[:, OPEN]),
        least_seconds=settings[:, MIN],
        merge_seconds=settings[:, MERGE],
    )
    told: list[Event] = []
    for (start, end), scores in zip(source.windows, source.scores, strict=True):
        told += tracker.push(float(start), float(end), scores)
    return told + tracker.flush()
