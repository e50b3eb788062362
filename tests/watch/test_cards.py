"""What cards hold of a run: bounded, in order, and all of it for whoever comes back later."""

from __future__ import annotations

import json
from dataclasses import replace

from streammm.errors import SourceError
from streammm.journal import Entry
from streammm.types import Classification, LiveState, SourceReport
from streammm.watch import cards as module
from streammm.watch.cards import KEPT_SECONDS, MAX_CARDS, Cards
from streammm.watch.terminal import lane
from tests.report.conftest import row

SCORES = {"music": 0.8, "car": 0.1}


def entry(made: Classification) -> Entry:
    return Entry(made.source, made.segment, "row", json.dumps(made.to_json()))


def event(label: str, state: str, number: int = 0) -> Entry:
    fields = {
        "id": f"event-{number}",
        "label": label,
        "state": state,
        "start_seconds": 2.0,
        "end_seconds": 8.0,
        "score": 0.5,
        "peak_score": 0.9,
    }
    return Entry("cam", 1, "event", json.dumps(fields))


def test_a_card_says_what_is_found_how_far_behind_it_is_and_what_happened() -> None:
    cards = Cards()
    live = LiveState(1_000.0, 0.84, num_reconnects=2, outage_seconds=7.0, num_dropped_segments=3)
    cards.entries([entry(replace(row("cam", 0, SCORES), live=live)), event("music", "open")])
    cards.entries([event("music", "close")])
    (card,) = cards
    told = card.to_json()
    assert told["live"]["lag_seconds"] == 0.84
    assert (told["live"]["reconnects"], told["live"]["dropped_segments"]) == (2, 3)
    assert [(one["label"], one["state"], one["score"]) for one in told["events"]] == [("music", "close", 0.9)]
    assert card.latest is not None
    assert card.latest["found"] == [["music", 0.8], ["car", 0.1]]
    assert card.latest["alone"]["said"]["status"] == "absent"


def test_only_the_last_minutes_and_events_are_kept() -> None:
    cards = Cards()
    for n in range(1000):
        cards.entries([entry(row("cam", n, SCORES)), event("music", "close", n)])
    (card,) = cards
    rows = card.rows_after(0)
    assert rows[-1]["end"] == 2000.0
    assert rows[0]["end"] == 2000.0 - KEPT_SECONDS + 2.0
    assert len(rows) == KEPT_SECONDS / 2
    assert card.num_rows == 1000
    assert len(card.events) == module._MAX_EVENTS
    assert next(reversed(card.events)) == "event-999"


def test_sources_that_are_over_make_room_for_others() -> None:
    cards = Cards()
    cards.stand({"live": "working"})
    for n in range(2 * MAX_CARDS):
        cards.finished(SourceReport(f"s{n}", 1, 2.0, 0, "", 0))
    names = [card.name for card in cards]
    assert len(names) == MAX_CARDS
    assert names[0] == "live"
    assert names[-1] == f"s{2 * MAX_CARDS - 1}"


def test_whoever_looks_gets_what_is_newer_than_what_was_seen() -> None:
    cards = Cards()
    cards.entries([entry(row("a", 0, SCORES)), entry(row("b", 0, SCORES))])
    seen = cards.number
    cards.entries([entry(row("b", 1, SCORES))])
    changed = [card for card in cards if card.changed > seen]
    assert [card.name for card in changed] == ["b"]
    assert [one["start"] for one in changed[0].rows_after(seen)] == [2.0]
    assert cards.order_changed <= seen


def test_how_a_source_ends_is_said() -> None:
    cards = Cards()
    cards.stand({"a": "waiting", "b": "working", "c": "paused"})
    cards.failed(SourceError("b", "unreachable", "no route to it"))
    cards.skipped("c", "removed", "removed by hand")
    cards.stand({"a": "working"})
    assert {card.name: card.state for card in cards} == {"a": "working", "b": "quarantined", "c": "removed"}
    assert [card.detail for card in cards] == ["", "unreachable: no route to it", "removed by hand"]


def test_the_terminal_draws_scores_over_time_and_outages() -> None:
    rows = [
        {"start": 0.0, "end": 2.0, "found": [["music", 1.0]], "outage": ""},
        {"start": 2.0, "end": 4.0, "found": [], "outage": "it is away"},
        {"start": 4.0, "end": 6.0, "found": [["music", 0.5]], "outage": ""},
        {"start": 6.0, "end": 8.0, "found": [["car", 1.0]], "outage": ""},
    ]
    assert lane(rows, "music", 8) == "██╌╌▄▄  "
    assert lane(rows, "music", 2) == "█▄"
