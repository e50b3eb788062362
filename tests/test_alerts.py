"""When somebody is told: rules over events, hand-worked, and gone on with from what was remembered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streammm.alerts import WEEKDAYS, Hours, Rule, Watch, age_seconds, minutes_of
from streammm.config import explained, load
from streammm.errors import ConfigError
from streammm.events import EventTracker

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)  # a Wednesday


def events(
    scores: list[float], *, source: str = "a", label: str = "dog", live: datetime | None = None, **settings: Any
):
    """Rows of the events of one label, with segments of a second."""
    tracker = EventTracker(source, [label], on=0.5, off=0.3, **settings)
    told = [e for n, score in enumerate(scores) for e in tracker.push(n, n + 1.0, [score])] + tracker.flush()
    rows = [event.to_json() for event in told]
    for row in rows:
        if live is not None:
            at = {"start": row["start_seconds"], "end": row["end_seconds"]}
            row["live"] = {k: (live + timedelta(seconds=s)).isoformat() for k, s in at.items()}
    return rows


def told(rule: Rule, rows: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """At which second, and for how long it had held by then."""
    watch = Watch(rule)
    found = [alert for row in rows if (alert := watch.push(row)) is not None]
    return [(alert["event"]["end_seconds"], alert["held_seconds"]) for alert in found]


def test_an_event_is_told_once_when_it_has_held_long_enough() -> None:
    rows = events([0.6] * 9)
    assert told(Rule("r"), rows) == [(1.0, 1.0)]
    assert told(Rule("r", duration_seconds=4.0), rows) == [(4.0, 4.0)]
    assert told(Rule("r", duration_seconds=9.5), rows) == []


def test_the_score_must_be_high_all_the_time() -> None:
    rows = events([0.6, 0.9, 0.9, 0.6, 0.9, 0.9, 0.9, 0.4])
    assert told(Rule("r", score=0.8, duration_seconds=2.0), rows) == [(3.0, 2.0)]
    assert told(Rule("r", score=0.8, duration_seconds=3.0), rows) == [(7.0, 3.0)]
    assert told(Rule("r", score=0.95), rows) == []


def test_a_pause_that_is_merged_starts_the_time_anew() -> None:
    rows = events([0.9, 0.9, 0.0, 0.9, 0.9], merge_seconds=2.0)
    assert told(Rule("r", score=0.8, duration_seconds=2.5), rows) == []
    assert told(Rule("r", score=0.8, duration_seconds=2.0), rows) == [(2.0, 2.0)]


def test_an_event_that_was_told_late_has_held_before() -> None:
    assert told(Rule("r", score=0.6, duration_seconds=3.0), events([0.7] * 5, least_seconds=3.0)) == [(3.0, 3.0)]
    assert told(Rule("r", score=0.6, duration_seconds=3.0), events([0.5, 0.5, 0.7, 0.7, 0.7], least_seconds=3.0)) == [
        (5.0, 3.0)
    ]


def test_only_labels_and_sources_of_the_rule_are_told() -> None:
    rows = events([0.9], label="dog") + events([0.9], label="cat", source="rtsp://door/live")
    assert len(told(Rule("r", frozenset({"cat", "dog"})), rows)) == 2
    assert len(told(Rule("r", frozenset({"cat"})), rows)) == 1
    assert len(told(Rule("r", sources="rtsp://door/*"), rows)) == 1
    assert told(Rule("r", frozenset({"dog"}), sources="rtsp://*"), rows) == []


def test_after_an_alert_there_is_none_for_a_while_and_then_of_what_still_holds() -> None:
    rows = events([0.9, 0.0, 0.9, 0.0, 0.0, 0.9, 0.9, 0.9, 0.9, 0.0, 0.9])
    assert [at for at, _ in told(Rule("r"), rows)] == [1.0, 3.0, 6.0, 11.0]
    assert [at for at, _ in told(Rule("r", cooldown_seconds=7.0), rows)] == [1.0, 8.0]
    others = events([0.9], source="b")
    assert len(told(Rule("r", cooldown_seconds=100.0), rows + others)) == 2  # each source for itself


@pytest.mark.parametrize(
    ("span", "weekdays", "holds"),
    [
        ("12:00-13:00", "mon tue wed thu fri sat sun", {"wed 12:00", "wed 12:59", "thu 12:00"}),
        ("12:00-13:00", "thu", {"thu 12:00"}),
        ("22:00-06:00", "wed", {"wed 22:00", "thu 05:59"}),
        ("22:00-06:00", "mon tue thu fri sat sun", {"wed 05:59"}),
        ("0:00-24:00", "wed", {"wed 05:59", "wed 11:59", "wed 12:00", "wed 12:59", "wed 13:00", "wed 22:00"}),
    ],
)
def test_hours_hold_on_days_on_which_they_begin(span: str, weekdays: str, holds: set[str]) -> None:
    """At times in Berlin, which is two hours ahead then."""
    hours = Hours((minutes_of(span),), frozenset(map(WEEKDAYS.index, weekdays.split())), ZoneInfo("Europe/Berlin"))
    texts = ("wed 05:59", "wed 11:59", "wed 12:00", "wed 12:59", "wed 13:00", "wed 22:00")
    texts += ("thu 05:59", "thu 06:00", "thu 12:00")
    times = {
        text: datetime.fromisoformat(f"2026-07-{'01' if text[:3] == 'wed' else '02'}T{text[4:]}+02:00").astimezone(UTC)
        for text in texts
    }
    assert {text for text, at in times.items() if hours.hold(at)} == holds


def test_what_has_no_time_of_day_is_left_alone_where_hours_are_set() -> None:
    rule = Rule("r", hours=Hours(((0, 1440),), frozenset(range(7))))
    assert told(rule, events([0.9])) == []
    assert told(rule, events([0.9], live=START)) == [(1.0, 1.0)]


def test_an_event_that_still_holds_when_the_hours_begin_is_told_then() -> None:
    hours = Hours((minutes_of("12:00-13:00"),), frozenset(range(7)), ZoneInfo("UTC"))
    rows = events([0.9] * 10, live=START - timedelta(seconds=4))
    assert told(Rule("r", hours=hours), rows) == [(4.0, 4.0)]


def test_cut_anywhere_and_saved_the_same_alerts_come() -> None:
    rule = Rule("r", score=0.6, duration_seconds=2.0, cooldown_seconds=3.0)
    rows = events([0.9, 0.9, 0.0, 0.7, 0.5, 0.7, 0.7, 0.9, 0.0, 0.9, 0.9, 0.9], live=START)
    whole = Watch(rule)
    expected = [whole.push(row) for row in rows]
    assert sum(alert is not None for alert in expected) == 3
    for cut in range(len(rows) + 1):
        first = Watch(rule)
        found = [first.push(row) for row in rows[:cut]]
        second = Watch(rule, json.loads(json.dumps(first.state)))
        assert found + [second.push(row) for row in rows[cut:]] == expected


def test_what_is_remembered_has_a_bound() -> None:
    watch = Watch(Rule("r", cooldown_seconds=1.0))
    for n in range(5000):
        watch.push({**events([0.9])[0], "id": f"{n}", "source": f"{n}"})
    assert {len(kept) for kept in watch.state.values()} == {4096}


def test_the_id_is_that_of_rule_and_event() -> None:
    (row, *_) = events([0.9])
    assert Rule("r").alert(row, 0.0)["id"] == Rule("r").alert({**row, "score": 0.1}, 0.0)["id"]
    assert Rule("s").alert(row, 0.0)["id"] != Rule("r").alert(row, 0.0)["id"]


def test_the_age_is_that_of_what_a_live_source_showed() -> None:
    assert age_seconds(events([0.9], live=START)[0], START + timedelta(seconds=11)) == 10.0
    assert age_seconds(events([0.9])[0], START) == 0.0


COMMAND = {"command": ["true"]}


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ({"labels": "dog"}, "either to or command"),
        ({"to": "https://a", **COMMAND}, "either to or command"),
        ({**COMMAND, "hours": "22-6"}, "hours have the form 22:00-06:00, got '22-6'"),
        ({**COMMAND, "hours": "24:00-06:00"}, "hours have the form"),
        ({**COMMAND, "time_zone": "Europe/Nowhere"}, "no time zone 'Europe/Nowhere'"),
        ({**COMMAND, "time_zone": "../../etc/passwd"}, "no time zone"),
        ({**COMMAND, "weekdays": "someday"}, "'mon', 'tue'"),
        ({**COMMAND, "lable": "dog"}, "unknown key alerts.0.lable"),
        ({"command": []}, "at least 1 item"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_named(alert: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(alerts=[alert])


def test_alerts_without_events_are_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"events\.enabled is false"):
        load(alerts=[COMMAND], events={"enabled": False})


def test_a_configuration_with_alerts_is_read_back_as_it_was(tmp_path: Path) -> None:
    config = load(
        labels="dog",
        alerts=[{"labels": "dog, cat", "hours": ["22:00-06:00"], **COMMAND}, {"to": "mqtt://a/b", "score": 0.5}],
        sinks=[{"to": "mqtt://a/b", "linger_seconds": 0}],
    )
    assert config.alerts[0].labels == ("dog", "cat")
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert load(tmp_path / "config.yaml") == config
    assert "labels: [dog, cat]" in explained(config)


def test_a_model_may_not_bring_alerts_along(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("alerts: [{command: [touch, /tmp/owned]}]")
    with pytest.raises(ConfigError, match="a model must not set alerts"):
        load(model=str(tmp_path))
