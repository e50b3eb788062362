"""What makes an event, found on sources with known events: each setting where it alone matters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from streammm.training.metrics.events import event_counts
from streammm.training.metrics.segments import F1
from streammm.training.tune_events import (
    CLOSE,
    MERGE,
    MIN,
    OPEN,
    Scored,
    told_events,
    tune_events,
    usual_settings,
)


@dataclass(frozen=True)
class Span:
    label: str
    start_seconds: float
    end_seconds: float


def source(scores: list[float], *spans: tuple[float, float]) -> Scored:
    """Segments of a second of one label, x."""
    windows = np.stack([np.arange(len(scores)), np.arange(len(scores)) + 1.0], 1)
    return Scored([Span("x", *span) for span in spans], windows, np.array(scores)[:, None])


def event_f1(sources: list[Scored], settings: np.ndarray) -> float:
    counts = np.zeros((1, 3), int)
    for one in sources:
        closed = [e for e in told_events(one, ["x"], settings) if e.state == "close"]
        counts += event_counts(one.truth, closed, ["x"], 1.0, offset_collar_seconds=1.0)
    return F1.of_counts(counts).micro


QUIET = [0.1] * 8
CASES = {
    "a threshold that was too high": (OPEN, [source([*QUIET, *[0.35] * 6, *QUIET], (8, 14))] * 6),
    "scores that go down slowly": (CLOSE, [source([*QUIET, 0.8, 0.8, 0.2, 0.2, 0.2, 0.2, 0.2, *QUIET], (8, 15))] * 6),
    "short noise": (MIN, [source([*QUIET, 0.9, *QUIET, *[0.9] * 6, *QUIET, 0.9, *QUIET], (17, 23))] * 6),
    "pauses": (MERGE, [source([*QUIET, 0.9, 0.9, 0.1, 0.1, 0.9, 0.9, 0.1, 0.1, 0.9, 0.9, *QUIET], (8, 18))] * 6),
}


@pytest.mark.parametrize("case", CASES)
def test_the_setting_that_matters_is_found(case: str) -> None:
    column, sources = CASES[case]
    usual = usual_settings([0.5])
    assert event_f1(sources, usual) < 0.7
    tuned = tune_events(sources, ["x"], [0.5])
    assert event_f1(sources, tuned) == 1.0
    assert tuned[0, column] != usual[0, column]
    assert tuned[0, CLOSE] <= tuned[0, OPEN]


def test_what_is_good_already_stays() -> None:
    sources = [source([*QUIET, *[0.9] * 6, *QUIET], (8, 14))] * 6
    assert tune_events(sources, ["x"], [0.5]).tolist() == [[0.5, 0.25, 0.0, 0.0]]


def test_a_handful_of_events_tunes_nothing() -> None:
    _, sources = CASES["pauses"]
    assert tune_events(sources[:4], ["x"], [0.5]).tolist() == [[0.5, 0.25, 0.0, 0.0]]


def test_labels_are_tuned_apart() -> None:
    one, other = CASES["pauses"][1][0], CASES["short noise"][1][0]
    length = min(len(one.scores), len(other.scores))
    scores = np.stack([one.scores[:length, 0], np.resize(other.scores[:, 0], length)], 1)
    truth = [*one.truth, Span("y", 17, 23)]
    both = [Scored(truth, one.windows[:length], scores)] * 6
    tuned = tune_events(both, ["x", "y"], [0.5, 0.5])
    assert tuned[0, MERGE] > 0
    assert tuned[0, MIN] == 0
