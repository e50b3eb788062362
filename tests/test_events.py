"""Events from scores: hand-worked, against a plain re-implementation over whole sequences, and cut anywhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from streammm.events import Event, EventTracker

UNIX = 1_790_000_000.0


def told(tracker: EventTracker, scores: list[float], starts: list[float] | None = None) -> list[tuple]:
    """What one label's events look like, with segments of a second; the end of the source is not told."""
    events: list[Event] = []
    for n, score in enumerate(scores):
        start = starts[n] if starts else float(n)
        events += tracker.push(start, start + 1.0, [score])
    return [(e.state, e.start_seconds, e.end_seconds) for e in events]


def test_an_event_opens_at_on_and_ends_below_off() -> None:
    found = told(EventTracker("a", ["x"], on=0.6, off=0.3), [0.5, 0.6, 0.3, 0.29, 0.5])
    assert found == [("open", 1.0, 2.0), ("update", 1.0, 3.0), ("close", 1.0, 3.0)]


def test_scores_are_of_the_segments_in_which_it_was_on() -> None:
    tracker = EventTracker("a", ["x"], on=0.6, off=0.3, merge_seconds=1.0)
    for n, score in enumerate([0.6, 0.1, 0.9, 0.3]):
        tracker.push(n, n + 1.0, [score])
    (event,) = tracker.flush()
    assert (event.peak_score, event.num_segments, event.opened_seconds) == (0.9, 3, 1.0)
    assert event.mean_score == pytest.approx(0.6)


def test_an_event_closes_only_when_nothing_can_be_merged_with_it() -> None:
    tracker = EventTracker("a", ["x"], merge_seconds=2.0)
    assert told(tracker, [1, 0, 0]) == [("open", 0.0, 1.0)]
    assert told(tracker, [1, 0, 0, 0], [3.0, 4.0, 5.0, 6.0]) == [("update", 0.0, 4.0), ("close", 0.0, 4.0)]


def test_a_longer_pause_parts_two_events() -> None:
    found = told(EventTracker("a", ["x"], merge_seconds=1.0), [1, 0, 1, 0, 0, 1])
    assert found == [("open", 0, 1), ("update", 0, 3), ("close", 0, 3), ("open", 5, 6)]


def test_a_short_event_is_not_told_and_counted() -> None:
    tracker = EventTracker("a", ["x"], least_seconds=2.0)
    assert told(tracker, [1, 0, 1, 1, 1, 0]) == [("open", 2, 4), ("update", 2, 5), ("close", 2, 5)]
    assert tracker.num_dropped == 1


def test_a_missing_stretch_ends_an_event_and_a_short_one_does_not() -> None:
    found = told(EventTracker("a", ["x"], gap_seconds=1.0), [1, 1, 1], [0.0, 2.0, 4.5])
    assert found == [("open", 0, 1), ("update", 0, 3), ("close", 0, 3), ("open", 4.5, 5.5)]


def test_an_overlapping_segment_counts_for_what_it_adds() -> None:
    tracker = EventTracker("a", ["x"])
    found = [e for n, p in enumerate([0, 1, 1, 0]) for e in tracker.push(n, n + 2.0, [p])]
    assert [(e.state, e.start_seconds, e.end_seconds) for e in found] == [
        ("open", 2.0, 3.0), ("update", 2.0, 4.0), ("close", 2.0, 4.0)]  # fmt: skip


@pytest.mark.parametrize(("until", "closes"), [(2.5, False), (4.1, True)])
def test_where_nothing_is_known_for_too_long_an_event_closes_before_more_comes(until: float, closes: bool) -> None:
    tracker = EventTracker("a", ["x"], gap_seconds=1.0, merge_seconds=2.0)
    assert told(tracker, [1, 1]) == [("open", 0, 1), ("update", 0, 2)]
    closed = [("close", 0, 2)] if closes else []
    assert [(e.state, e.start_seconds, e.end_seconds) for e in tracker.skip(until)] == closed
    begins = "open" if closes else "update"
    assert [e.state for e in tracker.push(until, until + 1.0, [1])] == [begins]


def test_an_event_says_what_its_last_segment_added() -> None:
    tracker = EventTracker("a", ["x"], merge_seconds=1.0)
    found = [e for n, p in enumerate([0.9, 0.6, 0.0, 0.7]) for e in tracker.push(n, n + 1.0, [p])] + tracker.flush()
    assert [(e.score, e.last_start_seconds) for e in found] == [(0.9, 0), (0.6, 1), (0.7, 3), (0.7, 3)]


def test_a_clock_set_back_closes_and_starts_anew() -> None:
    found = told(EventTracker("a", ["x"], merge_seconds=9.0), [1, 1, 0], [10.0, 2.0, 3.0])
    assert found == [("open", 10, 11), ("close", 10, 11), ("open", 2, 3)]


def test_labels_are_followed_apart_with_scores_of_their_own() -> None:
    tracker = EventTracker("a", ["x", "y"], on=[0.5, 0.9], off=[0.5, 0.2])
    events = tracker.push(0, 1, [0.8, 0.8]) + tracker.push(1, 2, [0.4, 0.9]) + tracker.push(2, 3, [0.4, 0.2])
    assert [(e.label, e.state) for e in events] == [("x", "open"), ("x", "close"), ("y", "open"), ("y", "update")]


def test_the_id_is_that_of_source_label_and_start() -> None:
    tracker = EventTracker("a", ["x"])
    ids = {e.id for n in range(3) for e in tracker.push(n, n + 1.0, [1.0])} | {e.id for e in tracker.flush()}
    assert len(ids) == 1
    assert {e.id for e in EventTracker("b", ["x"]).push(0, 1, [1.0])}.isdisjoint(ids)
    assert {e.id for e in EventTracker("a", ["x"]).push(1, 2, [1.0])}.isdisjoint(ids)
    (event,) = EventTracker("a", ["x"]).push(0, 1, [0.75])
    assert json.loads(json.dumps(event.to_json()))["peak_score"] == 0.75


@pytest.mark.parametrize(
    "wrong", [{"on": 0.4, "off": 0.5}, {"gap_seconds": -1}, {"merge_seconds": float("nan")}, {"on": [0.5, 0.6, 0.7]}]
)
def test_settings_that_cannot_be_meant_are_errors(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"must|broadcast"):
        EventTracker("a", ["x", "y"], **wrong)


@pytest.mark.parametrize("item", [(0, 1, [0.5]), (1, 1, [0.5, 0.5]), (0, 1, [0.5, float("nan")])])
def test_segments_that_cannot_be_meant_are_errors(item: tuple) -> None:
    with pytest.raises(ValueError, match="must"):
        EventTracker("a", ["x", "y"]).push(*item)


def random_source(seed: int, num_labels: int = 5) -> list[tuple[float, float, np.ndarray]]:
    draw = np.random.default_rng(seed)
    hop = 0.5
    at, items, level = UNIX, [], np.full(num_labels, 0.4)
    for _ in range(120):
        at += hop if draw.random() > 0.05 else float(draw.choice([1.0, 1.5, 4.0]))
        level = np.clip(level + draw.normal(0, 0.25, num_labels), 0, 1)
        items.append((at, at + hop, level.copy()))
    return items


SETTINGS = [
    {"on": 0.6, "off": 0.4},
    {"on": 0.6, "off": 0.4, "merge_seconds": 1.5, "least_seconds": 1.0},
    {"on": [0.5, 0.6, 0.7, 0.8, 0.9], "off": 0.3, "gap_seconds": 0.0, "merge_seconds": 0.5},
    {"gap_seconds": 2.0, "merge_seconds": 30.0, "least_seconds": 3.0},
    {"on": 0.6, "off": 0.4, "merge_seconds": [0.0, 0.5, 1.0, 2.0, 4.0], "least_seconds": [4.0, 2.0, 1.0, 0.5, 0.0]},
]


def whole(items: list, k: int, on: float, off: float, gap: float, merge: float, least: float) -> list[tuple]:
    """The events of label k, from the whole sequence at once: runs, then merging, then dropping."""
    runs: list[list[float]] = []
    is_on, before = False, None
    for start, end, scores in items:
        if before is not None and start - before > gap:
            is_on = False
        if scores[k] >= (off if is_on else on):
            if is_on:
                runs[-1][1] = end
            else:
                runs.append([start, end])
            is_on = True
        else:
            is_on = False
        before = end
    merged: list[list[float]] = []
    for start, end in runs:
        if merged and start - merged[-1][1] <= merge:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    return [(start, end) for start, end in merged if end - start >= least]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("seed", range(3))
def test_events_are_those_of_the_whole_sequence(settings: dict, seed: int) -> None:
    items = random_source(seed)
    tracker = EventTracker("a", list("vwxyz"), **settings)
    events = [e for item in items for e in tracker.push(*item)] + tracker.flush()
    num_events = 0
    for k, label in enumerate("vwxyz"):
        expected = whole(
            items,
            k,
            tracker.on[k],
            tracker.off[k],
            tracker.gap_seconds,
            tracker.merge_seconds[k],
            tracker.least_seconds[k],
        )
        mine = [e for e in events if e.label == label]
        assert [(e.start_seconds, e.end_seconds) for e in mine if e.state == "close"] == expected
        assert [e.start_seconds for e in mine if e.state == "open"] == [start for start, _ in expected]
        num_events += len(expected)
    assert num_events > 4


@pytest.mark.parametrize("settings", SETTINGS)
def test_cut_anywhere_and_saved_the_same_events_come(settings: dict) -> None:
    items = random_source(7)[:50]
    tracker = EventTracker("a", list("vwxyz"), **settings)
    expected = [tracker.push(*item) for item in items] + [tracker.flush()]
    for cut in range(len(items) + 1):
        first = EventTracker("a", list("vwxyz"), **settings)
        found = [first.push(*item) for item in items[:cut]]
        saved = save(first.state)
        second = EventTracker("a", list("vwxyz"), **settings, state=load(saved))
        found += [second.push(*item) for item in items[cut:]] + [second.flush()]
        assert found == expected
        assert second.num_dropped == tracker.num_dropped


def test_the_state_does_not_grow_and_is_a_copy() -> None:
    tracker = EventTracker("a", ["x"])
    size = {name: (value.shape, value.dtype) for name, value in tracker.state.items()}
    kept = tracker.state
    for n in range(500):
        tracker.push(n, n + 1.0, [n % 2])
    assert {name: (value.shape, value.dtype) for name, value in tracker.state.items()} == size
    assert kept["count"].sum() == 0
