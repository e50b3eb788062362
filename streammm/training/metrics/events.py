"""How well events are found: which, how soon, and how many that are none.

The functions compare the events of one source; what they return is added up or put together over sources. An event is
anything with a label, a start and an end, such as an `Annotation` or what `events.py` tells at its close.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from streammm.events import Event


class Timed(Protocol):
    """A label that holds during [start_seconds, end_seconds)."""

    @property
    def label(self) -> str: ...
    @property
    def start_seconds(self) -> float | None: ...
    @property
    def end_seconds(self) -> float | None: ...


def event_counts(
    truth: Sequence[Timed],
    found: Sequence[Timed],
    labels: Sequence[str],
    onset_collar_seconds: float,
    *,
    offset_collar_seconds: float | None = None,
    offset_share: float = 0.5,
) -> npt.NDArray[np.int64]:
    """Events of one source found, found wrongly and missed: int64 [K, 3], summed over sources for `F1.of_counts`.

    Two events of a label are the same where their starts differ by no more than the collar and, if an offset collar is
    given, their ends by no more than that or ``offset_share`` of the true event's length. As many pairs as can be are
    made, each event in one at most. A. Mesaros, T. Heittola and T. Virtanen, "Metrics for polyphonic sound event
    detection", Applied Sciences 2016; sed_eval's ``EventBasedMetrics`` counts the same.

    Args:
        onset_collar_seconds: the length of a segment is a sensible value, since starts are known no better.
        offset_collar_seconds: None asks nothing of ends.
    """
    counts = np.zeros((len(labels), 3), np.int64)
    for k, label in enumerate(labels):
        true, mine = _times(truth, label), _times(found, label)
        fits = np.abs(true[:, None, 0] - mine[None, :, 0]) <= onset_collar_seconds
        if offset_collar_seconds is not None:
            allowed = np.maximum(offset_collar_seconds, offset_share * (true[:, 1] - true[:, 0]))
            fits &= np.abs(true[:, None, 1] - mine[None, :, 1]) <= allowed[:, None]
        num_pairs = _most_pairs([np.flatnonzero(row).tolist() for row in fits])
        counts[k] = num_pairs, len(mine) - num_pairs, len(true) - num_pairs
    return counts


def latencies_seconds(truth: Sequence[Timed], found: Sequence[Event]) -> npt.NDArray[np.float64]:
    """How long after the start of each true event of one source it was told, float64 [R]; infinite where it never was.

    It is told by the first event of its label that overlaps it, at that event's ``opened_seconds``; by one that was
    open before, at once. What a pipeline waits for besides, such as segments to look ahead to, comes on top.
    """
    told = np.full(len(truth), np.inf)
    for r, event in enumerate(truth):
        start, end = _interval(event)
        opened = [
            e.opened_seconds
            for e in found
            if e.label == event.label and e.start_seconds < end and start < e.end_seconds
        ]
        if opened:
            told[r] = max(0.0, min(opened) - start)
    return told


@dataclass(frozen=True, slots=True)
class Latency:
    """How soon events are told: over those that are, with those that are not counted beside them."""

    median_seconds: float
    p90_seconds: float
    num_events: int
    num_missed: int

    @classmethod
    def of(cls, latencies: npt.NDArray[np.floating]) -> Latency:
        """From `latencies_seconds` of any number of sources; NaN where no event was told."""
        told = latencies[np.isfinite(latencies)]
        median, p90 = np.quantile(told, [0.5, 0.9]) if len(told) else (np.nan, np.nan)
        return cls(float(median), float(p90), len(latencies), len(latencies) - len(told))


def num_false_alarms(truth: Sequence[Timed], found: Sequence[Timed]) -> int:
    """How many events of one source overlap no true event of their label; per hour, divide by the hours of media."""
    count = 0
    for event in found:
        start, end = _interval(event)
        true = _times(truth, event.label)
        count += not ((true[:, 0] < end) & (start < true[:, 1])).any()
    return count


def _interval(event: Timed) -> tuple[float, float]:
    if event.start_seconds is None or event.end_seconds is None:
        raise ValueError(f"only labels with times are events, got {event}")
    return event.start_seconds, event.end_seconds


def _times(events: Sequence[Timed], label: str) -> npt.NDArray[np.float64]:
    return np.array([_interval(e) for e in events if e.label == label], np.float64).reshape(-1, 2)


def _most_pairs(partners: Sequence[Sequence[int]]) -> int:
    """The size of a largest matching, grown by augmenting paths. C. Berge, "Two theorems in graph theory", 1957."""
    other_of: dict[int, int] = {}
    one_of: dict[int, int] = {}
    for first in range(len(partners)):
        came_from: dict[int, int] = {}
        waiting = deque([first])
        free: int | None = None
        while waiting and free is None:
            one = waiting.popleft()
            for other in partners[one]:
                if other in came_from:
                    continue
                came_from[other] = one
                if other not in one_of:
                    free = other
                    break
                waiting.append(one_of[other])
        while free is not None:  # takes the path back: each one on it gives up its partner for another
            one = came_from[free]
            given_up = other_of.get(one)
            other_of[one], one_of[free] = free, one
            free = given_up
    return len(other_of)
