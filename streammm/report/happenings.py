"""The events of one source for its page, as the run committed them with its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streammm.journal import Journal, JournalError

MAX_EVENTS = 500
"""So many events a page lists: those with the highest peaks."""

_EVENTS_A_QUERY = 10_000

Events = dict[str, dict[str, Any]]
"""By id: label, start, end and peak, as each event stood last."""


def committed(journal: Journal, source: str) -> Events:
    """The events of a source.

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


def listed(events: Events) -> list[dict[str, Any]]:
    """The events that a page lists, in the order of time."""
    strongest = sorted(events.values(), key=lambda event: -event["peak"])[:MAX_EVENTS]
    strongest.sort(key=lambda event: (event["start"], event["label"]))
    return [{**event, "peak": round(event["peak"], 3)} for event in strongest]


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": str(event["label"]),
        "start": round(float(event["start_seconds"]), 3),
        "end": round(float(event["end_seconds"]), 3),
        "peak": float(event["peak_score"]),
    }
