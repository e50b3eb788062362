"""Figures over events: hand-worked, and on random events beside sed_eval."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import permutations
from types import ModuleType

import numpy as np
import pytest

from streammm.events import Event, EventTracker
from streammm.training.metrics.events import Latency, event_counts, latencies_seconds, num_false_alarms
from streammm.training.metrics.segments import F1

LABELS = ("x", "y", "z")


@dataclass(frozen=True)
class Span:
    label: str
    start_seconds: float | None
    end_seconds: float | None


def event(label: str, start: float, end: float, opened: float) -> Event:
    return Event("a", label, start, end, start, 1.0, 1.0, 1.0, 1, opened, "close")


def test_counts_by_hand() -> None:
    truth = [Span("x", 0, 10), Span("x", 20, 30), Span("y", 0, 5)]
    found = [Span("x", 1, 3), Span("x", 1.5, 3), Span("x", 24, 30), Span("z", 0, 1)]
    assert event_counts(truth, found, LABELS, 2.0).tolist() == [[1, 2, 1], [0, 0, 1], [0, 1, 0]]
    assert event_counts(truth, found, LABELS, 4.0).tolist()[0] == [2, 1, 0]
    # The end may be off by half of ten seconds: 3 is too early for 10, 30 is right.
    counts = event_counts(truth, found, LABELS, 4.0, offset_collar_seconds=1.0)
    assert counts.tolist()[0] == [1, 2, 1]
    assert F1.of_counts(counts).micro == pytest.approx(2 * 1 / (2 * 1 + 3 + 2))
    with pytest.raises(ValueError, match="only labels with times"):
        event_counts([Span("x", None, None)], [], LABELS, 1.0)


def test_as_many_pairs_as_can_be_are_made() -> None:
    # The first true event must give up its nearest partner, since the second has no other.
    truth, found = [Span("x", 1.0, 2), Span("x", 2.5, 4)], [Span("x", 1.6, 2), Span("x", 0.2, 2)]
    assert event_counts(truth, found, ["x"], 1.0).tolist() == [[2, 0, 0]]


@pytest.mark.parametrize("seed", range(40))
def test_pairs_are_most_of_all_ways_to_pair(seed: int) -> None:
    draw = np.random.default_rng(seed)
    true, mine = draw.uniform(0, 6, (6, 2)), draw.uniform(0, 6, (6, 2))
    fits = (np.abs(true[:, None, 0] - mine[:, 0]) <= 1) & (np.abs(true[:, None, 1] - mine[:, 1]) <= 2.0)
    most = max(sum(fits[i, j] for i, j in enumerate(order)) for order in permutations(range(6)))
    spans = [[Span("x", float(a), float(b)) for a, b in side] for side in (true, mine)]
    counts = event_counts(*spans, ["x"], 1.0, offset_collar_seconds=2.0, offset_share=0.0)
    assert counts.tolist() == [[most, 6 - most, 6 - most]]


def test_latency_by_hand() -> None:
    truth = [Span("x", 10, 20), Span("x", 40, 50), Span("y", 0, 5), Span("x", 60, 70)]
    found = [event("x", 8, 14, 12.0), event("x", 15, 18, 16.0), event("x", 44, 52, 46.0), event("x", 55, 90, 57.0)]
    told = latencies_seconds(truth, found)
    assert told.tolist() == [2.0, 6.0, np.inf, 0.0]
    latency = Latency.of(told)
    assert (latency.median_seconds, latency.num_events, latency.num_missed) == (2.0, 4, 1)
    assert latency.p90_seconds == pytest.approx(5.2)
    nothing = Latency.of(np.array([np.inf]))
    assert (nothing.num_missed, np.isnan(nothing.median_seconds)) == (1, True)


def test_events_of_a_tracker_are_told_when_they_open() -> None:
    tracker = EventTracker("a", ["x"], least_seconds=3.0)
    found = [e for n, p in enumerate([0, 1, 1, 1, 1, 0]) for e in tracker.push(n, n + 1, [p]) if e.state == "close"]
    assert latencies_seconds([Span("x", 1.5, 5)], found).tolist() == [2.5]


def test_false_alarms_are_those_that_overlap_no_true_event() -> None:
    truth = [Span("x", 10, 20)]
    found = [Span("x", 0, 10), Span("x", 19, 30), Span("y", 12, 14), Span("x", 20, 21)]
    assert num_false_alarms(truth, found) == 3
    assert num_false_alarms([], []) == 0


@pytest.fixture(scope="module")
def sed_eval():
    """The public oracle. It wants setuptools' pkg_resources, which is gone, for nothing that is used here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pkg_resources", ModuleType("pkg_resources"))
        import sed_eval
    return sed_eval


def draw_spans(draw: np.random.Generator, count: int) -> list[Span]:
    starts = draw.uniform(0, 60, count)
    labels = [*LABELS, *draw.choice(LABELS, count - 3)]
    return [
        Span(str(k), float(s), float(s + d))
        for k, s, d in zip(labels, starts, draw.uniform(0.5, 8, count), strict=True)
    ]


@pytest.mark.parametrize("with_offsets", [False, True])
def test_as_sed_eval(sed_eval, with_offsets: bool) -> None:
    draw = np.random.default_rng(3)
    theirs = sed_eval.sound_event.EventBasedMetrics(list(LABELS), evaluate_offset=with_offsets, t_collar=1.0)
    counts = np.zeros((3, 3), int)
    for n in range(12):
        truth, found = draw_spans(draw, 20), draw_spans(draw, 25)
        counts += event_counts(truth, found, LABELS, 1.0, offset_collar_seconds=1.0 if with_offsets else None)
        theirs.evaluate(*(
            [{"file": str(n), "event_label": s.label, "onset": s.start_seconds, "offset": s.end_seconds} for s in side]
            for side in (truth, found)
        ))  # fmt: skip
    ours = F1.of_counts(counts)
    assert counts[:, 0].sum() == theirs.overall["Ntp"] > 10
    assert ours.micro == pytest.approx(theirs.results_overall_metrics()["f_measure"]["f_measure"])
    assert ours.macro == pytest.approx(theirs.results_class_wise_average_metrics()["f_measure"]["f_measure"])
