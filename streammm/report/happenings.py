"""The events of one source for its page: those that the run made, or where it made none, what scores make of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from streammm.events import EventTracker
from streammm.journal import Journal, JournalError
from streammm.types import Classification

MAX_EVENTS = 500
"""So many events a page lists: those with the highest peaks."""

_EVENTS_A_QUERY = 10_000

Events = dict[str, dict[str, Any]]
"""By id: label, start, end and peak, as each event stood last."""


def committed(journal: Journal, source: str) -> Events:
    """The events that were committed with the rows.

    Raises:
        JournalError: what is there are no events.
    """
    found: Events = {}
    after = 0
    while entries := journal.read(after, _EVENTS_A_QUERY, source=source, kind="event"):
        for entry in entries:
            try:
                event = json.loads(entry.text)
                found[event["id"]] = _plain(event)
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(f"an event of {source} cannot be read: {error}") from error
        after = entries[-1].position
    return found


def derived(source: str, rows: Iterable[Classification], labels: Iterable[str]) -> Events:
    """Events of some labels, made of fused scores."""
    names = sorted(labels)
    tracker = EventTracker(source, names)
    found: Events = {}
    for row in rows:
        scores = dict(row.labels)
        for event in tracker.push(row.start_seconds, row.end_seconds, [scores.get(name, 0.0) for name in names]):
            found[event.id] = _plain(event.to_json())
    return found


def listed(events: Events) -> list[dict[str, Any]]:
    """The events that a page lists, in the order of time."""
    strongest = sorted(events.values(), key=lambda event: -event["peak"])[:MAX_EVENTS]
    return sorted(strongest, key=lambda event: (event["start"], event["label"]))


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": str(event["label"]),
        "start": round(float(event["start_seconds"]), 3),
        "end": round(float(event["end_seconds"]), 3),
        "peak": round(float(event["peak_score"]), 3),
    }
