"""Rows to events: what a segment is told to have begun and ended, of files and of live sources that go away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from streammm.building.events import make_events
from streammm.config import load as load_config
from streammm.errors import ConfigError
from streammm.event_rows import EventRow, EventRows, EventSettings
from streammm.fusion.vocabulary import Vocabulary
from streammm.types import MODALITIES, Classification, LiveState, ModalityResult, Status

SETTINGS = EventSettings(("x", "y"), (0.5, 0.8), (0.25, 0.4), (0.0, 0.0), (2.0, 0.0), 1.0, "m")
UNIX = 1_790_000_000.0


def row(segment: int, scores: Any, *, clock: float | None = None, outage: str = "", length: float = 2.0):
    start = 2.0 * segment
    return Classification(
        source="a",
        segment=segment,
        start_seconds=start,
        end_seconds=start + length,
        labels=(),
        other=0.0,
        modalities={m: ModalityResult(Status.OK, 0.0, (), 0) for m in MODALITIES},
        model="m",
        latency_seconds=0.0,
        live=None if clock is None else LiveState(clock + start, 0.0),
        outage=outage,
        scores=np.array(scores, np.float32),
    )


def told(found: list[EventRow]) -> list[tuple[Any, ...]]:
    """Label, state, times, and with which segment it was told."""
    return [(*(e.fields[k] for k in ("label", "state", "start_seconds", "end_seconds")), e.segment) for e in found]


def test_events_are_told_with_the_segment_that_shows_them() -> None:
    events = EventRows("a", SETTINGS)
    found = [told(events.push(row(n, s))) for n, s in enumerate([(0.4, 0.9), (0.5, 0.3), (0.3, 0.8), (0.1, 0.1)])]
    assert found == [
        [("y", "open", 0, 2, 0)],
        [("y", "close", 0, 2, 1), ("x", "open", 2, 4, 1)],
        [("x", "update", 2, 6, 2), ("y", "open", 4, 6, 2)],
        [("y", "close", 4, 6, 3)],
    ]
    assert told(events.flush()) == [("x", "close", 2, 6, 3)]
    assert events.num_opened == 3


def test_what_is_told_with_one_segment_differs_in_its_number() -> None:
    events = EventRows("a", replace(SETTINGS, merge_seconds=(0.0, 0.0), open_scores=(0.5, 0.5)))
    found = events.push(row(0, (0.9, 0.0))) + events.push(row(5, (0.9, 0.9))) + events.flush()
    assert [(e.segment, e.item, e.fields["state"]) for e in found] == [
        (0, 1, "open"), (5, 0, "close"), (5, 1, "open"), (5, 4, "open"), (5, 2, "close"), (5, 5, "close")]  # fmt: skip


def test_scores_have_the_digits_of_a_row() -> None:
    (event,) = EventRows("a", SETTINGS).push(row(0, (0.4999997, 0.4999993)))
    assert (event.fields["label"], event.fields["score"]) == ("x", 0.5)
    assert json.loads(json.dumps(event.fields)) == event.fields


def test_an_outage_closes_what_cannot_go_on_after_it() -> None:
    events = EventRows("a", SETTINGS)
    assert told(events.push(row(0, (0.9, 0.9), clock=UNIX))) == [("x", "open", 0, 2, 0), ("y", "open", 0, 2, 0)]
    gone = row(1, (), clock=UNIX, outage="gone")
    assert told(events.push(gone)) == [("y", "close", 0, 2, 1)]  # x may be merged with what follows
    assert told(events.push(row(2, (0.9, 0.9), clock=UNIX))) == [("x", "update", 0, 6, 2), ("y", "open", 4, 6, 2)]
    assert told(events.push(row(3, (), clock=UNIX, outage="gone", length=60.0))) == [
        ("x", "close", 0, 6, 3), ("y", "close", 4, 6, 3)]  # fmt: skip


@pytest.mark.parametrize(("moved", "closes"), [(0.3, False), (-4.0, False), (3600.0, True), (-3600.0, True)])
def test_a_live_source_that_was_away_closes_its_events(moved: float, closes: bool) -> None:
    events = EventRows("a", SETTINGS)
    (first,) = events.push(row(0, (0.9, 0.0), clock=UNIX))
    assert first.fields["live"] == {"start": "2026-09-21T14:13:20.000+00:00", "end": "2026-09-21T14:13:22.000+00:00"}
    events = EventRows("a", SETTINGS, events.state)
    after = events.push(row(1, (0.9, 0.0), clock=UNIX + moved))
    assert [e.fields["state"] for e in after] == (["close", "open"] if closes else ["update"])
    assert after[0].fields["live"]["start"] == first.fields["live"]["start"]


def test_cut_anywhere_and_saved_the_same_events_come() -> None:
    draw = np.random.default_rng(3)
    rows = [row(n, draw.random(2), clock=UNIX + 100.0 * (n > 20)) for n in range(40)]
    rows[9] = replace(rows[9], outage="gone")
    whole = EventRows("a", SETTINGS)
    expected = [e for one in rows for e in whole.push(one)] + whole.flush()
    assert len(expected) > 20
    for cut in range(len(rows) + 1):
        first = EventRows("a", SETTINGS)
        found = [e for one in rows[:cut] for e in first.push(one)]
        second = EventRows("a", SETTINGS, load(save(first.state)))
        found += [e for one in rows[cut:] for e in second.push(one)] + second.flush()
        assert found == expected
        assert second.num_opened == whole.num_opened


def vocabulary(*labels: str) -> Vocabulary:
    nothing = np.zeros((len(labels), 1), np.float32)
    return Vocabulary(labels, nothing, nothing, nothing, np.ones((3, len(labels)), np.float32))


def settings_of(events: Mapping[str, Any]) -> EventSettings | None:
    return make_events(load_config(events=events), vocabulary("dog", "cat"))


def test_what_is_set_for_a_label_comes_before_what_is_set_for_all() -> None:
    found = settings_of(
        {"open_score": 0.6, "merge_seconds": 5, "labels": {"cat": {"open_score": 0.3, "min_seconds": 4}}}
    )
    assert found is not None
    assert (found.open_scores, found.close_scores) == ((0.6, 0.3), (0.3, 0.15))
    assert (found.min_seconds, found.merge_seconds, found.gap_seconds) == ((0.0, 4.0), (5.0, 5.0), 1.0)


def test_an_alert_of_a_label_that_there_is_not_is_a_mistake() -> None:
    config = load_config(alerts=[{"labels": "dog, cow", "command": ["true"]}])
    with pytest.raises(ConfigError, match=r"alerts\.0\.labels: 'cow' is none of the labels dog, cat"):
        make_events(config, vocabulary("dog", "cat"))


def test_no_events_are_made_where_none_are_wanted_or_there_are_no_labels() -> None:
    assert settings_of({"enabled": False}) is None
    assert make_events(load_config(labels=()), None) is None


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ({"labels": {"cow": {"open_score": 0.3}}}, "events.labels: 'cow' is none of the labels dog, cat"),
        ({"open_score": 0.3, "close_score": 0.4}, "close_score 0.4 must not exceed open_score 0.3"),
        ({"close_score": 0.45}, "dog closes below 0.45, which is above 0.4"),
        ({"labels": {"cat": {"close_score": 0.5}}}, "cat closes below 0.5, which is above 0.4"),
        ({"open_score": 1.5}, "less than or equal to 1"),
        ({"labels": {"cat": {"open": 1}}}, "unknown key events.labels.cat.open"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_named(events: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings_of(events)
